/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "image.h"
#include "fs.h"

#define SIZE_MAX_DEFAULT (UINT64_C(16) * 1024 * 1024 * 1024)

enum {
        BUILD_SEC = 600, /* the factory builds an image when it is first asked for */
        DIGITS = 12,     /* of a sum, in a file's name */
};

/* -EEXIST: somebody has built one under that name. */
static int find(const ImagePlan *p, ImageEntry *ret) {
        _cleanup_(image_entry_done) ImageEntry e = {};
        int r;

        r = imagecache_find(p->s->root, p->name, &e);
        if (r >= 0)
                r = e.built ? -EEXIST : imagecache_hold(p->s->root, &e);
        if (r < 0)
                return r;
        *ret = e;
        e = (ImageEntry){};
        return 0;
}

int image_find(const ImageSetup *s, const ImageWant *w, ImageEntry *ret, ImageFailure *reterr) {
        _cleanup_(imageplan_done) ImagePlan p = { .cache = -EBADF };
        int r;

        r = imageplan_make(&p, s, w, false, reterr);
        if (r < 0)
                return r;
        r = find(&p, ret);
        return r < 0 ? image_fail(reterr, r, "Download it with 'vmctl image pull'.",
                                  "The image '%s' is not in the cache%s%s", p.name, r == -ENOENT ? "" : ": ",
                                  r == -ENOENT ? "" : strerror(-r))
                     : 0;
}

/* What was asked for, before the image itself. */
typedef struct Order {
        ImagePlace place;
        char *schematic; /* Talos */
        char expected[DIGEST_HEX_MAX];
        const char *signature;
        char *file;
} Order;

static void order_done(Order *o) {
        image_place_done(&o->place);
        free(o->schematic);
        free(o->file);
}

static int order_talos(ImagePlan *p, Order *o, ImageFailure *reterr) {
        ImageAsk a = imageplan_ask(p);
        int r;

        r = p->schematic ? free_and_strdup(&o->schematic, p->schematic)
                         : imageask_schematic(&a, p->version, p->extensions, &o->schematic, reterr);
        if (r < 0)
                return r == -ENOMEM ? imageplan_out_of_memory(reterr) : r;
        o->signature = "unsigned";
        if (talos_image_url(a.factory, o->schematic, p->talos, p->arch, &o->place.url) < 0 ||
            str_printf(&o->file, "%s-%s.raw", p->name, o->schematic) < 0)
                return imageplan_out_of_memory(reterr);
        return 0;
}

static int order_release(ImagePlan *p, Order *o, ImageFailure *reterr) {
        const char *base = p->kind == IMAGE_UBUNTU ? p->s->ubuntu ?: IMAGESOURCE_UBUNTU
                                                   : p->s->debian ?: IMAGESOURCE_DEBIAN;
        ImageAsk a = imageplan_ask(p);
        int r;

        if (imagesource_place(p->release, base, p->arch, &o->place) < 0)
                return imageplan_out_of_memory(reterr);
        r = imageask_sum(&a, &o->place, o->expected, &o->signature, reterr);
        if (r == -ENOENT && imagesource_is_over(p->release, time(NULL)))
                return image_fail(reterr, r, "Take a release that is supported, with --release.",
                                  "%s %s has had no support since %s, and its image is gone from '%s'",
                                  image_kind_to_string(p->kind), p->version, p->release->end, base);
        if (r < 0)
                return r;
        return str_printf(&o->file, "%s-%.*s.qcow2", p->name, DIGITS, o->expected) < 0
                        ? imageplan_out_of_memory(reterr)
                        : 0;
}

