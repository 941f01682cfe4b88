/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <inttypes.h>
#include <stdarg.h>

#include "fetch.h"
#include "imagepull.h"
#include "qcow2.h"

enum {
        BUFFER_BYTES = 1024 * 1024, /* whole blocks of sparsefile.h, and all of a qcow2 header */
        PROGRESS_USEC = 100000,
        SECTOR = 512,
};

/* For the decoders of all threads: two of an image as Talos makes them, with blocks of 24 MiB. */
#define UNPACK_MEMORY (UINT64_C(144) * 1024 * 1024)
#define RESERVE       (UINT64_C(512) * 1024 * 1024)

typedef struct Job {
        const ImagePull *p;
        Fetch *fetch;
        Digest *digest;  /* of what comes in */
        Digest *content; /* of what is written, or NULL */
        Unpack *unpack;
        SparseFile *file;
        uint64_t began_usec, told_usec;
        uint64_t size; /* of the disk, once its header was seen */
} Job;

void image_failure_done(ImageFailure *f) {
        free(f->cause);
        free(f->remedy);
        *f = (ImageFailure){};
}

int image_fail(ImageFailure *f, int error, const char *remedy, const char *format, ...) {
        va_list ap;

        image_failure_done(f);
        va_start(ap, format);
        if (vasprintf(&f->cause, format, ap) < 0)
                f->cause = NULL;
        va_end(ap);
        if (!isempty(remedy))
                f->remedy = strdup(remedy);
        return error;
}

const char *image_remedy(int error) {
        switch (error) {
        case -EKEYREJECTED:
                return "See that the clock is right and ca-certificates is installed; a proxy that reads along needs its "
                       "certificate among the system's.";
        case -ENETUNREACH:
                return "See that the name resolves and the server can be reached; a proxy is taken from $https_proxy.";
        case -ETIMEDOUT:
        case -ECONNRESET:
        case -EREMOTEIO:
        case -ESTALE:
                return "Try again later, or name a mirror in the [Image] section of gpuvm.conf.";
        case -ENOSPC:
                return "Make room where "
                       "/var/cache/gpuvm"
                       " is: 'vmctl image gc' removes what no machine needs.";
        case -EBADMSG:
        case -ENODATA:
        case -EPROTO:
                return "Try again; if it stays so, the server or the mirror is broken.";
        case -EACCES:
        case -EPERM:
        case -EROFS:
                return "Run this as root.";
        case -ENOPKG:
                return "Install libcurl4, libssl3 and libarchive13.";
        default:
                return "";
        }
}

static void tell(Job *j, ImageStep step) {
        uint64_t now = monotonic_usec();
        ImageProgress p;

        if (!j->p->progress || (step == IMAGE_STEP_DOWNLOAD && now - j->told_usec < PROGRESS_USEC))
                return;
        j->told_usec = now;
        p = (ImageProgress){ step, j->p->name, fetch_received(j->fetch), fetch_length(j->fetch),
                             now - j->began_usec };
        j->p->progress(&p, j->p->userdata);
}

static void on_tick(void *userdata) {
        Job *j = userdata;

        if (j->fetch)
                tell(j, IMAGE_STEP_DOWNLOAD);
}

static ssize_t on_source(void *userdata, const void **ret) {
        Job *j = userdata;
        ssize_t n = fetch_read(j->fetch, ret);
        int r;

        if (n <= 0)
                return n;
        r = digest_add(j->digest, *ret, (size_t) n);
        return r < 0 ? r : n;
}

/* In the words of whoever found it. */
static int explain(Job *j, int error, ImageFailure *reterr) {
        const char *url = j->p->url, *remedy = image_remedy(error), *said = fetch_message(j->fetch);

        if (*said)
                return image_fail(reterr, error, remedy, "Cannot download '%s': %s", url, said);
        switch (error) {
        case -EBADMSG:
                return image_fail(reterr, error, remedy, "What came from '%s' is damaged", url);
        case -ENODATA:
                return image_fail(reterr, -EBADMSG, remedy, "What came from '%s' is cut short", url);
        case -E2BIG:
                return image_fail(reterr, error, remedy,
                                  "To unpack '%s' would take more than %" PRIu64 " MiB of memory", url,
                                  UNPACK_MEMORY >> 20);
        case -EOPNOTSUPP:
                return image_fail(reterr, -EBADMSG, image_remedy(-EBADMSG),
                                  "What came from '%s' is not packed as its name says", url);
        case -EFBIG:
                return image_fail(reterr, error,
                                  "A bigger one is allowed by MaxSize= in the [Image] section of gpuvm.conf.",
                                  "The image from '%s' is bigger than %" PRIu64 " MiB unpacked", url,
                                  j->p->max >> 20);
        case -ENOSPC:
                return image_fail(reterr, error, remedy,
                                  "There is no room in the cache for the image from '%s'", url);
        default:
                return image_fail(reterr, error, remedy, "Cannot store the image from '%s': %s", url,
                                  strerror(-error));
        }
}

