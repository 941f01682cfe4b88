/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Gpuwish: GPUs that are asked for by number and model: "2", "RTX 4090", "2 x RTX 4090". Which ones that are
 * is known when the machine starts. Pure; libc only. */

#include "macro.h"

enum { GPUWISH_MAX = 16 };

typedef struct GpuWish {
        unsigned n;  /* 0: nothing is wished for */
        char *model; /* NULL: any */
} GpuWish;

void gpuwish_done(GpuWish *w);

/* words: as they are given, each with or without blanks in it; NULL: none. Returns 1; 0 if there are none, or
 * they name GPUs (addresses, paths, "none"); -EINVAL with a sentence in reterr; -ENOMEM. */
int gpuwish_parse(char *const *words, GpuWish *ret, const char **reterr) _must_check_
                __attribute__((nonnull(2, 3)));

/* In one form, however it was written; gpuwish_parse() reads it. Returns 0 or -ENOMEM. */
int gpuwish_format(const GpuWish *w, char **ret) _must_check_ _nonnull_all_;

/* name: of a GPU, "GeForce RTX 4090"; NULL: not known. The model is a part of it, in whole words, whatever
 * the case. */
bool gpuwish_fits(const GpuWish *w, const char *name) __attribute__((nonnull(1)));
