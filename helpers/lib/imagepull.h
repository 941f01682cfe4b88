/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Imagepull: one image from its URL into the cache's directory, in one pass: fetched, hashed, unpacked,
 * looked at, written with holes, synced, named. Whatever goes wrong, there is no file of that name
 * afterwards. */

#include "sparsefile.h"
#include "unpack.h"

typedef enum ImageStep {
        IMAGE_STEP_ASK,      /* for versions, extensions, sums */
        IMAGE_STEP_WAIT,     /* somebody else downloads it */
        IMAGE_STEP_DOWNLOAD, /* and unpack */
        IMAGE_STEP_SYNC,     /* to the disk */
        IMAGE_STEP_VERIFY,   /* read again; done and total are of the file */
} ImageStep;

typedef struct ImageProgress {
        ImageStep step;
        const char *name;     /* of the image */
        uint64_t done, total; /* bytes from the network; total UINT64_MAX: not known */
        uint64_t usec;        /* since the download began */
} ImageProgress;

/* Called several times a second. */
typedef void (*ImageProgressFunction)(const ImageProgress *p, void *userdata);

/* What failed, for a human: cause and remedy, each a sentence. */
typedef struct ImageFailure {
        char *cause;
        char *remedy; /* may be NULL */
} ImageFailure;
void image_failure_done(ImageFailure *f);

/* Says it, if there is memory for it. Returns error. */
int image_fail(ImageFailure *f, int error, const char *remedy, const char *format, ...) _printf_(4, 5);

/* What to do about an error of fetch.h, "" for nothing in particular. */
const char *image_remedy(int error);

typedef struct ImagePull {
        const char *name; /* for progress */
        const char *url;
        int cache; /* the directory */
        const char *file;
        UnpackKind unpack;
        bool qcow2;                       /* a qcow2 image; else a raw one */
        DigestKind digest;                /* of what comes from the network */
        const char *expected;             /* its digits, or NULL: not known */
        uint64_t max;                     /* bytes of the image unpacked */
        uint64_t answer_usec, stall_usec; /* see fetch.h */
        const char *ca_file;
        ImageProgressFunction progress; /* or NULL */
        void *userdata;
        bool (*stop)(void); /* see fetch.h */
} ImagePull;

typedef struct ImagePulled {
        char digest[DIGEST_HEX_MAX];
        char content[DIGEST_HEX_MAX]; /* SHA-256 of the blocks (sparsefile.h); "": unpack is UNPACK_NONE */
        uint64_t size;                /* virtual */
        uint64_t length;              /* of the file */
        uint64_t data;                /* bytes written */
} ImagePulled;

/* Errors: those of fetch.h, unpack.h and sparsefile.h; -EBADMSG too where the sum is another one or QEMU must
 * not see the image. */
int imagepull(const ImagePull *p, ImagePulled *ret, ImageFailure *reterr) _must_check_ _nonnull_all_;
