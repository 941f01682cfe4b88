/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Imageentry: what the cache knows of an image (imagecache.h), and its text. Pure. */

#include "json.h"
#include "macro.h"

#define IMAGE_CACHE        "/var/cache/gpuvm/images"
#define IMAGE_ENTRY_SUFFIX ".json" /* of an entry's file */

typedef struct ImageEntry {
        char *name;      /* "ubuntu-25.10-amd64", "talos-v1.13.9-amd64-open-lts" */
        char *kind;      /* "talos", "ubuntu", "debian" */
        char *release;   /* "25.10", "v1.13.9" */
        char *arch;      /* "amd64", "arm64" */
        char *file;      /* in the cache */
        char *path;      /* the same with the cache's directory; not below a root */
        char *format;    /* "raw" or "qcow2": to be given as the backing file's format, never to be guessed */
        char *schematic; /* Talos; else "" */
        char *url;       /* where it came from */
        char *digest;    /* of what was downloaded, "sha256:HEX" or "sha512:HEX" */
        char *content; /* of the unpacked file's blocks (sparsefile.h), "sha256:HEX"; "": the file is what was
                        * downloaded */
        char *signature;    /* "good", or why there is none: "unsigned", "no keyring", "no gpgv" */
        json_object *built; /* what one that was built here was made of (imagebuilt.h), or NULL */
        uint64_t size;      /* virtual, in bytes: the disk of a machine is at least that */
        uint64_t length;    /* of the file, in bytes */
        uint64_t used;      /* bytes that the file takes on the disk */
        uint64_t pulled;    /* seconds since 1970 */
        int hold; /* a descriptor that keeps the file from being removed, until it is closed; 0: none */
} ImageEntry;
void image_entry_done(ImageEntry *e);
void image_entries_free(ImageEntry *l, size_t n);

/* An entry's text, and back. -EBADMSG for one that we did not write. */
int image_entry_to_json(const ImageEntry *e, json_object **ret) _must_check_ _nonnull_all_;
int image_entry_parse(const char *text, ImageEntry *ret) _must_check_ _nonnull_all_;

/* A name that an entry may have: letters, digits, "." and "-", no dot in front. */
bool image_name_is_valid(const char *name) _nonnull_all_;
