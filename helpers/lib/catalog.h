/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Catalog: all machines that are declared on a host: NAME.vm in /etc/gpuvm/vms, /run/gpuvm/vms and
 * /usr/lib/gpuvm/vms, where the first of a name hides the others, each with its drop-ins NAME.vm.d. */

#include "vmfile.h"

#define CATALOG_NAME "gpuvm/vms" /* below /etc, /run and /usr/lib */

typedef struct Catalog {
        VmFile *files; /* by name; also those with problems */
        size_t n;
} Catalog;

void catalog_done(Catalog *c);

/* Returns 0, with what is wrong told and counted in each file, or -ENOMEM. */
int catalog_load(int root, ConfProblem problem, void *userdata, Catalog *ret) _must_check_
                __attribute__((nonnull(4)));

/* By the machine's name, or NULL. */
VmFile *catalog_find(const Catalog *c, const char *name) _nonnull_all_;
