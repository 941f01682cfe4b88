/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Catalog: all machines that are declared on a host: NAME.vm in /etc/gpuvm/vms, /run/gpuvm/vms and
 * /usr/lib/gpuvm/vms, where the first of a name hides the others, each with its drop-ins NAME.vm.d. */

#include "vmfile.h"

#define CATALOG_NAME "gpuvm/vms" /* below /etc, /run and /usr/lib */

enum { CATALOG_FILE_MAX = 1024 * 1024 }; /* bytes */

typedef struct Catalog {
        VmFile *files; /* by name; also those with problems */
        size_t n;
} Catalog;

void catalog_done(Catalog *c);

/* Names of machines, sorted; also of files that are masked, or wrong. Returns 0 or -ENOMEM. */
int catalog_names(int root, ConfProblem problem, void *userdata, char ***ret) _must_check_
                __attribute__((nonnull(4)));
/* One of them, with what is wrong told and counted. Returns 1; 0 if there is none, or it is masked; -ENOMEM.
 */
int catalog_read(int root, const char *name, ConfProblem problem, void *userdata, VmFile *ret) _must_check_
                __attribute__((nonnull(2, 5)));

/* Likewise, as if the file with that path were not there. */
int catalog_read_without(int root, const char *name, const char *path, ConfProblem problem, void *userdata,
                         VmFile *ret) _must_check_ __attribute__((nonnull(2, 6)));

/* All. Returns 0 or -ENOMEM. */
int catalog_load(int root, ConfProblem problem, void *userdata, Catalog *ret) _must_check_
                __attribute__((nonnull(4)));

/* By the machine's name, or NULL. */
VmFile *catalog_find(const Catalog *c, const char *name) _nonnull_all_;
