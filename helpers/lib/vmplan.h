/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Vmplan: what a new virtual machine is going to be: what was asked for, and for all else what suits the
 * host, each with where it came from. Pure: vmhost.h looks. */

#include "bdf.h"
#include "conf.h"
#include "gpuarch.h"
#include "gpuwish.h"
#include "vmplace.h"

enum {
        VMPLAN_CPUS_MIN = 2,
        VMPLAN_MEMORY_MIN = 2048,         /* MiB */
        VMPLAN_DISK_MIN = 10,             /* GiB */
        VMPLAN_DISK = 50,                 /* GiB */
        VMPLAN_MEMORY_HOST = 1024 * 1024, /* KiB that stay free for the host */
};

/* A GPU with all that goes along to the guest. */
typedef struct VmGpu {
        char name[BDF_STRING_MAX]; /* of its first function */
        char *model;               /* "GeForce RTX 4090"; NULL: not known */
        GpuArch arch;
        Bdf functions[8];
        size_t n_functions;
        char **members; /* addresses of all that changes hands with it: of its IOMMU group, itself among them
                         */
        int numa_node;  /* -1: none */
        char *used_by;  /* the machine that has it, or a member, on or off; NULL: none */
        char *shared;   /* likewise, one that is never on together with the new one (VmHost.apart) */
        char *refused;  /* why it cannot go to a guest; NULL: it can */
        char *busy;     /* who uses it on the host; NULL: nobody, or nobody could look */
        bool held;      /* that is a virtual machine, or whoever else has it open through VFIO */
        bool asleep;    /* without power: its driver was not asked who uses it, since that would wake it */
} VmGpu;

typedef struct VmHost {
        unsigned cpus;
        uint64_t memory, available; /* KiB */
        uint64_t disk_free;         /* bytes where disks go; 0: unknown */
        bool kvm;
        NetworkMode network; /* never NETWORK_AUTO */
        char *bridge;        /* NULL for NAT */
        char *gateway;       /* of the host itself; on a routed bridge the host is; NULL: none */
        char *gateway6;      /* the host's of IPv6 */
        char **networks;     /* of the bridge: the host's addresses on it, with prefix length */
        bool onlink; /* bridged, and the host's own address is a single one: so are all others there */
        char **dns;
        VmGpu *gpus;
        size_t n_gpus;
        VmTopology topology;
        char **names;     /* taken, also by machines that are being made */
        char **addresses; /* likewise; with or without prefix length */
        char **macs;
        char *const *apart; /* never on together with the new one, which may have their GPUs too; borrowed */
        char **offers;      /* addresses with prefix length that nobody has, the lowest first; NULL: leases */
} VmHost;

void vmhost_done(VmHost *h);

/* As it was asked for; NULL: not at all. */
typedef struct VmWish {
        const char *kind; /* "talos", "ubuntu", "debian" */
        const char *name, *cpus, *memory, *disk, *ip, *gateway, *mac, *network, *hugepages;
        bool server; /* of Ubuntu: no desktop */
        bool no_gpu;
        bool pin;          /* each of its CPUs has one of the host's to itself */
        char *const *gpus; /* PCI addresses, or how many of which model (gpuwish.h) */
} VmWish;

/* One line of what is shown. */
typedef struct VmChoice {
        const char *what; /* "name", "memory" */
        char *value;
        const char *why; /* "asked for", "half of the host's" */
} VmChoice;

enum { VMPLAN_CHOICES = 16 };

typedef struct VmPlan {
        char *name;
        char uuid[37];
        unsigned cpus;
        uint64_t memory; /* KiB */
        uint64_t page;   /* KiB, of hugepages; 0: none */
        VmPlace place;
        uint64_t disk;      /* bytes */
        const VmGpu **gpus; /* of the host's */
        size_t n_gpus;
        GpuWish gpu_wish;             /* those are chosen when it starts */
        char *gpu_wish_text;          /* NULL: none */
        char *mac, *bridge, *network; /* bridge or network */
        char *address, *gateway;      /* with prefix length; NULL: leased */
        char *warning;                /* what will still have to be said; NULL: nothing */
        VmChoice choices[VMPLAN_CHOICES];
        size_t n_choices;
} VmPlan;

/* uuid: the machine's. Returns 0; or, with a sentence and its remedy in reterr, -EINVAL for what was asked
 * for and cannot be, -EEXIST a name, address or MAC is taken, -EBUSY the GPU is, -ENOSPC there is not enough
 * memory. -ENOMEM. */
int vmplan_make(const VmHost *h, const VmWish *w, const char *uuid, VmPlan *ret,
                char **reterr) _must_check_ _nonnull_all_;
void vmplan_done(VmPlan *p);

/* It is going to have one, this one or another. */
bool vmplan_has_gpu(const VmPlan *p) _nonnull_all_;
/* All of its memory is taken from the host's at once. */
bool vmplan_pins_memory(const VmPlan *p) _nonnull_all_;
/* It may have this one. */
bool vmplan_may_have(const VmPlan *p, const VmGpu *g) _nonnull_all_;

/* What is wrong with a wish on any host: before anybody is asked. Returns 0, -EINVAL with a sentence, or
 * -ENOMEM. */
int vmplan_check(const VmWish *w, char **reterr) _must_check_ _nonnull_all_;

/* What a wish comes to where there is room for anything: for the sizes in it. As vmplan_check(). */
int vmplan_imagine(const VmWish *w, VmPlan *ret, char **reterr) _must_check_ _nonnull_all_;

/* The lowest free "PREFIX-01". */
int vmplan_name(const char *prefix, char *const *taken, char **ret) _must_check_
                __attribute__((nonnull(1, 3)));
