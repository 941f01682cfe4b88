/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Digest: SHA-256 and SHA-512 of what goes by.
 *
 * By OpenSSL's libcrypto, which uses the processor's own instructions, and which libcurl has loaded already
 * where something was downloaded; loaded when it is first used. */

#include "macro.h"

typedef enum DigestKind {
        DIGEST_SHA256,
        DIGEST_SHA512,
        _DIGEST_KIND_MAX,
        _DIGEST_KIND_INVALID = -EINVAL
} DigestKind;

enum { DIGEST_HEX_MAX = 2 * 64 + 1 }; /* with the NUL */

const char *digest_kind_to_string(DigestKind k);
DigestKind digest_kind_from_string(const char *s) _nonnull_all_;

/* How many hex digits there are in one. */
size_t digest_hex_length(DigestKind k);

typedef struct Digest Digest;

/* Returns -ENOPKG if the library is not there. */
int digest_new(DigestKind kind, Digest **ret) _must_check_ _nonnull_all_;
void digest_free(Digest *d);
DEFINE_POINTER_CLEANUP(Digest, digest_free)

int digest_add(Digest *d, const void *data, size_t n) _must_check_ __attribute__((nonnull(1)));

/* Ends it: nothing may be added after. In lower case. */
int digest_end(Digest *d, char ret[static DIGEST_HEX_MAX]) _must_check_ _nonnull_all_;