static int refuse(Job *j, ImageFailure *reterr, const char *reason) {
        return image_fail(reterr, -EBADMSG, "It must not be used; tell whoever runs that server.",
                          "The image from '%s' %s", j->p->url, reason);
}

/* The first piece tells what QEMU would read from the header. */
static int check_start(Job *j, const void *data, size_t n, ImageFailure *reterr) {
        const char *reason = NULL;
        Qcow2 q;

        if (!j->p->qcow2)
                return 0;
        if (qcow2_check(data, MIN(n, (size_t) QCOW2_HEADER_MAX), j->p->max, &q, &reason) < 0)
                return refuse(j, reterr, reason);
        j->size = q.size;
        return 0;
}

static int transfer(Job *j, ImageFailure *reterr) {
        _cleanup_free_ uint8_t *buffer = malloc(BUFFER_BYTES);
        int r;

        if (!buffer)
                return image_fail(reterr, -ENOMEM, NULL, "Out of memory");
        for (bool first = true;; first = false) {
                ssize_t n = unpack_read(j->unpack, buffer, BUFFER_BYTES);

                if (n < 0)
                        return explain(j, (int) n, reterr);
                r = first ? check_start(j, buffer, (size_t) n, reterr) : 0;
                if (r < 0)
                        return r;
                if (n == 0)
                        return 0;
                r = sparsefile_write(j->file, buffer, (size_t) n);
                if (r < 0)
                        return explain(j, r, reterr);
                tell(j, IMAGE_STEP_DOWNLOAD);
        }
}

/* All of it is there: is it what it was to be? */
static int check_whole(Job *j, ImagePulled *ret, ImageFailure *reterr) {
        int r;

        r = digest_end(j->digest, ret->digest);
        if (r >= 0 && j->content)
                r = digest_end(j->content, ret->content);
        if (r < 0)
                return image_fail(reterr, r, NULL, "Cannot end the sum of '%s': %s", j->p->url, strerror(-r));
        if (j->p->expected && !streq(ret->digest, j->p->expected))
                return image_fail(
                                reterr, -EBADMSG,
                                "If a new build is being published just now, try again in some minutes; else the server "
                                "or the mirror is broken.",
                                "The sum of '%s' is %s, not %s", j->p->url, ret->digest, j->p->expected);
        ret->length = sparsefile_size(j->file);
        ret->data = sparsefile_data(j->file);
        ret->size = j->p->qcow2 ? j->size : ret->length;
        if (!j->p->qcow2 && (ret->length == 0 || ret->length % SECTOR != 0))
                return refuse(j, reterr, "is no disk: it does not end with a sector");
        return 0;
}

/* A packed image may well be as big as what is in it. */
static int open_all(Job *j) {
        const ImagePull *p = j->p;
        FetchOptions options = { .max = p->max,
                                 .answer_usec = p->answer_usec,
                                 .stall_usec = p->stall_usec,
                                 .ca_file = p->ca_file,
                                 .tick = on_tick,
                                 .stop = p->stop,
                                 .userdata = j };
        SparseFileLimits limits = { .max = p->max, .reserve = RESERVE };
        int r;

        /* libcurl first: it brings the library that digest.h asks for. */
        r = fetch_open(p->url, &options, &j->fetch);
        if (r >= 0)
                r = digest_new(p->digest, &j->digest);
        if (r >= 0 && p->unpack != UNPACK_NONE)
                r = digest_new(DIGEST_SHA256, &j->content);
        if (r >= 0)
                r = unpack_open(p->unpack, UNPACK_MEMORY, on_source, j, &j->unpack);
        return r < 0 ? r : sparsefile_open(p->cache, p->file, &limits, j->content, &j->file);
}

static void job_done(Job *j) {
        unpack_free(j->unpack);
        sparsefile_free(j->file);
        digest_free(j->content);
        digest_free(j->digest);
        fetch_free(j->fetch);
}

int imagepull(const ImagePull *p, ImagePulled *ret, ImageFailure *reterr) {
        _cleanup_(job_done) Job j = { .p = p, .began_usec = monotonic_usec() };
        ImagePulled pulled = {};
        int r;

        r = open_all(&j);
        if (r < 0 && !j.fetch)
                return image_fail(reterr, r, image_remedy(r), "Cannot begin to download '%s': %s", p->url,
                                  strerror(-r));
        if (r < 0)
                return explain(&j, r, reterr);
        r = transfer(&j, reterr);
        if (r >= 0)
                r = check_whole(&j, &pulled, reterr);
        if (r < 0)
                return r;
        tell(&j, IMAGE_STEP_SYNC);
        r = sparsefile_commit(j.file);
        if (r < 0)
                return explain(&j, r, reterr);
        *ret = pulled;
        return 0;
}
