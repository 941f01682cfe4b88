/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "nvidiamodule.h"
#include "child.h"
#include "fs.h"
#include "initramfs.h"
#include "module.h"
#include "nodes.h"
#include "nvidiaversion.h"
#include "reboot.h"

#define DKMS            "/usr/sbin/dkms"
#define NVIDIA_MODPROBE "/usr/bin/nvidia-modprobe"

enum { DKMS_SEC = 30 * 60, NODES_SEC = 60 };

/* DKMS builds for kernels whose headers were there; what it left out shows now and not at the next start. */
static int build_for(Phase *p, const char *kernel) {
        const Child c = {
                PHASE_CHILD(p),
                .argv = (const char *const[]){ DKMS, "autoinstall", "-k", kernel, NULL },
                .timeout_usec = DKMS_SEC * USEC_PER_SEC,
        };
        int r;

        r = phase_change(p, "build", kernel, "NVIDIA's module by DKMS");
        if (r <= 0)
                return r < 0 ? log_oom() : 0;
        phase_status(p, "Building NVIDIA's module for kernel %s", kernel);
        r = child_run(&c);
        if (r != 0 || nvidia_kernel_has_module(p->root, kernel) <= 0)
                return phase_fail(
                                p, MIN(r, 0),
                                "See /var/lib/dkms/*/*/build/make.log, and that the headers of that kernel are "
                                "installed (UpdateSystem=yes brings a kernel that has some).",
                                "NVIDIA's module cannot be built for kernel %s", kernel);
        return 0;
}

/* What was installed may have brought a kernel. */
static int read_kernels(Phase *p, NvidiaFacts *f) {
        _cleanup_strv_ char **kernels = NULL;
        int r;

        r = initramfs_kernels(p->root, &kernels);
        if (r < 0)
                return phase_fail(p, r, "Look at /boot.", "Cannot tell which kernels are installed");
        if (kernels) {
                strv_free(f->kernels);
                f->kernels = TAKE_PTR(kernels);
        }
        return 0;
}

int nvidiamodule_ensure(Phase *p, const NvidiaPlan *plan, NvidiaFacts *f) {
        int r;

        r = read_kernels(p, f);
        STRV_FOREACH(k, f->kernels) {
                if (r < 0)
                        return r;
                r = nvidia_kernel_has_module(p->root, *k);
                if (r == 0 && plan->built_here)
                        r = build_for(p, *k);
                else if (r == 0 && !k[1])
                        return phase_fail(
                                        p, 0,
                                        "Install the newest kernel (UpdateSystem=yes), or set DriverBranch= to "
                                        "another one of 'ubuntu-drivers list --gpgpu'.",
                                        "The distribution's modules of driver %u are not for %s, the kernel that "
                                        "starts next",
                                        plan->branch, *k);
                else if (r < 0)
                        return phase_fail(p, r, "See that /lib/modules can be read.",
                                          "Cannot tell whether kernel %s has NVIDIA's module", *k);
        }
        return MIN(r, 0);
}

/* Returns 1 if only a restart gives the GPU to the driver. */
static int bind_gpu(Phase *p, const NvidiaFacts *f, const PciDevice *d) {
        _cleanup_free_ char *driver = NULL;
        int r;

        r = pci_read_driver(p->root, d, &driver);
        if (r < 0 || (driver && (streq(driver, "nvidia") || nodes_is_vfio_driver(driver))))
                return 0;
        if (driver)
                return 1;
        if (nvidia_kernel_has_module(p->root, f->kernels[0]) <= 0)
                return 1;
        r = module_load(p->root, "nvidia");
        if (r < 0)
                r = module_load(p->root, "nvidia-current");
        if (r < 0 || pci_read_driver(p->root, d, &driver) < 0 || !driver)
                phase_note(p, "NVIDIA's module did not take GPU %s: 'dmesg | grep NVRM' may say why",
                           d->name);
        return 0;
}

