/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Imageplan: which image is meant: its name in the cache, from what was asked for and, for Talos, from which
 * version is the newest. For image alone. */

#include "gpuarch.h"
#include "imageask.h"
#include "imagesource.h"
#include "talos.h"

typedef struct ImageWant {
        ImageKind kind;
        const char *release; /* "25.10", "noble", "13", "v1.13.9"; NULL: the standard one, the newest Talos */
        const char *arch;    /* "amd64" or "arm64"; NULL: this machine's */
        const char *schematic; /* Talos: 64 hex digits; NULL: one with what the GPUs need */
        const GpuArch *gpus;   /* one for each GPU that the machine gets */
        size_t n_gpus;
} ImageWant;

/* Where it comes from and goes to. Zeroed with a root: the public places. */
typedef struct ImageSetup {
        int root;                              /* see fs.h */
        const char *root_path;                 /* its path, or NULL for "/" */
        const char *factory, *ubuntu, *debian; /* NULL: the public ones */
        bool refresh;                          /* look for a newer build; machines keep the one they have */
        uint64_t stall_usec;                   /* see fetch.h; 0: 15 s */
        uint64_t max;                          /* bytes that an image may have unpacked; 0: 16 GiB */
        ImageProgressFunction progress;        /* or NULL */
        void *userdata;
        bool (*stop)(void); /* asked again and again: true ends it with -EINTR; or NULL */
} ImageSetup;

/* What is wanted, resolved as far as that takes no network. */
typedef struct ImagePlan {
        const ImageSetup *s;
        ImageKind kind;
        const ImageRelease *release; /* NULL: Talos */
        TalosVersion talos;
        char *version; /* "25.10", "v1.13.9" */
        const char *arch;
        char **extensions;
        const char *schematic;  /* given, or NULL */
        char *name;             /* of the entry */
        int cache;              /* its directory, once something may change */
        char *ca_file, *github; /* see imageask.h; NULL: the system's, the real one */
} ImagePlan;

/* Resolves it; network: somebody may be asked which Talos is the newest. p is to be freed in any case. */
int imageplan_make(ImagePlan *p, const ImageSetup *s, const ImageWant *w, bool network,
                   ImageFailure *reterr) _must_check_ _nonnull_all_;
void imageplan_done(ImagePlan *p);

/* Opens the cache for writing, once. */
int imageplan_open_cache(ImagePlan *p, ImageFailure *reterr) _must_check_ _nonnull_all_;

/* For questions to the servers, with progress. p stays needed. */
ImageAsk imageplan_ask(ImagePlan *p) _nonnull_all_;

/* Tells that somebody else is waited for; userdata: the plan. -EINTR if it is to stop. */
int imageplan_on_wait(void *userdata) _must_check_;

int imageplan_out_of_memory(ImageFailure *reterr) _nonnull_all_;
