/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Virtcheck: the part of verify that is about libvirt. To ask may take for ever, if libvirtd hangs, so it is
 * apart from the judgement. */

#include "conf.h"
#include "findings.h"
#include "virt.h"

typedef struct VirtAnswers {
        int error;     /* 0, or why it could not be asked: see virt_open_root(); -ETIMEDOUT */
        char *message; /* what it said then, or NULL */
        unsigned long version;
        unsigned running;  /* machines */
        VirtState pool;    /* Pool= */
        VirtState network; /* libvirt's own */
} VirtAnswers;

void virtanswers_done(VirtAnswers *a);

/* Returns 0, also if there was no answer, or -ENOMEM. */
int virtcheck_ask(int root, const Conf *c, VirtAnswers *ret) _must_check_ _nonnull_all_;

/* One line of JSON for the way from a child, or from another machine, and back. What is missing there is 0.
 */
int virtcheck_to_json(const VirtAnswers *a, json_object **ret) _must_check_ _nonnull_all_;
int virtcheck_from_json(json_object *o, VirtAnswers *ret) _must_check_ __attribute__((nonnull(2)));

/* Pure. root: it was root who asked, whom nothing is refused. nat: VMs use libvirt's own network. Adds the
 * findings "libvirt", "pool" and "network". Returns 0 or -ENOMEM. */
int virtcheck_judge(const VirtAnswers *a, const Conf *c, bool root, bool nat,
                    Findings *ret) _must_check_ _nonnull_all_;
