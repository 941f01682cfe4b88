/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Gpustate: every NVIDIA GPU of the machine, what goes with it, and who has it now. Reads only, and only what
 * the kernel answers without a device's lock; asks nobody. Which machine has a GPU is libvirt's to know: see
 * gpustate_mark_machine(). */

#include "conf.h"
#include "holders.h"
#include "iommu.h"

typedef enum GpuOwner {
        GPU_OWNER_NOBODY,  /* no driver has it */
        GPU_OWNER_HOST,    /* a driver of the host's */
        GPU_OWNER_FREE,    /* on VFIO, and no machine has it */
        GPU_OWNER_MACHINE, /* a virtual machine, or whoever else has it open through VFIO */
        GPU_OWNER_STUCK,   /* its driver hangs: see poison.h */
        _GPU_OWNER_MAX,
} GpuOwner;

/* "nobody", "host", "free", "machine", "stuck" */
const char *gpu_owner_to_string(GpuOwner o);

enum { GPU_FUNCTIONS_MAX = 32 }; /* of one GPU's group that are shown */

typedef struct GpuState {
        const PciDevice *gpu; /* of the bus */
        /* It and all else of its IOMMU group but bridges, by address; without a group those in its slot. */
        const PciDevice *functions[GPU_FUNCTIONS_MAX];
        size_t n_functions;
        GpuMode mode;
        GpuOwner owner;
        char *machine;   /* for people: "talos-01"; NULL: none, or not known */
        char *refused;   /* why it cannot be given to a machine, for a user; NULL: it can */
        char *stuck;     /* what hangs, and since when; NULL: nothing */
        char *name;      /* "GeForce RTX 4090"; NULL: not known */
        char *power;     /* "D0", "D3cold"; NULL: the kernel does not say */
        char *link;      /* "16.0 GT/s PCIe x16"; NULL: the kernel does not say, or it sleeps */
        Holders holders; /* who has it open, if that was asked for */
} GpuState;

typedef struct GpuStates {
        PciBus bus;
        GpuState *list; /* by address */
        size_t n;
        bool looked; /* for holders: false, and nobody knows who has them open */
} GpuStates;

void gpustate_done(GpuStates *s);

/* holders: look for them too, which takes some 50 us for each process of the machine and needs
 * CAP_SYS_PTRACE. Returns 0 or -errno. */
int gpustate_read(int root, const Conf *c, bool holders, GpuStates *ret) _must_check_ _nonnull_all_;

/* The GPU that a user means: its address with or without the domain, its number in the list, its path, or a
 * part of its name whatever the case. Returns 1, 0 if there is none, -ENOTUNIQ if there is more than one of
 * that name. */
int gpustate_find(const GpuStates *s, const char *word, GpuState **ret) _must_check_ _nonnull_all_;

/* The machine that has some functions of the host's. Returns 0 or -ENOMEM. */
int gpustate_mark_machine(GpuStates *s, const char *machine, char *const *addresses) _must_check_
                __attribute__((nonnull(1, 2)));

/* For people: "free", "machine talos-01", "host: python3 (812), Xorg (1033)". */
int gpustate_describe_owner(const GpuState *g, bool looked, char **ret) _must_check_ _nonnull_all_;
