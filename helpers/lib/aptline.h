/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Aptline: what apt-get and dpkg write, line by line. Pure. */

#include "macro.h"

/* Why apt-get could not, as far as its words tell. */
typedef enum AptTrouble {
        APT_TROUBLE_NONE,
        APT_TROUBLE_LOCK,    /* another program is at work: wait */
        APT_TROUBLE_NETWORK, /* try again later */
        APT_TROUBLE_STALE,   /* the lists are older than the archive: update, try again */
        APT_TROUBLE_MISSING, /* no source has the package */
        APT_TROUBLE_SPACE,
        APT_TROUBLE_PROXY,   /* it lets nobody through, or breaks into TLS */
        APT_TROUBLE_KEY,     /* unknown, expired, or of a kind that is not trusted any more */
        APT_TROUBLE_SOURCES, /* a sources file cannot be understood */
        APT_TROUBLE_BROKEN,  /* held packages, unmet dependencies, a maintainer script that fails */
        _APT_TROUBLE_MAX,
} AptTrouble;

/* Judges one line of apt-get's or dpkg's stderr. */
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

/* One line of "apt-get --simulate". Returns 1 if it is a step, 0 if not (ret is empty), -ENOMEM. */
int apt_parse_step(const char *line, AptStep *ret) _must_check_ _nonnull_all_;
void apt_step_done(AptStep *s);

/* One line of APT::Status-Fd, "pmstatus:PACKAGE:PERCENT:TEXT". Returns 1 and where the text starts and
 * the percentage, or 0 if it tells no progress. */
int apt_parse_progress(const char *line, const char **ret_text, unsigned *ret_percent) _nonnull_all_;
