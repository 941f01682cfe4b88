/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Buildinit: what a guest that makes an image (buildplan.h), or proves one, is told by its seed, and what it
 * answers. Pure.
 *
 * cloud-init only starts the job (buildguest.sh), as a unit that comes after all of cloud-init: so the job
 * can take cloud-init's own traces away, and systemd turns the machine off however it ends. */

#include "buildplan.h"
#include "json.h"

typedef enum BuildJob { BUILD_JOB_BUILD, BUILD_JOB_VERIFY, _BUILD_JOB_MAX } BuildJob;

/* The same plan gives the same text. For BUILD_JOB_VERIFY of p only driver is looked at: whether there is to
 * be one. */
int buildinit_user_data(BuildJob job, const BuildPlan *p, char **ret) _must_check_ _nonnull_all_;

/* What stands on the answer's disk before the guest writes on it. */
#define BUILDINIT_BLANK "gpuvm-answer\n"
enum { BUILDINIT_ANSWER_MAX = 256 * 1024 }; /* well below what an entry of the cache holds */

typedef struct BuildAnswer {
        bool done;             /* else: */
        char *step, *reason;   /* where it failed, and in whose words; "" where done */
        char *kernel, *driver; /* driver "": there is none */
        json_object *packages; /* name to version */
} BuildAnswer;
void build_answer_done(BuildAnswer *a);

/* Returns 0; -ENODATA: the guest has written nothing; -EBADMSG: something else than an answer. Texts have no
 * control characters. */
int buildinit_answer(const char *disk, size_t size, BuildAnswer *ret) _must_check_ _nonnull_all_;
