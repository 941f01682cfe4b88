/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Buildplan: what an image that is built here is to have: the base that it is made from, packages, and
 * NVIDIA's driver for the GPUs that its machines will get. Pure: what was asked for in, or why not. */

#include "imagesource.h"
#include "nvidia.h"

#define BUILDPLAN_WORKER "gpu-worker" /* has a recipe of its own */

enum { BUILDPLAN_SIZE_GIB = 30 };

typedef struct BuildWant {
        const char *name;
        const char *from;        /* "ubuntu-24.04", "debian-13"; NULL: what the recipe of the name says */
        const char *nvidia;      /* a branch or version of the driver, "" for what suits; NULL: no driver */
        const char *size;        /* NULL: 30 GiB */
        char *const *packages;   /* each may be several, with blanks or commas between */
        bool cuda;               /* NVIDIA's toolkit as well */
        const char *host_driver; /* version of the host's driver; NULL: it has none */
        const NvidiaGpu *gpus;   /* of the host; none: those of data centres since Turing */
        size_t n_gpus;
        const char *arch; /* "amd64" */
} BuildWant;

typedef struct BuildPlan {
        char *name;
        const ImageRelease *base;
        const char *arch;
        char **packages; /* what every image has, what the recipe has, what was asked for */
        char **driver;   /* packages of NVIDIA's driver and, if wanted, toolkit; NULL: no driver */
        char *version;   /* of the driver, as it is pinned: "580", "580.95.05"; NULL: the newest, whose branch
                          * is pinned once it is there */
        const char *version_why;
        char *repository; /* as in nvidia.h */
        const char *key, *fingerprint;
        uint64_t size; /* bytes of the disk */
} BuildPlan;

/* Returns 0; -EINVAL and what is wrong, a sentence with its remedy; or -ENOMEM. */
int buildplan_make(const BuildWant *w, BuildPlan *ret, char **reterr) _must_check_ _nonnull_all_;
void buildplan_done(BuildPlan *p);
