/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Gpustate: every NVIDIA GPU of the machine, what goes with it, and who has it now. Reads only, and only what
 * the kernel answers without a device's lock; asks nobody. Which machine has a GPU is libvirt's to know: see
 * gpustate_mark_machine(). */

#include "conf.h"
#include "holders.h"
#include "iommu.h"

typedef enum GpuOwner {
        GPU_OWNER_UNKNOWN, /* on VFIO, and who has it open cannot be seen */
        GPU_OWNER_NOBODY,  /* no driver has it */
        GPU_OWNER_HOST,    /* a driver of the host's */
        GPU_OWNER_FREE,    /* on VFIO, and nobody has it */
        GPU_OWNER_MACHINE, /* a virtual machine, or whoever else has it open through VFIO */
        GPU_OWNER_STUCK,   /* its driver hangs: see poison.h */
        _GPU_OWNER_MAX,
} GpuOwner;

/* "unknown", "nobody", "host", "free", "machine", "stuck" */
const char *gpu_owner_to_string(GpuOwner o);

typedef struct GpuState {
        const PciDevice *gpu; /* of the bus */
        /* It and all else of its IOMMU group but bridges, by address; without a group those in its slot. */
        const PciDevice **functions;
        size_t n_functions;
        GpuMode mode;
        GpuOwner owner;
        char *machine;   /* for people: "talos-01"; NULL: none, or not known */
        char *refused;   /* why it cannot be given to a machine, for a user; NULL: it can */
        char *stuck;     /* what hangs, and since when; NULL: nothing */
        char *name;      /* "GeForce RTX 4090"; NULL: not known */
        char *power;     /* "D0", "D3cold"; NULL: the kernel does not say */
        char *link;      /* "16.0 GT/s PCIe x16"; NULL: the kernel does not say, or it sleeps */
        bool looked;     /* for who has it open: else nobody knows */
        Holders holders; /* of the GPU, and of what is in its slot */
} GpuState;

typedef struct GpuStates {
        PciBus bus;
        GpuState *list; /* by address */
        size_t n;
} GpuStates;

void gpustate_done(GpuStates *s);

/* holders: look for them too, which takes some 50 us for each process of the machine and needs
 * CAP_SYS_PTRACE. Not for one that is stuck or without power: its driver would be asked, and hang or wake it
 * up. Returns 0 or -errno. */
int gpustate_read(int root, const Conf *c, bool holders, GpuStates *ret) _must_check_ _nonnull_all_;

/* The GPU that a user means: its address with or without the domain, its number in the list, its path, or a
 * part of its name whatever the case. Returns 1, 0 if there is none, -ENOTUNIQ if there is more than one of
 * that name. */
int gpustate_find(const GpuStates *s, const char *word, GpuState **ret) _must_check_ _nonnull_all_;

/* The machine that has some functions of the host's, and so all that shares an IOMMU group with them. Returns
 * 0 or -ENOMEM. */
int gpustate_mark_machine(GpuStates *s, const char *machine, char *const *addresses) _must_check_
                __attribute__((nonnull(1, 2)));

/* For people: "free", "machine talos-01", "host: python3 (812), Xorg (1033)". */
int gpustate_describe_owner(const GpuState *g, char **ret) _must_check_ _nonnull_all_;
