/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Vmplace: where on the host a machine runs. Its memory and CPUs are near its GPUs, where they fit: what a
 * GPU reads from another node's memory goes through the link between the processors. When asked for, its
 * memory comes from hugepages, and each of its CPUs has one of the host's to itself. Pure but for
 * vmplace_read(). */

#include "macro.h"

/* A NUMA node of the host. */
typedef struct VmNode {
        int id;
        char *cpus; /* "0-15,32-47" */
        uint64_t free_kib;
        uint64_t free_2m, free_1g; /* hugepages, by number */
} VmNode;

/* What a machine has of the host's memory. */
typedef struct VmMemory {
        uint64_t kib, page_kib; /* in hugepages of that size; 0: in ordinary ones */
        int node;               /* all of it is from there; -1: from anywhere */
} VmMemory;

typedef struct VmTopology {
        VmNode *nodes; /* none where nobody knows */
        size_t n_nodes;
        uint64_t free_2m, free_1g; /* hugepages that are going to be free, nobody knows where */
        char **cores;              /* the CPUs of each core, "3,19", by their first one */
        char **pinned;             /* lists of CPUs that other machines have to themselves */
} VmTopology;

void vmtopology_done(VmTopology *t);

/* All but `pinned`. What cannot be read is not there. Returns 0 or -ENOMEM. */
int vmplace_read(int root, VmTopology *ret) _must_check_ __attribute__((nonnull(2)));

/* It is going to be free. */
void vmplace_add_free(VmTopology *t, const VmMemory *m) _nonnull_all_;

typedef struct VmPlaceWish {
        unsigned cpus;
        uint64_t memory_kib;
        uint64_t page_kib; /* 2048 or 1048576; 0: ordinary pages */
        int node;          /* of its GPUs; -1: none, or several */
        bool pin;
} VmPlaceWish;

typedef struct VmPlace {
        int node;        /* all its memory is there; -1: anywhere */
        char *cpus;      /* its CPUs run there; NULL: anywhere */
        unsigned *pins;  /* one of the host's CPUs for each of its own; NULL: not pinned */
        const char *why; /* of node */
} VmPlace;

void vmplace_done(VmPlace *p);

/* Returns 0; or, with a sentence and its remedy in reterr, -EINVAL for memory that is no whole number of
 * pages, -ENOSPC where there are too few pages or CPUs. -ENOMEM. */
int vmplace_make(const VmTopology *t, const VmPlaceWish *w, VmPlace *ret,
                 char **reterr) _must_check_ _nonnull_all_;

/* The pins of a place that has some, one for each of the CPUs, as a list: "8,9". Returns 0 or -ENOMEM. */
int vmplace_pins(const VmPlace *p, unsigned cpus, char **ret) _must_check_ _nonnull_all_;

/* A list as the kernel writes it, "0-3,8". */
bool vmplace_has_cpu(const char *list, unsigned cpu) _nonnull_all_;
