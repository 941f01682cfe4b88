/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Check: of the command about the host's health, what more than one file knows. */

#include "checkup.h"
#include "vmctl.h"

/* A host that was looked at, or a record of one. */
typedef struct CheckHost {
        int root;
        char *scratch; /* a directory of ours, of a record that was in a file; NULL: none */
        Conf conf;
        Evidence evidence;
        Checkup checkup;
} CheckHost;

void check_host_done(CheckHost *h);

/* In check.c: looks. Tells what is wrong. */
int check_look(CheckHost *h) _must_check_ _nonnull_all_;

/* In checkbundle.c: the host below a directory, or in a bundle's file; NULL is this one. Tells what is wrong.
 */
int check_open(const char *path, CheckHost *ret) _must_check_ __attribute__((nonnull(2)));
void check_remove(const char *scratch) _nonnull_all_;

/* In checkbundle.c: writes the bundle of a host that was looked at, and proves it: read again it has the same
 * verdict. Tells what is wrong. */
int check_write(const CheckHost *h, const char *path) _must_check_ _nonnull_all_;

/* In checksmoke.c: starts a machine, and adds what came of it. Tells what is wrong. */
int check_smoke(CheckHost *h) _must_check_ _nonnull_all_;

/* In checkfix.c: starts the phases that put something right of what was found, after asking. Tells what it
 * does. Returns 1 if one was started, 0 if there is none, or -errno after a message. */
int check_fix(Context *c, const CheckHost *h) _must_check_ _nonnull_all_;
