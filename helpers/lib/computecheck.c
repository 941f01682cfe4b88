/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "computecheck.h"
#include "child.h"
#include "compute.h"
#include "nodes.h"
#include "nvidiacheck.h"
#include "nvidiahost.h"
#include "nvml.h"

#define PYTHON "/usr/bin/python3"

/* Starting eight GPUs without persistence mode takes the library half a minute; importing PyTorch from a disk
 * that turns takes longer. */
enum { COMPUTE_SEC = 90, NVML_SEC = 60, TORCH_SEC = 180, TORCH_MAX = 4096, NO_TORCH = 77 };

/* 512 times one is exact in each of the ways that a GPU may multiply matrices. */
static const char torch_program[] =
                "try:\n"
                "    import torch\n"
                "except ImportError:\n"
                "    raise SystemExit(77)\n"
                "n = torch.cuda.device_count()\n"
                "for i in range(n):\n"
                "    a = torch.ones(512, 512, device='cuda:%d' % i)\n"
                "    if not bool(((a @ a) == 512).all()):\n"
                "        raise SystemExit('a product of matrices is wrong on GPU %d' % i)\n"
                "print(torch.__version__, n)\n"
                "raise SystemExit(0 if n else 'PyTorch sees no GPU: it may be built without CUDA, or "
                "for another one')\n";

static FindingLevel to_level(ComputeVerdict v) {
        return v == COMPUTE_PROVED ? FINDING_OK : v == COMPUTE_BUSY ? FINDING_WARN : FINDING_FAIL;
}

/* CUDA goes without it; hand-overs, persistence mode and metrics do not. nvidia-smi asks the same library:
 * that needs no proof of its own, and what it prints is for people. */
static int check_nvml(Phase *p, const PciDevice *gpu, Findings *ret) {
        _cleanup_(worker_freep) Worker *w = NULL;
        NvmlSample sample;
        int r;

        r = worker_start(p->root, phase_alive, p, &w);
        if (r >= 0)
                r = nvml_sample(w, gpu->bdf, NVML_SEC * USEC_PER_SEC, &sample);
        if (r == -ENOMEM)
                return r;
        if (r >= 0)
                return findings_add(ret, FINDING_OK, "nvml", NULL, NULL, "GPU %s: NVML answers", gpu->name);
        return findings_add(
                        ret, FINDING_FAIL, "nvml", NULL,
                        "See what 'nvidia-smi' says. libnvidia-ml.so.1 has to be there and of the driver's version "
                        "(libnvidia-ml1 of Debian, libnvidia-compute of Ubuntu and NVIDIA).",
                        "GPU %s: NVML, NVIDIA's management library, %s%s", gpu->name,
                        r == -ENOPKG                      ? "is not here, or is no whole one"
                                        : r == -ETIMEDOUT ? "does not answer in time"
                                                          : "fails: ",
                        r == -ENOPKG || r == -ETIMEDOUT ? "" : strerror(-r));
}

static int check_gpu(Phase *p, Compute *c, const PciDevice *gpu, Findings *ret) {
        _cleanup_(compute_proof_done) ComputeProof proof = {};
        _cleanup_free_ char *text = NULL;
        int r;

        r = compute_prove(c, gpu->bdf, COMPUTE_SEC * USEC_PER_SEC, &proof);
        if (r >= 0)
                r = compute_describe(&proof, &text);
        if (r >= 0)
                r = findings_add(ret, to_level(proof.verdict), "compute", NULL, compute_remedy(proof.verdict),
                                 "GPU %s: %s", gpu->name, text);
        /* What CUDA has against the driver, NVML would only tell again. */
        return r < 0 || proof.verdict > COMPUTE_BUSY ? r : check_nvml(p, gpu, ret);
}

