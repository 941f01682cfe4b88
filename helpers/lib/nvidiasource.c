/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "nvidiasource.h"
#include "etcfile.h"
#include "fs.h"
#include "repository.h"

#define NONFREE_PATH  SOURCES_DIR "/gpuvm-nvidia.sources"
#define UNATTENDED    "/etc/apt/apt.conf.d/52gpuvm-nvidia"
#define CONTAINER_URI "https://nvidia.github.io/libnvidia-container/"
#define TAKE_BACK     "'gpuvm-undo nvidia' takes it back.\n"
#define FROM_NVIDIA   "Pin: origin developer.download.nvidia.com\n"

/* Of the driver, in either family: names that the toolkit's packages have not. */
#define DRIVER_NAMES \
        "Package: nvidia-* libnvidia-* *-nvidia* cuda-drivers* libcuda1 libcudadebugger1 libnvcuvid1 libnvoptix1\n"

static int add_components(Phase *p, Undo *u, const NvidiaFacts *f, const AptSources *sources) {
        static const char *const components[] = { "contrib", "non-free", "non-free-firmware", NULL };
        _cleanup_free_ char *text = NULL;
        int r;

        r = aptsources_add_components(sources, strempty(f->codename), components, &text);
        if (r == -ENOENT || r == -ENOKEY)
                return phase_fail(
                                p, 0,
                                "Add contrib, non-free and non-free-firmware to Debian's sources yourself.",
                                "Cannot tell from /etc/apt/sources.list.d where Debian's own packages come from");
        if (r <= 0)
                return r < 0 ? log_oom() : 0;
        return etcfile_put(p, u, NONFREE_PATH, text, "Debian keeps the driver in contrib and non-free");
}

/* What only raises versions of the branch leaves other packages with such names alone. */
static int pin(Phase *p, Undo *u, const NvidiaPlan *plan) {
        _cleanup_free_ char *branch = NULL, *text = NULL;

        if (plan->branch &&
            str_printf(&branch, "\n" DRIVER_NAMES "Pin: version %u.*\nPin-Priority: 990\n", plan->branch) < 0)
                return log_oom();
        if (str_printf(&text,
                       "# Written by gpuvm: NVIDIA's driver from one place, and of one branch; " TAKE_BACK
                       "%s\nPackage: *\n" FROM_NVIDIA "Pin-Priority: 600\n",
                       strempty(branch)) < 0)
                return log_oom();
        return etcfile_put(p, u, NVIDIA_PIN_PATH, text,
                           "keeps the driver to the branch that drives all GPUs");
}

int nvidia_source_add(Phase *p, Undo *u, const NvidiaFacts *f, const NvidiaPlan *plan,
                      const AptSources *sources) {
        _cleanup_free_ char *uri = NULL, *key = NULL;
        int r;

        if (!plan->repository)
                return streq(f->id, "debian") ? add_components(p, u, f, sources) : 0;
        if (str_printf(&uri, NVIDIA_REPOSITORY "%s/", plan->repository) < 0 ||
            str_printf(&key, "%s%s", uri, plan->key) < 0)
                return log_oom();
        r = repository_add(p, u,
                           &(Repository){ .name = "cuda",
                                          .uri = uri,
                                          .key = key,
                                          .fingerprint = plan->fingerprint },
                           sources);
        return r < 0 ? r : pin(p, u, plan);
}

int nvidia_source_add_containers(Phase *p, Undo *u, const NvidiaFacts *f, const AptSources *sources) {
        _cleanup_free_ char *uri = NULL;

        if (str_printf(&uri, CONTAINER_URI "stable/deb/%s/",
                       streq(f->machine, "aarch64") ? "arm64" : "amd64") < 0)
                return log_oom();
        return repository_add(p, u,
                              &(Repository){ .name = "nvidia-container",
                                             .uri = uri,
                                             .key = CONTAINER_URI "gpgkey",
                                             .fingerprint = "C95B321B61E88C1809C4F759DDCAE044F796ECB0" },
                              sources);
}

/* NVIDIA's repository has newer packages of the same names. Who has it for a toolkit, or adds it one day,
 * does not get half of another driver by that. */
static int keep_to_archive(Phase *p, Undo *u) {
        return etcfile_put(
                        p, u, NVIDIA_PIN_PATH,
                        "# Written by gpuvm: the driver is the distribution's, and nothing of it comes from "
                        "NVIDIA's own\n# repository; " TAKE_BACK
                        "\n" DRIVER_NAMES FROM_NVIDIA NVIDIA_PIN_NEVER,
                        "keeps the driver to the distribution's packages");
}

int nvidia_source_keep_together(Phase *p, Undo *u, const NvidiaPlan *plan) {
        int r;

        r = plan->source == NVIDIA_SOURCE_DISTRO ? keep_to_archive(p, u) : 0;
        if (r < 0)
                return r;
        return etcfile_put(
                        p, u, UNATTENDED,
                        "// Written by gpuvm: libraries that are newer than the loaded module do not work with "
                        "it;\n// " TAKE_BACK "Unattended-Upgrade::Package-Blacklist:: \"nvidia-\";\n"
                        "Unattended-Upgrade::Package-Blacklist:: \"libnvidia-\";\n"
                        "Unattended-Upgrade::Package-Blacklist:: \"libcuda1\";\n"
                        "Unattended-Upgrade::Package-Blacklist:: \"cuda-drivers\";\n",
                        "unattended-upgrades leaves the driver to the administrator");
}