/* The first program that computes makes the node of nvidia-uvm, if it may; those in sandboxes may not. */
static int make_nodes(Phase *p, const NvidiaFacts *f) {
        const Child c = {
                PHASE_CHILD(p),
                .argv = (const char *const[]){ NVIDIA_MODPROBE, "-u", "-c", "0", NULL },
                .timeout_usec = NODES_SEC * USEC_PER_SEC,
        };
        bool wanted = false;
        int r;

        for (size_t i = 0; i < f->bus.n && !wanted; i++) {
                _cleanup_free_ char *driver = NULL;

                wanted = pci_is_nvidia_gpu(&f->bus.devices[i]) &&
                                pci_read_driver(p->root, &f->bus.devices[i], &driver) >= 0 && driver &&
                                streq(driver, "nvidia");
        }
        if (!wanted || fs_exists(p->root, "/dev/nvidia-uvm") > 0 || fs_exists(p->root, NVIDIA_MODPROBE) <= 0)
                return 0;
        r = phase_change(p, "load", "nvidia-uvm", "with its device node, which CUDA needs");
        if (r > 0)
                r = child_run(&c);
        if (r != 0 && r != -ENOMEM)
                phase_note(p,
                           "'nvidia-modprobe -u' made no device node for CUDA: 'dmesg | grep nvidia' may say why");
        return r == -ENOMEM ? log_oom() : 0;
}

/* An upgrade changes the library at once, and the module with the next start: until then CUDA and NVML refuse
 * to work. Returns 1 if a restart brings the two together. */
static int is_outdated(Phase *p, const NvidiaFacts *f) {
        const char *kernel = f->kernels[strv_length(f->kernels) - 1];
        _cleanup_free_ char *loaded = NULL, *library = NULL, *next = NULL;
        int r;

        r = nvidiaversion_loaded(p->root, &loaded);
        if (r >= 0)
                r = nvidiaversion_library(p->root, &library);
        if (r < 0 || streq(loaded, library))
                return r == -ENOMEM ? log_oom() : 0;
        r = nvidia_kernel_module_version(p->root, kernel, &next);
        if (r == -ENOMEM)
                return log_oom();
        if (r >= 0 && streq(next, library))
                return 1;
        phase_note(p,
                   "NVIDIA's library is %s and the loaded module %s, and a restart does not help: that of kernel %s is "
                   "%s. Upgrade both to one version",
                   library, loaded, kernel, next ?: "unknown");
        return 0;
}

/* gpu: which one waits for a restart, or NULL. */
static int ask_for_restart(Phase *p, const char *gpu, bool outdated) {
        int r;

        if (!gpu && !outdated)
                r = reboot_withdraw(p->root, p->name);
        else if ((gpu ? phase_change(p, "request", "reboot", "for GPU %s to get NVIDIA's driver", gpu)
                      : phase_change(p, "request", "reboot",
                                     "for NVIDIA's module to become that of its library")) < 0)
                return log_oom();
        else
                r = reboot_request(
                                p->root, p->name,
                                gpu ? "NVIDIA's driver takes its GPUs when the machine starts"
                                    : "NVIDIA's driver was upgraded, and its module comes when the machine "
                                      "starts");
        if (r < 0)
                return phase_fail(p, r, "See that " STATE_DIR " can be written.",
                                  "Cannot write down whether to restart");
        return 0;
}

int nvidiamodule_bind(Phase *p, const NvidiaFacts *f) {
        const char *waits = NULL;
        DriverNeed need;
        int r;

        for (size_t i = 0, k = 0; i < f->bus.n; i++) {
                const PciDevice *d = &f->bus.devices[i];

                if (pci_is_nvidia_gpu(d) && !f->gpus[k++].given_away && driver_need(d->device, &need) >= 0 &&
                    bind_gpu(p, f, d) > 0)
                        waits = d->name;
        }
        r = make_nodes(p, f);
        if (r >= 0)
                r = is_outdated(p, f);
        return r < 0 ? r : ask_for_restart(p, waits, r > 0);
}