/* What it prints first is its version and the number of GPUs. */
static int check_torch(Phase *p, Findings *ret) {
        const Child child = {
                PHASE_CHILD(p),
                .argv = (const char *const[]){ PYTHON, "-I", "-B", "-c", torch_program, NULL },
                .environment = (const char *const[]){ "CUDA_CACHE_DISABLE=1", "HOME=/", NULL },
                .timeout_usec = TORCH_SEC * USEC_PER_SEC,
        };
        _cleanup_free_ char *said = NULL;
        int r;

        r = child_output(&child, TORCH_MAX, &said);
        if (r == -ENOMEM)
                return r;
        if (r == -ENOENT || r == NO_TORCH)
                return 0;
        if (r == -ETIMEDOUT)
                return findings_add(ret, FINDING_WARN, "torch", NULL, "Look for Xid errors in 'dmesg'.",
                                    "PyTorch of " PYTHON " did not multiply two matrices in %d s", TORCH_SEC);
        if (r != 0)
                return findings_add(ret, FINDING_WARN, "torch", NULL,
                                    "Install a PyTorch that is built for this driver's CUDA and these GPUs.",
                                    "PyTorch of " PYTHON " cannot multiply two matrices on a GPU");
        said[strcspn(said, " \n")] = '\0';
        return findings_add(ret, FINDING_OK, "torch", NULL, NULL,
                            "PyTorch %s multiplies matrices on the GPUs", said);
}

static bool is_on_driver(const PciDevice *gpu) {
        return gpu->driver && streq(gpu->driver, "nvidia");
}

/* The library opens all GPUs that are on the driver: it goes as soon as they have been asked. */
static int check_gpus(Phase *p, const PciBus *bus, Findings *ret) {
        _cleanup_(compute_freep) Compute *c = NULL;
        int r;

        r = compute_open(p->root, phase_alive, p, &c);
        if (r < 0)
                return findings_add(ret, FINDING_WARN, "compute", NULL, "Free some memory.",
                                    "No process could be started to compute: %s", strerror(-r));
        phase_status(p, "Computing on the GPUs");
        for (size_t i = 0; i < bus->n && r >= 0; i++)
                if (pci_is_nvidia_gpu(&bus->devices[i]) && is_on_driver(&bus->devices[i]))
                        r = check_gpu(p, c, &bus->devices[i], ret);
        return r;
}

/* Whoever is given a driver for a card is told when the driver leaves the card out. */
static int check_elsewhere(Phase *p, const Conf *c, const PciDevice *gpu, Findings *ret) {
        bool with_vm = gpu->driver && nodes_is_vfio_driver(gpu->driver);
        const char *driver = gpu->driver ?: "no driver";
        DriverNeed need;
        int r = 0;

        if (!with_vm && !nvidia_gives_away(c, gpu) && driver_need(gpu->device, &need) >= 0)
                r = nvidiacheck_wants_driver(p->root, c);
        if (r < 0)
                return r;
        if (r == 0)
                return findings_add(ret, FINDING_SKIP, "compute", NULL, NULL,
                                    "GPU %s is on %s, and not for the host to compute on", gpu->name, driver);
        return findings_add(
                        ret, FINDING_FAIL, "compute", NULL,
                        "Start gpuvm-nvidia.service; 'dmesg | grep NVRM' may say what the driver has against the "
                        "GPU. One that only VMs are to use needs Mode=exclusive in its [Gpu] section.",
                        "GPU %s is on %s instead of NVIDIA's, so the host cannot compute on it", gpu->name,
                        driver);
}

int computecheck_add(Phase *p, const Conf *c, const PciBus *bus, Findings *ret) {
        size_t n = 0;
        int r = 0;

        if (!c->nvidia)
                return findings_add(ret, FINDING_SKIP, "compute", NULL, NULL, "Nvidia=no");
        for (size_t i = 0; i < bus->n && r >= 0; i++) {
                const PciDevice *d = &bus->devices[i];

                if (!pci_is_nvidia_gpu(d))
                        continue;
                if (is_on_driver(d))
                        n++;
                else
                        r = check_elsewhere(p, c, d, ret);
        }
        if (r < 0 || n == 0)
                return r;
        r = check_gpus(p, bus, ret);
        return r < 0 ? r : check_torch(p, ret);
}
