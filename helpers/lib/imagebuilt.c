/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <inttypes.h>
#include <sys/stat.h>
#include <time.h>

#include "fs.h"
#include "imagebuilt.h"
#include "sparsefile.h"

enum { DIGITS = 12 /* of a sum, in a file's name */ };

int imagebuilt_recipe(const ImageEntry *base, const char *user_data, uint64_t size, bool compress,
                      char ret[static DIGEST_HEX_MAX]) {
        _cleanup_(digest_freep) Digest *d = NULL;
        _cleanup_free_ char *head = NULL;
        int r;

        r = str_printf(&head, "%s %s %" PRIu64 " %d\n", base->name, base->digest, size, compress);
        if (r >= 0)
                r = digest_new(DIGEST_SHA256, &d);
        if (r >= 0)
                r = digest_add(d, head, strlen(head));
        if (r >= 0)
                r = digest_add(d, user_data, strlen(user_data));
        return r < 0 ? r : digest_end(d, ret);
}

const char *imagebuilt_recipe_of(const ImageEntry *e) {
        return json_text(e->built, "recipe");
}

bool imagebuilt_has_driver(const ImageEntry *e) {
        return *json_text(e->built, "driver");
}

static int sum_up(int fd, char hex[static DIGEST_HEX_MAX]) {
        _cleanup_(digest_freep) Digest *d = NULL;
        int r;

        r = digest_new(DIGEST_SHA256, &d);
        if (r >= 0)
                r = sparsefile_sum(fd, true, d, NULL, NULL);
        return r < 0 ? r : digest_end(d, hex);
}

static int describe(const ImageBuilt *b, json_object **ret) {
        _cleanup_json_ json_object *o = json_object_new_object();
        int r;

        r = json_add_text(o, "recipe", b->recipe);
        if (r >= 0)
                r = json_add_text(o, "from", b->base->name);
        if (r >= 0)
                r = json_add_text(o, "from_digest", b->base->digest);
        if (r >= 0)
                r = json_add_text(o, "kernel", b->answer->kernel);
        if (r >= 0)
                r = json_add_text(o, "driver", b->answer->driver);
        if (r >= 0)
                r = json_add(o, "compressed", json_object_new_boolean(b->compress));
        if (r >= 0)
                r = json_add(o, "seconds", json_object_new_int((int32_t) b->seconds));
        if (r >= 0)
                r = json_add(o, "packages", json_object_get(b->answer->packages));
        if (r < 0)
                return r;
        *ret = TAKE_PTR(o);
        return 0;
}

static int fill(const ImageBuilt *b, const char *hex, const struct stat *st, ImageEntry *e) {
        e->size = b->size;
        e->length = (uint64_t) st->st_size;
        e->used = (uint64_t) st->st_blocks * 512;
        e->pulled = (uint64_t) time(NULL);
        if (free_and_strdup(&e->name, b->name) < 0 || free_and_strdup(&e->kind, b->base->kind) < 0 ||
            free_and_strdup(&e->release, b->base->release) < 0 ||
            free_and_strdup(&e->arch, b->base->arch) < 0 || free_and_strdup(&e->format, "qcow2") < 0 ||
            free_and_strdup(&e->schematic, "") < 0 || free_and_strdup(&e->url, "") < 0 ||
            free_and_strdup(&e->content, "") < 0 ||
            free_and_strdup(&e->signature, IMAGEBUILT_SIGNATURE) < 0 ||
            str_printf(&e->digest, "sha256:%s", hex) < 0 ||
            str_printf(&e->file, "%s-%.*s.qcow2", b->name, DIGITS, hex) < 0 ||
            str_printf(&e->path, "%s/%s", IMAGE_CACHE, e->file) < 0)
                return -ENOMEM;
        return describe(b, &e->built);
}

int imagebuilt_adopt(int root, int cache, const ImageBuilt *b, ImageEntry *ret) {
        _cleanup_close_ int fd = openat(cache, b->part, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        _cleanup_(image_entry_done) ImageEntry e = {};
        char hex[DIGEST_HEX_MAX];
        struct stat st;
        int r;

        if (fd < 0)
                return negative_errno();
        r = sum_up(fd, hex);
        if (r >= 0 && (fchmod(fd, 0444) < 0 || fsync(fd) < 0 || fstat(fd, &st) < 0))
                r = negative_errno();
        if (r >= 0)
                r = fill(b, hex, &st, &e);
        if (r >= 0 && (renameat(cache, b->part, cache, e.file) < 0 || fsync(cache) < 0))
                r = negative_errno();
        if (r >= 0)
                r = imagecache_put(root, &e);
        if (r < 0)
                return r;
        *ret = e;
        e = (ImageEntry){};
        return 0;
}
