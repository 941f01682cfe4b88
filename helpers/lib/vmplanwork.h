/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Vmplanwork: a plan at work, for vmplan, vmplangpu and vmplannet. Not for others. */

#include "refuse.h"
#include "vmplan.h"

#define ASKED "asked for"

/* At work: the plan so far, and where to put what is wrong. */
typedef struct Making {
        const VmHost *h;
        const VmWish *w;
        VmPlan p;
        char **reterr;
} Making;

/* To be returned; the sentence is told by who asked for a plan. */
#define vmplan_refuse(m, ...) refuse((m)->reterr, __VA_ARGS__)

/* A line of what is shown: 0 or -ENOMEM. */
int vmplan_choose(Making *m, const char *what, const char *why, const char *format, ...) _printf_(4, 5);

/* Which GPUs it has. */
int vmplan_make_gpus(Making *m) _must_check_ _nonnull_all_;

/* Where its network comes from, its MAC and its address. */
int vmplan_make_network(Making *m) _must_check_ _nonnull_all_;
