/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Imagesource: what images there are, where they come from, and what the lists of sums beside them say. Pure:
 * nothing here asks anybody.
 *
 * Ubuntu's are in cloud-images.ubuntu.com/releases/CODENAME/release beside SHA256SUMS and its signature;
 * Debian's in cloud.debian.org/images/cloud/CODENAME/latest beside SHA512SUMS, which nobody signs; Talos's
 * are made by its image factory (talos.h), which gives no sums. */

#include <time.h>

#include "digest.h"

#define IMAGESOURCE_UBUNTU "https://cloud-images.ubuntu.com"
#define IMAGESOURCE_DEBIAN "https://cloud.debian.org/images/cloud"

typedef enum ImageKind {
        IMAGE_TALOS,
        IMAGE_UBUNTU,
        IMAGE_DEBIAN,
        _IMAGE_KIND_MAX,
        _IMAGE_KIND_INVALID = -EINVAL,
} ImageKind;

const char *image_kind_to_string(ImageKind k);
ImageKind image_kind_from_string(const char *s) _nonnull_all_;
/* What a machine of some kind is made from: one for language models from Ubuntu. */
ImageKind imagesource_kind_of(const char *machine) _nonnull_all_;

typedef struct ImageRelease {
        ImageKind kind;
        const char *version;  /* "25.10" */
        const char *codename; /* "questing" */
        const char *end;      /* the last day of free support, "2026-07-09" */
        bool standard;        /* the one that is taken where none is asked for */
} ImageRelease;

/* By version or codename; name NULL: the standard one. Returns NULL for one that is not known. */
const ImageRelease *imagesource_release(ImageKind kind, const char *name);

/* Their versions, for a message: "24.04, 25.10, 26.04". */
int imagesource_versions(ImageKind kind, char **ret) _must_check_ _nonnull_all_;

/* True after its last day. */
bool imagesource_is_over(const ImageRelease *r, time_t now) _nonnull_all_;

/* This machine's architecture in the words of all three: "amd64", "arm64", or NULL. */
const char *imagesource_arch(void);

/* Where a release's images and sums are, and how they are called there. base: without a slash at the end. */
typedef struct ImagePlace {
        char *file;      /* "debian-13-generic-amd64.qcow2" */
        char *url;       /* of the image */
        char *sums;      /* of the list of sums */
        char *signature; /* of its signature; NULL: there is none */
        DigestKind digest;
} ImagePlace;

int imagesource_place(const ImageRelease *r, const char *base, const char *arch,
                      ImagePlace *ret) _must_check_ _nonnull_all_;
void image_place_done(ImagePlace *p);

/* The sum of a file in a list as sha256sum(1) writes it ("HEX  NAME" or "HEX *NAME"), in lower case. Returns
 * 0; -ENOENT if the file is not in it, -EBADMSG if its sum is no such sum or if two different ones are given.
 */
int imagesource_sum(const char *list, const char *file, DigestKind kind,
                    char ret[static DIGEST_HEX_MAX]) _must_check_ _nonnull_all_;

/* The name of a Talos image's set of extensions: "" for none of NVIDIA's, else "open-lts",
 * "nonfree-production" and the like. buf is returned. */
enum { IMAGE_VARIANT_MAX = 32 };
const char *imagesource_variant(char *const *extensions, char buf[static IMAGE_VARIANT_MAX])
                __attribute__((nonnull(2)));

/* The newest release in GitHub's answer to releases/latest: its tag_name, "v1.13.9". 0 or -EBADMSG. */
int imagesource_github_latest(const char *answer, char **ret) _must_check_ _nonnull_all_;
