/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Apt: which packages are here, and how to get the ones that are not.
 *
 * What is installed is read from dpkg's own file, so that looking starts no program and needs no rights; what
 * is to be done goes through apt-get. apt-get's exit status proves nothing: only dpkg's file, read again,
 * does. The functions that take a Phase announce, act and tell a failure themselves, once, by phase_fail().
 */

#include "conf.h"
#include "phase.h"
#include "undo.h"

typedef enum PackageState {
        PACKAGE_ABSENT, /* unknown here, or only its configuration files are left */
        PACKAGE_BROKEN, /* somewhere between: unpacked, half configured, to be reinstalled */
        PACKAGE_INSTALLED,
} PackageState;

typedef struct DpkgPackage {
        const char *name, *version;
        PackageState state;
        bool held;
} DpkgPackage;

/* /var/lib/dpkg/status, sorted by name; one entry per installed architecture. */
typedef struct DpkgStatus {
        char *text; /* what the entries point into */
        DpkgPackage *packages;
        size_t n;
        bool broken;      /* an entry is PACKAGE_BROKEN */
        bool interrupted; /* dpkg was stopped half way: its journal is not empty */
} DpkgStatus;

/* Reads the file below root. A missing one is -ENOENT: no Debian. */
int dpkg_read(int root, DpkgStatus *ret) _must_check_ _nonnull_all_;

/* The same from text of that size, with a NUL behind it, which is taken over (also on failure). Bytes that
 * make no sense are skipped. Returns 0 or -ENOMEM. */
int dpkg_parse(char *text, size_t size, DpkgStatus *ret) _must_check_ _nonnull_all_;
void dpkg_done(DpkgStatus *s);

/* The best state that any architecture of the package is in. */
PackageState dpkg_state(const DpkgStatus *s, const char *package) _nonnull_all_;

/* Those of the packages (NULL terminated) that are not installed, in the same order. Returns 0 or -ENOMEM. */
int dpkg_missing(const DpkgStatus *s, const char *const *packages, char ***ret) _must_check_ _nonnull_all_;

/* Why apt-get could not, as far as its words tell. */
typedef enum AptTrouble {
        APT_TROUBLE_NONE,
        APT_TROUBLE_LOCK,    /* another program is at work: wait */
        APT_TROUBLE_NETWORK, /* try again later */
        APT_TROUBLE_STALE,   /* the lists are older than the archive: update, try again */
        APT_TROUBLE_MISSING, /* no source has the package */
        APT_TROUBLE_SPACE,
        APT_TROUBLE_KEY,
        APT_TROUBLE_SOURCES, /* a sources file cannot be understood */
        APT_TROUBLE_BROKEN,  /* held packages, unmet dependencies, a maintainer script that fails */
        _APT_TROUBLE_MAX,
} AptTrouble;

/* Pure: judges one line of apt-get's or dpkg's stderr. */
AptTrouble apt_classify(const char *line) _nonnull_all_;
/* A sentence on what the user can do about it. */
const char *apt_remedy(AptTrouble t);

typedef enum AptStepKind { APT_STEP_NONE, APT_STEP_INSTALL, APT_STEP_UPGRADE, APT_STEP_REMOVE } AptStepKind;

typedef struct AptStep {
        AptStepKind kind;
        char *package; /* "name" or "name:arch" */
        char *version; /* the new one, for install and upgrade */
        bool security; /* a security archive has this version */
} AptStep;

/* Pure: one line of "apt-get --simulate". Returns 1 if it is a step, 0 if not (ret is empty), -ENOMEM. */
int apt_parse_step(const char *line, AptStep *ret) _must_check_ _nonnull_all_;
void apt_step_done(AptStep *s);

/* Sees to it that the packages are installed. All there: returns 0, and nothing is started. Otherwise each
 * missing one is announced; an interrupted dpkg is repaired, the lists are refreshed, each package that will
 * be new (dependencies too) is recorded, and what apt installed is read back. apt may not remove anything.
 * Returns 1 if something was installed (in a dry run: would be), 0, or an error that has been told. u may be
 * NULL in a dry run only. */
int apt_ensure(Phase *p, Undo *u, const char *const *packages) _must_check_;

/* Upgrades what is installed: everything (UPDATE_YES), or what a security archive has a newer version of
 * (UPDATE_SECURITY). Never removes. Not for dry runs: only apt knows what there is to do. Returns the number
 * of packages upgraded, 0, or an error that has been told. */
int apt_upgrade(Phase *p, Undo *u, UpdateMode mode) _must_check_;

/* Completes what an interrupted dpkg left. Announced if there is something. Returns 1 if so, 0 if all was
 * well, or an error that has been told. Waits for another program that holds dpkg's lock. */
int apt_repair(Phase *p) _must_check_ _nonnull_all_;

/* Purges packages, for undo: -EBUSY, told, if apt would have to take others along that are not in the list.
 * Those not installed are left out. Returns 1 if something was removed, 0, or an error that has been told. */
int apt_remove(Phase *p, char *const *packages) _must_check_;