static int fill_entry(const ImagePlan *p, const Order *o, const ImagePulled *d, ImageEntry *e) {
        struct stat st;
        int r;

        r = str_printf(&e->path, "%s/%s", IMAGE_CACHE, o->file);
        if (r >= 0)
                r = fs_stat(p->s->root, e->path, &st);
        if (r < 0)
                return r;
        e->size = d->size;
        e->length = d->length;
        e->used = (uint64_t) st.st_blocks * 512;
        e->pulled = (uint64_t) time(NULL);
        if (free_and_strdup(&e->name, p->name) < 0 ||
            free_and_strdup(&e->kind, image_kind_to_string(p->kind)) < 0 ||
            free_and_strdup(&e->release, p->version) < 0 || free_and_strdup(&e->arch, p->arch) < 0 ||
            free_and_strdup(&e->file, o->file) < 0 ||
            free_and_strdup(&e->format, p->kind == IMAGE_TALOS ? "raw" : "qcow2") < 0 ||
            free_and_strdup(&e->schematic, strempty(o->schematic)) < 0 ||
            free_and_strdup(&e->url, o->place.url) < 0 || free_and_strdup(&e->signature, o->signature) < 0 ||
            str_printf(&e->digest, "%s:%s", digest_kind_to_string(o->place.digest), d->digest) < 0 ||
            (*d->content ? str_printf(&e->content, "sha256:%s", d->content)
                         : free_and_strdup(&e->content, "")) < 0)
                return -ENOMEM;
        return 0;
}

static int download(ImagePlan *p, const Order *o, ImageFailure *reterr) {
        const ImagePull pull = {
                .name = p->name,
                .url = o->place.url,
                .cache = p->cache,
                .file = o->file,
                .unpack = unpack_kind(o->place.url),
                .qcow2 = p->kind != IMAGE_TALOS,
                .digest = o->place.digest,
                .expected = *o->expected ? o->expected : NULL,
                .max = p->s->max ?: SIZE_MAX_DEFAULT,
                .answer_usec = p->kind == IMAGE_TALOS ? BUILD_SEC * USEC_PER_SEC : 0,
                .stall_usec = p->s->stall_usec,
                .ca_file = p->ca_file,
                .progress = p->s->progress,
                .userdata = p->s->userdata,
                .stop = p->s->stop,
        };
        _cleanup_(image_entry_done) ImageEntry e = {};
        ImagePulled pulled;
        int r;

        r = imagepull(&pull, &pulled, reterr);
        if (r < 0)
                return r;
        r = fill_entry(p, o, &pulled, &e);
        if (r >= 0)
                r = imagecache_put(p->s->root, &e);
        return r < 0 ? image_fail(reterr, r, image_remedy(r), "Cannot write the entry of '%s': %s", p->name,
                                  strerror(-r))
                     : 0;
}

/* Under the lock: somebody may have been quicker, and a refresh may find the same build. */
static int pull_locked(ImagePlan *p, bool waited, ImageEntry *ret, ImageFailure *reterr) {
        _cleanup_(image_entry_done) ImageEntry old = {};
        _cleanup_(order_done) Order o = {};
        bool have;
        int r;

        r = find(p, &old);
        if (r == -EEXIST)
                return image_fail(reterr, r, "'vmctl image remove' it, and build it under another one.",
                                  "'%s' is the name of a download, and an image that was built here has it",
                                  p->name);
        have = r >= 0;
        if (!have || (p->s->refresh && !waited)) {
                r = p->kind == IMAGE_TALOS ? order_talos(p, &o, reterr) : order_release(p, &o, reterr);
                if (r >= 0 && !(have && streq(old.file, o.file)))
                        r = download(p, &o, reterr);
                if (r < 0)
                        return r;
        }
        r = find(p, ret);
        return r < 0 ? image_fail(reterr, r, NULL, "The image '%s' is gone again: %s", p->name, strerror(-r))
                     : 0;
}

typedef struct Waiting {
        ImagePlan *p;
        bool waited;
} Waiting;

static int on_lock(void *userdata) {
        Waiting *w = userdata;

        w->waited = true;
        return imageplan_on_wait(w->p);
}

int image_get(const ImageSetup *s, const ImageWant *w, ImageEntry *ret, ImageFailure *reterr) {
        _cleanup_(imageplan_done) ImagePlan p = { .cache = -EBADF };
        _cleanup_close_ int lock = -EBADF;
        Waiting waiting = { .p = &p };
        int r;

        r = imageplan_make(&p, s, w, true, reterr);
        if (r < 0)
                return r;
        if (!s->refresh && find(&p, ret) >= 0)
                return 0;
        r = imageplan_open_cache(&p, reterr);
        if (r < 0)
                return r;
        lock = imagecache_lock(p.cache, p.name, on_lock, &waiting);
        if (lock < 0)
                return image_fail(reterr, lock, image_remedy(lock), "Cannot lock the image '%s': %s", p.name,
                                  strerror(-lock));
        return pull_locked(&p, waiting.waited, ret, reterr);
}
