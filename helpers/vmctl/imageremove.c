/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Image remove, image gc: images that no machine's disk is made on go. */

#include "fs.h"
#include "imagejob.h"
#include "imagestock.h"
#include "json.h"

static int remove_entry(const Context *c, const ImageStock *s, const ImageEntry *e) {
        bool json = vmctl_has(c, OPT_JSON);
        int r;

        if (vmctl_has(c, OPT_DRY_RUN)) {
                if (!json)
                        printf("%s would be removed%s\n", e->name,
                               strv_contains(s->used, e->file) ? ", but is in use" : "");
                return 0;
        }
        r = imagecache_remove(s->root, e, s->used);
        if (r == -EBUSY)
                return log_full_errno(
                                LOG_ERR, EBUSY,
                                "The image '%s' stays: a machine's disk is made on it, or is being made",
                                e->name);
        if (r < 0)
                return log_error_errno(r, "Cannot remove the image '%s': %m. Run this as root", e->name);
        if (!vmctl_has(c, OPT_QUIET) && !json)
                printf("%s removed\n", e->name);
        return 0;
}

/* e: NULL if there is none. */
static int removal_to_json(json_object *all, const ImageStock *s, const char *name, const ImageEntry *e,
                           bool removed, int r) {
        json_object *o = json_object_new_object();

        if (json_append(all, o) < 0 || json_add_text(o, "name", name) < 0 ||
            json_add(o, "removed", json_object_new_boolean(removed)) < 0 ||
            json_add(o, "in_use", json_object_new_boolean(e && strv_contains(s->used, e->file))) < 0 ||
            json_add(o, "status", json_object_new_int(vmctl_status(r))) < 0)
                return log_oom();
        return 0;
}

/* One question for all of them. Returns 1, 0 for no, or -errno after a message. */
static int ask_removal(const Context *c, char *const *names) {
        _cleanup_free_ char *list = NULL, *question = NULL;

        if (vmctl_has(c, OPT_YES) || vmctl_has(c, OPT_DRY_RUN))
                return 1;
        list = strv_join(names, ", ");
        if (!list || str_printf(&question, "Remove %s?", list) < 0)
                return log_oom();
        return vmctl_ask(question);
}

/* Those that there are. Returns 0; -ENOENT after messages if there are others; -ENOMEM. */
static int find_names(const ImageStock *s, char *const *words, char ***ret) {
        int r = 0;

        STRV_FOREACH(word, words)
                if (!imagestock_find(s, *word))
                        r = -ENOENT;
                else if (strv_extend(ret, *word) < 0)
                        return log_oom();
        return r;
}

/* answer: of ask_removal(). all: where each is told. */
static int remove_all(const Context *c, const ImageStock *s, char *const *words, int answer,
                      json_object *all) {
        int result = 0;

        STRV_FOREACH(word, words) {
                const ImageEntry *e = imagestock_get(s, *word);
                int r = !e ? -ENOENT : answer > 0 ? remove_entry(c, s, e) : answer;
                bool removed = e && answer > 0 && r >= 0 && !vmctl_has(c, OPT_DRY_RUN);

                result = result ?: r;
                if (removal_to_json(all, s, *word, e, removed, r) < 0)
                        return -ENOMEM;
        }
        return result;
}

int cmd_image_remove(Context *c, char **args) {
        _cleanup_json_ json_object *all = json_object_new_array();
        _cleanup_(imagestock_done) ImageStock s = { .root = -EBADF };
        _cleanup_strv_ char **names = NULL;
        int r;

        r = imagestock_load(&s);
        if (r >= 0 && !vmctl_has(c, OPT_DRY_RUN))
                r = imagejob_check_right(c, s.root);
        if (r >= 0)
                r = imagestock_look_at_use(&s, true);
        if (r >= 0)
                r = find_names(&s, args, &names);
        if (r < 0 && r != -ENOENT)
                return r;
        r = remove_all(c, &s, args, names ? ask_removal(c, names) : 0, all);
        if (vmctl_has(c, OPT_JSON) && json_print(all, stdout) < 0)
                return -EIO;
        return r;
}

static int gc_json(char *const *gone, uint64_t bytes) {
        _cleanup_json_ json_object *o = json_object_new_object();

        if (json_add(o, "removed", json_new_list((const char *const *) gone)) < 0 ||
            json_add(o, "bytes", json_object_new_int64((int64_t) bytes)) < 0)
                return log_oom();
        return json_print(o, stdout);
}

int cmd_image_gc(Context *c, char **args) {
        _cleanup_(imagestock_done) ImageStock s = { .root = -EBADF };
        _cleanup_strv_ char **gone = NULL;
        bool dry = vmctl_has(c, OPT_DRY_RUN);
        uint64_t bytes = 0;
        int r;

        r = imagestock_open(&s);
        if (r >= 0 && !dry)
                r = imagejob_check_right(c, s.root);
        if (r >= 0)
                r = imagestock_look_at_use(&s, true);
        if (r < 0)
                return r;
        r = imagecache_gc(s.root, s.used, vmctl_has(c, OPT_ALL), dry, &gone, &bytes);
        if (r < 0)
                return log_error_errno(r, "Cannot clean up '" IMAGE_CACHE "': %m. Run this as root");
        if (vmctl_has(c, OPT_JSON))
                return gc_json(gone, bytes);
        if (vmctl_has(c, OPT_QUIET))
                return 0;
        STRV_FOREACH(name, gone)
                printf("%s %s\n", *name, dry ? "would be removed" : "removed");
        printf("%s %s\n", size_text(bytes / 1024).text, dry ? "would be free" : "free");
        return 0;
}
