/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Takeback: a host without what steps of the bootstrap did to it, from the ledger alone.
 *
 * Each thing is looked at first: what is as it was needs nothing, and a file that somebody changed after us
 * is named and left. The order is the reverse of how a host is built: libvirt's objects and units while their
 * programs are there, files, group members, what has to be made anew from the files, packages last. A record
 * is forgotten once its change is gone for good; a run that was cut is simply repeated. */

#include "ledger.h"
#include "phase.h"

typedef struct Takeback {
        Phase *p;
        Ledger ledger;
        char **steps; /* NULL: all, and the bootstrap's own memory */
        bool force;   /* files that somebody changed after us, too */

        /* private */
        bool *done;     /* for each record: it may be forgotten */
        bool grub_done; /* grub.cfg is back as it was, byte for byte */
        int error;      /* the first that was told; the rest still goes on */
} Takeback;

/* Calls off the restart that gpuvm-reboot has announced, and keeps the phases of the bootstrap from working
 * meanwhile (turn.h). Before the ledger is read. Returns 0; a negative result has been told. */
int takeback_take_turn(Phase *p) _must_check_ _nonnull_all_;

/* Goes as far as it can. Whatever the steps, the bootstrap does not go on by itself after this. Returns 0, or
 * the first error, which has been told. */
int takeback_run(Takeback *tb) _must_check_ _nonnull_all_;
void takeback_done(Takeback *tb);

/* For the rooms that it consists of. */

/* Keeps the first error. */
void takeback_failed(Takeback *tb, int error) _nonnull_all_;
/* True for a record of that kind that is to be taken back and is not yet. */
bool takeback_wants(const Takeback *tb, size_t i, const char *kind) _must_check_ _nonnull_all_;
/* Runs a program with up to three arguments (NULL: none more), see child_run(). */
int takeback_tool(Takeback *tb, const char *a, const char *b, const char *c, const char *d) _must_check_;
