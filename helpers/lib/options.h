/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Options: the command line of gpu-vm-bootstrap. */

#include "settings.h"

typedef struct Options {
        enum { ACTION_RUN, ACTION_STATUS, ACTION_FOLLOW } action;
        Settings settings;
        bool dry_run, yes, json;
        const char *root; /* borrowed; NULL: the running machine */
} Options;

/* What is not given is left as it is in o. Returns 0 with optind at the first argument that is no option, 1
 * if help or the version was printed, -EINVAL if getopt has said what is wrong. */
int options_parse(int argc, char *argv[], Options *o) _must_check_ _nonnull_all_;
