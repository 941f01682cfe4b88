/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "digest.h"
#include "library.h"

#define LIBRARY "libcrypto.so.3"

enum { BYTES_MAX = 64 };

struct Digest {
        void *context;
        DigestKind kind;
};

static const struct {
        const char *name;
        size_t bytes;
} kinds[_DIGEST_KIND_MAX] = {
        [DIGEST_SHA256] = { "sha256", 32 },
        [DIGEST_SHA512] = { "sha512", 64 },
};

/* As in openssl/evp.h; opaque pointers, and stable for as long as the library has this name. */
static struct {
        void *library;
        void *(*EVP_MD_CTX_new)(void);
        void (*EVP_MD_CTX_free)(void *context);
        const void *(*EVP_sha256)(void);
        const void *(*EVP_sha512)(void);
        int (*EVP_DigestInit_ex)(void *context, const void *type, void *engine);
        int (*EVP_DigestUpdate)(void *context, const void *data, size_t n);
        int (*EVP_DigestFinal_ex)(void *context, unsigned char *md, unsigned *ret_n);
} lib;

const char *digest_kind_to_string(DigestKind k) {
        return k >= 0 && k < _DIGEST_KIND_MAX ? kinds[k].name : NULL;
}

DigestKind digest_kind_from_string(const char *s) {
        for (DigestKind k = 0; k < _DIGEST_KIND_MAX; k++)
                if (streq(kinds[k].name, s))
                        return k;
        return _DIGEST_KIND_INVALID;
}

size_t digest_hex_length(DigestKind k) {
        assert(k >= 0 && k < _DIGEST_KIND_MAX);
        return 2 * kinds[k].bytes;
}

#define X(f) \
        { #f, &lib.f }
static const LibraryFunction functions[] = { X(EVP_MD_CTX_new),    X(EVP_MD_CTX_free),   X(EVP_sha256),
                                             X(EVP_sha512),        X(EVP_DigestInit_ex), X(EVP_DigestUpdate),
                                             X(EVP_DigestFinal_ex) };
#undef X

static int load_library(void) {
        return MIN(library_load(LIBRARY, functions, ELEMENTSOF(functions), &lib.library), 0);
}

int digest_new(DigestKind kind, Digest **ret) {
        _cleanup_(digest_freep) Digest *d = NULL;
        int r;

        r = load_library();
        if (r < 0)
                return r;
        d = calloc(1, sizeof(*d));
        if (!d)
                return -ENOMEM;
        d->kind = kind;
        d->context = lib.EVP_MD_CTX_new();
        if (!d->context)
                return -ENOMEM;
        if (lib.EVP_DigestInit_ex(d->context, kind == DIGEST_SHA256 ? lib.EVP_sha256() : lib.EVP_sha512(),
                                  NULL) != 1)
                return -EIO;
        *ret = TAKE_PTR(d);
        return 0;
}

void digest_free(Digest *d) {
        if (!d)
                return;
        if (d->context)
                lib.EVP_MD_CTX_free(d->context);
        free(d);
}

int digest_add(Digest *d, const void *data, size_t n) {
        return n == 0 || lib.EVP_DigestUpdate(d->context, data, n) == 1 ? 0 : -EIO;
}

int digest_end(Digest *d, char ret[static DIGEST_HEX_MAX]) {
        unsigned char bytes[BYTES_MAX];
        unsigned n = 0;

        if (lib.EVP_DigestFinal_ex(d->context, bytes, &n) != 1 || n != kinds[d->kind].bytes)
                return -EIO;
        for (unsigned i = 0; i < n; i++)
                (void) snprintf(ret + 2 * i, 3, "%02x", bytes[i]);
        return 0;
}
