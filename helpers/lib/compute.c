/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "compute.h"
#include "computejob.h"
#include "fs.h"
#include "nvidiaversion.h"

struct Compute {
        Worker *worker; /* NULL: the next call starts one */
        int root;
        void (*tick)(void *userdata);
        void *userdata;
};

void compute_proof_done(ComputeProof *p) {
        free(p->kernel);
        free(p->library);
        free(p->gpu);
        free(p->detail);
        *p = (ComputeProof){};
}

int compute_open(int root, void (*tick)(void *userdata), void *userdata, Compute **ret) {
        Compute *c = calloc(1, sizeof(*c));
        int r;

        if (!c)
                return -ENOMEM;
        *c = (Compute){ .root = root, .tick = tick, .userdata = userdata };
        r = worker_start(root, tick, userdata, &c->worker);
        if (r < 0) {
                free(c);
                return r;
        }
        *ret = c;
        return 0;
}

/* Takes the next line of the answer; an empty one is NULL. */
static int take_line(const char **text, char **ret) {
        size_t n = strcspn(*text, "\n");

        if (n > 0) {
                *ret = strndup(*text, n);
                if (!*ret)
                        return -ENOMEM;
        }
        *text += n + ((*text)[n] == '\n');
        return 0;
}

static int parse_answer(const char *text, ComputeProof *p) {
        _cleanup_free_ char *cuda = NULL;
        int r;

        r = take_line(&text, &p->library);
        if (r >= 0)
                r = take_line(&text, &cuda);
        if (r >= 0)
                r = take_line(&text, &p->gpu);
        if (r >= 0)
                r = take_line(&text, &p->detail);
        p->cuda = cuda ? (unsigned) strtoul(cuda, NULL, 10) : 0;
        return r;
}

int compute_prove(Compute *c, Bdf gpu, uint64_t timeout_usec, ComputeProof *ret) {
        _cleanup_(compute_proof_done) ComputeProof p = {};
        char address[BDF_STRING_MAX];
        _cleanup_free_ char *answer = NULL;
        int r;

        r = nvidiaversion_loaded(c->root, &p.kernel);
        if (r == -ENOMEM)
                return r;
        if (r >= 0) {
                (void) bdf_format(gpu, address);
                r = c->worker ? 0 : worker_start(c->root, c->tick, c->userdata, &c->worker);
                if (r >= 0)
                        r = worker_call(c->worker, computejob_serve, address, strlen(address), timeout_usec,
                                        &answer);
                if (r == -ENOMEM || (answer && parse_answer(answer, &p) < 0))
                        return -ENOMEM;
                p.verdict = r == -ETIMEDOUT ? COMPUTE_HANG
                                : r < 0     ? COMPUTE_FAILED
                                            : (ComputeVerdict) MIN(r, (int) COMPUTE_FAILED);
                /* Many an error is this one's. */
                if (p.verdict > COMPUTE_NO_LIBRARY && p.library && !streq(p.library, p.kernel))
                        p.verdict = COMPUTE_MISMATCH;
                if (r == -ECHILD)
                        p.detail = strdup("NVIDIA's library crashed");
                /* After a failure the library tells another one for the next GPU. */
                if (c->worker && p.verdict > COMPUTE_BUSY && p.verdict != COMPUTE_HANG)
                        (void) worker_end(TAKE_PTR(c->worker));
        } else
                p.verdict = COMPUTE_NO_DRIVER;
        *ret = p;
        p = (ComputeProof){};
        return 0;
}

static const struct {
        const char *text, *remedy;
} verdicts[_COMPUTE_VERDICT_MAX] = {
        [COMPUTE_PROVED] = { "computes", NULL },
        [COMPUTE_BUSY] = { "is in use by others, who leave nothing to compute with",
                           "See 'nvidia-smi' for who has its memory." },
        [COMPUTE_NO_DRIVER] = { "no kernel module of NVIDIA's is loaded",
                                "Start gpuvm-nvidia.service; 'dmesg | grep NVRM' may say more." },
        [COMPUTE_NO_LIBRARY] = { "CUDA's library (libcuda.so.1) is not here, or is not NVIDIA's",
                                 "Install the package that has it: libcuda1 of Debian, libnvidia-compute of Ubuntu "
                                 "and NVIDIA." },
        [COMPUTE_MISMATCH] = { "CUDA's library and the loaded kernel module are of two versions",
                               "Restart the machine: the driver was upgraded below running programs." },
        [COMPUTE_NO_DEVICE] = { "CUDA does not find it",
                                "See 'nvidia-smi' and 'dmesg | grep NVRM' for what the driver has against it." },
        [COMPUTE_NO_FABRIC] = { "the NVSwitches between the GPUs are not ready",
                                "Install the fabric manager of the driver's very version (nvidia-fabricmanager) and "
                                "start nvidia-fabricmanager.service." },
        [COMPUTE_NO_JIT] = { "the driver cannot compile for it",
                             "See that libnvidia-ptxjitcompiler.so.1 is there and of the driver's version "
                             "(libnvidia-ptxjitcompiler1 of Debian, libnvidia-compute of Ubuntu and NVIDIA)." },
        [COMPUTE_WRONG] = { "it computes wrongly",
                            "Do not trust it: look for Xid errors in 'dmesg', and at its power, heat and memory "
                            "('nvidia-smi -q')." },
        [COMPUTE_HANG] = { "CUDA did not answer in time",
                           "Look for Xid errors in 'dmesg'; a GPU that hangs needs a restart of the machine." },
        [COMPUTE_FAILED] = { "CUDA fails",
                             "See 'dmesg | grep -E \"NVRM|nvidia\"', and that /dev/nvidia-uvm is there "
                             "('nvidia-modprobe -u')." },
};

const char *compute_remedy(ComputeVerdict v) {
        return (unsigned) v < _COMPUTE_VERDICT_MAX ? verdicts[v].remedy : NULL;
}

int compute_describe(const ComputeProof *p, char **ret) {
        _cleanup_free_ char *versions = NULL;

        if (p->library && p->kernel && !streq(p->library, p->kernel)) {
                if (str_printf(&versions, " (library %s, kernel module %s)", p->library, p->kernel) < 0)
                        return -ENOMEM;
        } else if (p->kernel && p->cuda > 0) {
                if (str_printf(&versions, " (driver %s, CUDA %u.%u)", p->kernel, p->cuda / 1000,
                               p->cuda % 1000 / 10) < 0)
                        return -ENOMEM;
        } else if (p->kernel && str_printf(&versions, " (driver %s)", p->kernel) < 0)
                return -ENOMEM;
        return str_printf(ret, "%s%s%s%s%s%s", strempty(p->gpu), p->gpu ? ": " : "",
                          verdicts[p->verdict].text, p->detail ? ": " : "", strempty(p->detail),
                          strempty(versions));
}

pid_t compute_end(Compute *c) {
        Worker *w = c->worker;

        free(c);
        return w ? worker_end(w) : 0;
}

void compute_free(Compute *c) {
        (void) compute_end(c);
}
