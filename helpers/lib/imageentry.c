/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "imageentry.h"
#include "fs.h"

enum { NAME_BYTES = 200 };

/* The members of an entry's text, and where they are in the struct. */
static const struct {
        const char *key;
        size_t offset;
} texts[] = {
        { "name", offsetof(ImageEntry, name) },         { "kind", offsetof(ImageEntry, kind) },
        { "release", offsetof(ImageEntry, release) },   { "arch", offsetof(ImageEntry, arch) },
        { "file", offsetof(ImageEntry, file) },         { "format", offsetof(ImageEntry, format) },
        { "schematic", offsetof(ImageEntry, schematic) }, { "url", offsetof(ImageEntry, url) },
        { "digest", offsetof(ImageEntry, digest) },     { "content", offsetof(ImageEntry, content) },
        { "signature", offsetof(ImageEntry, signature) },
}, numbers[] = {
        { "size", offsetof(ImageEntry, size) },
        { "length", offsetof(ImageEntry, length) },
        { "used", offsetof(ImageEntry, used) },
        { "pulled", offsetof(ImageEntry, pulled) },
};

static char **text_of(const ImageEntry *e, size_t i) {
        return (char **) (void *) ((char *) e + texts[i].offset);
}

static uint64_t *number_of(const ImageEntry *e, size_t i) {
        return (uint64_t *) (void *) ((char *) e + numbers[i].offset);
}

void image_entry_done(ImageEntry *e) {
        for (size_t i = 0; i < ELEMENTSOF(texts); i++)
                free(*text_of(e, i));
        free(e->path);
        json_putp(&e->built);
        if (e->hold > 0)
                (void) safe_close(e->hold);
        *e = (ImageEntry){};
}

void image_entries_free(ImageEntry *l, size_t n) {
        for (size_t i = 0; i < n; i++)
                image_entry_done(&l[i]);
        free(l);
}

bool image_name_is_valid(const char *name) {
        static const char allowed[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-+";

        return *name && *name != '.' && *name != '-' && strlen(name) <= NAME_BYTES &&
                        name[strspn(name, allowed)] == '\0';
}

int image_entry_to_json(const ImageEntry *e, json_object **ret) {
        _cleanup_json_ json_object *o = json_object_new_object();
        int r = 0;

        for (size_t i = 0; i < ELEMENTSOF(texts) && r >= 0; i++)
                r = json_add_text(o, texts[i].key, strempty(*text_of(e, i)));
        for (size_t i = 0; i < ELEMENTSOF(numbers) && r >= 0; i++)
                r = json_add(o, numbers[i].key, json_object_new_int64((int64_t) *number_of(e, i)));
        if (r >= 0 && e->built)
                r = json_add(o, "built", json_object_get(e->built));
        if (r < 0)
                return r;
        *ret = TAKE_PTR(o);
        return 0;
}

static int take_members(json_object *o, ImageEntry *e) {
        json_object *value;

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                if (!json_object_object_get_ex(o, texts[i].key, &value) ||
                    !json_object_is_type(value, json_type_string))
                        return -EBADMSG;
                if (free_and_strdup(text_of(e, i), json_object_get_string(value)) < 0)
                        return -ENOMEM;
        }
        for (size_t i = 0; i < ELEMENTSOF(numbers); i++) {
                if (!json_object_object_get_ex(o, numbers[i].key, &value) ||
                    !json_object_is_type(value, json_type_int) || json_object_get_int64(value) < 0)
                        return -EBADMSG;
                *number_of(e, i) = (uint64_t) json_object_get_int64(value);
        }
        e->built = json_object_get(json_member(o, "built", json_type_object));
        return 0;
}

int image_entry_parse(const char *text, ImageEntry *ret) {
        _cleanup_json_ json_object *o = json_tokener_parse(text);
        _cleanup_(image_entry_done) ImageEntry e = {};
        int r;

        if (!json_object_is_type(o, json_type_object))
                return -EBADMSG;
        r = take_members(o, &e);
        if (r < 0)
                return r;
        /* They become paths. */
        if (!image_name_is_valid(e.name) || !image_name_is_valid(e.file) ||
            endswith(e.file, IMAGE_ENTRY_SUFFIX) || (!streq(e.format, "raw") && !streq(e.format, "qcow2")))
                return -EBADMSG;
        r = str_printf(&e.path, "%s/%s", IMAGE_CACHE, e.file);
        if (r < 0)
                return r;
        *ret = e;
        e = (ImageEntry){};
        return 0;
}
