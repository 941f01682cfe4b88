/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Nvidiahost: the machine as nvidia.h wants to know it. Reads files only. */

#include "aptsource.h"
#include "dpkg.h"
#include "nvidia.h"
#include "pci.h"

/* Apt's preferences for the driver, ours. The second is in it where the driver is the distribution's: nothing
 * of it comes from NVIDIA's own repository then. */
#define NVIDIA_PIN_PATH  "/etc/apt/preferences.d/gpuvm-nvidia"
#define NVIDIA_PIN_NEVER "Pin-Priority: -1\n"

typedef struct NvidiaFacts {
        NvidiaHost host; /* borrows from the rest */
        char *id, *version, *codename, *machine, *kernel;
        char **kernels; /* releases that may start next, the running one first */
        PciBus bus;
        NvidiaGpu *gpus;
} NvidiaFacts;

/* Under a driver that is there without any package of it, and a Secure Boot that does not say whether it is
 * on, the worse is taken. Returns 0, -ENOENT without an os-release(5), or another -errno. */
int nvidia_facts_read(int root, const Conf *c, const DpkgStatus *packages, const AptSources *sources,
                      NvidiaFacts *ret) _must_check_ _nonnull_all_;
void nvidia_facts_done(NvidiaFacts *f);

/* Pure: fills family, branch, open and built_here from what dpkg has. from_repository: NVIDIA's own
 * repository is among apt's sources, which decides where names and versions are the same in both families. */
void nvidia_find_installed(const DpkgStatus *packages, bool from_repository, NvidiaHost *h) _nonnull_all_;

/* The host leaves it to VMs for good, and needs no driver for it. */
bool nvidia_gives_away(const Conf *c, const PciDevice *gpu) _nonnull_all_;

/* Returns 1 if that kernel has NVIDIA's module, 0 if not. */
int nvidia_kernel_has_module(int root, const char *kernel) _must_check_ _nonnull_all_;

/* The version of the module that it would load. Returns 0, -ENOENT if it has none, or another -errno. */
int nvidia_kernel_module_version(int root, const char *kernel, char **ret) _must_check_ _nonnull_all_;
