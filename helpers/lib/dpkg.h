/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Dpkg: which packages are here.
 *
 * Read from dpkg's own file, /var/lib/dpkg/status (paragraphs of "Field: value" as deb822(5) has them), so
 * that looking starts no program and needs no rights. */

#include "macro.h"

typedef enum PackageState {
        PACKAGE_ABSENT, /* unknown here, or only its configuration files are left */
        PACKAGE_BROKEN, /* somewhere between: unpacked, half configured, to be reinstalled */
        PACKAGE_INSTALLED,
} PackageState;

typedef struct DpkgPackage {
        char *name, *version; /* version: NULL if there is none */
        PackageState state;
        bool held;
} DpkgPackage;

/* /var/lib/dpkg/status, sorted by name; one entry per installed architecture. */
typedef struct DpkgStatus {
        DpkgPackage *packages;
        size_t n;
        bool broken;      /* an entry is PACKAGE_BROKEN */
        bool interrupted; /* dpkg was stopped half way: its journal is not empty */
} DpkgStatus;

/* Reads the file below root. A missing one is -ENOENT: no Debian. */
int dpkg_read(int root, DpkgStatus *ret) _must_check_ _nonnull_all_;

/* The same from text of that size. Bytes that make no sense are skipped. Returns 0 or -ENOMEM. */
int dpkg_parse(const char *text, size_t size, DpkgStatus *ret) _must_check_ _nonnull_all_;
void dpkg_done(DpkgStatus *s);

/* The entry of the architecture that is furthest (borrowed), or NULL. */
const DpkgPackage *dpkg_find(const DpkgStatus *s, const char *package) _nonnull_all_;

/* The best state that any architecture of the package is in. */
PackageState dpkg_state(const DpkgStatus *s, const char *package) _nonnull_all_;

/* Those of the packages (NULL terminated) that are not installed, in the same order. Returns 0 or -ENOMEM. */
int dpkg_missing(const DpkgStatus *s, const char *const *packages, char ***ret) _must_check_ _nonnull_all_;
