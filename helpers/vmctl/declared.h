/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Declared: the machines that are declared in /etc/gpuvm/vms, each beside what it is; for the commands that
 * work with them. */

#include "catalog.h"
#include "pci.h"
#include "vmctl.h"
#include "vmdiff.h"

typedef struct Compared {
        const VmFile *file;
        bool made;         /* libvirt has it */
        VmDefined machine; /* as it is, if it is made */
        VmPlan wanted;     /* its sizes alone (vmplan_imagine()) */
        char **gpus;       /* addresses that the file names; NULL where it says how many, or nothing */
        VmDifferences differences;
} Compared;

typedef struct Declared {
        int root;
        Catalog catalog;
        PciBus bus;
        Compared *all;
        size_t n;
} Declared;

void declared_done(Declared *d);

/* Those with these names, or all; broken files are refused. Tells what is wrong. */
int declared_look(Context *c, char **names, Declared *ret) _must_check_ _nonnull_all_;

/* A machine as it is, but for the size of its disk. -ENOENT without a message. */
int declared_machine(Context *c, const char *name, VmDefined *ret) _must_check_ _nonnull_all_;

/* Adds that size, if it can be known. Of one that is on libvirt asks QEMU, which may be busy or hang. */
void declared_disk(Context *c, const char *name, VmDefined *d) _nonnull_all_;

struct json_object;
/* NULL without memory. */
struct json_object *declared_to_json(const VmDifference *i) _nonnull_all_;
