/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "bootentry.h"
#include "boot.h"
#include "bootfile.h"
#include "fs.h"
#include "grubcfg.h"
#include "strv.h"

#define BLANKS      " \t"
#define LOADER_INFO "/sys/firmware/efi/efivars/LoaderInfo-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"

/* The variable is UTF-16 behind four bytes of attributes: "systemd-boot 252", "GRUB 2.12". */
bool bootentry_started_by(int root, const char *name) {
        _cleanup_free_ char *data = NULL;
        size_t size;

        if (fs_read(root, LOADER_INFO, FS_ATTR_MAX, &data, &size) < 0)
                return false;
        for (size_t i = 0; i < strlen(name); i++)
                if (4 + 2 * i + 1 >= size || data[4 + 2 * i] != name[i] || data[4 + 2 * i + 1] != '\0')
                        return false;
        return true;
}

int bootentry_list(int root, const char *partition, char ***ret) {
        _cleanup_strv_ char **names = NULL, **l = NULL;
        _cleanup_free_ char *dir = NULL, *id = NULL, *token = NULL;
        int r;

        if (str_printf(&dir, "%s/loader/entries", partition) < 0)
                return -ENOMEM;
        r = fs_list(root, dir, &names);
        if (r < 0)
                return r;
        if (fs_read_line(root, "/etc/machine-id", &id) < 0)
                id = strdup("");
        if (fs_read_line(root, "/etc/kernel/entry-token", &token) < 0)
                token = strdup("");
        STRV_FOREACH(n, names) {
                bool ours = (!isempty(id) && startswith(*n, id)) ||
                                (!isempty(token) && startswith(*n, token));

                if (!ours || !endswith(*n, ".conf"))
                        continue;
                r = strv_extendf(&l, "%s/%s", dir, *n);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(l);
        return 0;
}

static const char *const places[] = { "/boot", "/boot/efi", "/efi" };

int bootentry_partition(int root, char **ret) {
        for (size_t i = 0; i < ELEMENTSOF(places); i++) {
                _cleanup_strv_ char **l = NULL;
                int r;

                r = bootentry_list(root, places[i], &l);
                if (r == -ENOENT || r == -EACCES || (r >= 0 && !l)) /* 0700 on many: a dry run cannot look */
                        continue;
                if (r < 0)
                        return r;
                *ret = strdup(places[i]);
                return *ret ? 0 : -ENOMEM;
        }
        return -ENOENT;
}

int bootentry_edit_words(const char *line, const char *firmware, bool override, char **ret) {
        _cleanup_strv_ char **old = NULL, **new = NULL, **want = NULL;
        bool changed = false;
        const char *off;
        int r;

        r = strv_split(line, BLANKS "\n", &old);
        if (r >= 0)
                r = strv_split(boot_iommu_words(firmware), " ", &want);
        STRV_FOREACH(w, old) {
                char *one[] = { *w, NULL };

                if (r < 0)
                        break;
                if (override && cmdline_iommu_off(one, firmware))
                        changed = true;
                else
                        r = strv_extend(&new, *w);
        }
        STRV_FOREACH(w, want)
                if (r >= 0 && (!new || !strv_contains(new, *w))) {
                        r = strv_extend(&new, *w);
                        changed = true;
                }
        if (r < 0)
                return r;
        /* An administrator's off behind an on: without consent it stays, and the caller refuses. */
        off = cmdline_iommu_off(new, firmware);
        if (off)
                return -EPERM;
        if (!changed)
                return 0;
        *ret = strv_join(new, " ");
        return *ret ? 1 : -ENOMEM;
}

const char *bootentry_value(const char *line, const char *key) {
        const char *p = startswith(line + strspn(line, BLANKS), key);

        return p && strchr(BLANKS, *p) && *p ? p + strspn(p, BLANKS) : NULL;
}

int bootentry_edit(const char *text, const char *firmware, bool override, char **ret) {
        _cleanup_free_ char *edited = NULL, *value = NULL;
        const char *at = NULL, *end;
        int r;

        /* The value of the last options line; the loader joins them all. */
        for (const char *p = text; *p; p = *end ? end + 1 : end) {
                const char *v = bootentry_value(p, "options");

                end = p + strcspn(p, "\n");
                if (v && v < end)
                        at = v;
        }
        if (!at)
                return -EBADMSG;
        end = at + strcspn(at, "\n");
        value = strndup(at, (size_t) (end - at));
        if (!value)
                return -ENOMEM;
        r = bootentry_edit_words(value, firmware, override, &edited);
        if (r <= 0)
                return r;
        r = str_printf(ret, "%.*s%s%s", (int) (at - text), text, edited, end);
        return r < 0 ? r : 1;
}

/* Announces and writes one file. new: NULL is nothing to do. Returns 1 if so (or would be). */
static int write_one(Phase *p, Undo *u, const char *path, const char *new, const char *firmware) {
        struct stat st = { .st_mode = 0644 };
        int r;

        r = phase_change(p, "write", path, "kernel command line: %s", boot_iommu_words(firmware));
        if (r < 0)
                return phase_fail(p, r, "Try again", "Cannot go on");
        if (r == 0)
                return 1;
        (void) !fs_stat(p->root, path, &st);
        r = undo_edit_file(u, path, NULL, new, st.st_mode & 07777);
        if (r < 0)
                return phase_fail(p, r,
                                  "Make it writable, with some room; 'gpuvm-undo iommu' takes back the rest",
                                  "Cannot write %s", path);
        return 1;
}

static int refuse(Phase *p, int error, const char *path) {
        if (error == -EPERM)
                return phase_fail(
                                p, 0,
                                "Take the word out, or set OverrideIommuOff=yes in [Bootstrap] of /etc/gpuvm.conf",
                                "%s keeps the IOMMU off", path);
        return phase_fail(p, error, "Look at it", "Cannot edit %s", path);
}

/* The running kernel's command line without what the loader added to it. As it is written, quotes and all:
 * the next kernel needs them as well. */
static int running_words(int root, char **ret) {
        _cleanup_strv_ char **words = NULL, **kept = NULL;
        _cleanup_free_ char *text = NULL;
        int r;

        r = fs_read(root, "/proc/cmdline", FS_ATTR_MAX, &text, NULL);
        if (r >= 0)
                r = strv_split(text, BLANKS "\n", &words);
        STRV_FOREACH(w, words)
                if (r >= 0 && !startswith(*w, "initrd=") && !startswith(*w, "BOOT_IMAGE="))
                        r = strv_extend(&kept, *w);
        if (r < 0)
                return r;
        *ret = strv_join(kept, " ");
        return *ret ? 0 : -ENOMEM;
}

/* The words that kernel-install gives to kernels to come. Without the file it would take those of the running
 * kernel; so do we. */
static int edit_kernel_words(Phase *p, Undo *u, const char *firmware, bool override) {
        _cleanup_free_ char *line = NULL, *edited = NULL, *text = NULL;
        int r;

        r = fs_read(p->root, BOOT_KERNEL_WORDS, FS_FILE_MAX, &line, NULL);
        if (r == -ENOENT)
                r = running_words(p->root, &line);
        if (r >= 0)
                r = bootentry_edit_words(line, firmware, override, &edited);
        if (r < 0)
                return refuse(p, r, BOOT_KERNEL_WORDS);
        if (r == 0)
                return 0;
        if (str_printf(&text, "%s\n", edited) < 0)
                return phase_fail(p, -ENOMEM, "Try again", "Cannot go on");
        return write_one(p, u, BOOT_KERNEL_WORDS, text, firmware);
}

int bootentry_iommu(Phase *p, Undo *u, const char *partition, const char *firmware, bool override) {
        _cleanup_strv_ char **entries = NULL;
        int r, changed;

        r = bootentry_list(p->root, partition, &entries);
        if (r < 0)
                return phase_fail(p, r, "Mount it", "Cannot list %s/loader/entries", partition);
        changed = edit_kernel_words(p, u, firmware, override);
        if (changed < 0)
                return changed;
        STRV_FOREACH(e, entries) {
                _cleanup_free_ char *text = NULL, *edited = NULL;

                r = fs_read(p->root, *e, FS_FILE_MAX, &text, NULL);
                if (r >= 0)
                        r = bootentry_edit(text, firmware, override, &edited);
                if (r < 0)
                        return refuse(p, r, *e);
                if (r > 0)
                        r = write_one(p, u, *e, edited, firmware);
                if (r < 0)
                        return r;
                changed |= r;
        }
        return changed;
}

/* The image of this kernel that the entry names. Returns 1, or 0 if it names none. */
static int entry_image(int root, const char *partition, const char *entry, const char *kernel, char **ret) {
        _cleanup_free_ char *text = NULL, *version = NULL;
        _cleanup_strv_ char **lines = NULL;
        int r;

        r = fs_read(root, entry, FS_FILE_MAX, &text, NULL);
        if (r >= 0)
                r = strv_split(text, "\n", &lines);
        if (r >= 0)
                r = str_printf(&version, "/%s/initrd", kernel);
        STRV_FOREACH(l, lines) {
                const char *v = r < 0 ? NULL : bootentry_value(*l, "initrd");

                if (v && strstr(v, version)) {
                        r = str_printf(ret, "%s%s", partition, v);
                        return r < 0 ? r : 1;
                }
        }
        return r;
}

/* Returns 1 if a partition of the loader's is mounted, with entries of this machine or without. */
static int is_mounted(int root) {
        int r = 0;

        for (size_t i = 0; r == 0 && i < ELEMENTSOF(places); i++) {
                _cleanup_free_ char *path = NULL;

                r = str_printf(&path, "%s/loader", places[i]);
                if (r >= 0)
                        r = fs_exists(root, path);
        }
        return r;
}

int bootentry_images(int root, const char *kernel, char ***ret) {
        _cleanup_free_ char *partition = NULL;
        _cleanup_strv_ char **entries = NULL, **images = NULL;
        int r;

        r = bootentry_partition(root, &partition);
        if (r == -ENOENT) {
                r = bootentry_started_by(root, "systemd-boot") ? is_mounted(root) : 1;
                return r == 0 ? -ENXIO : MIN(r, 0);
        }
        if (r >= 0)
                r = bootentry_list(root, partition, &entries);
        STRV_FOREACH(e, entries) {
                _cleanup_free_ char *image = NULL;

                if (r >= 0)
                        r = entry_image(root, partition, *e, kernel, &image);
                if (r > 0 && !(images && strv_contains(images, image)))
                        r = strv_extend(&images, image);
        }
        if (r < 0)
                return r;
        *ret = TAKE_PTR(images);
        return 0;
}

int bootentry_replace_image(int root, const char *path, const char *image) {
        _cleanup_free_ char *temp = NULL;
        int r;

        if (str_printf(&temp, "%s" BOOTFILE_NEW, path) < 0)
                return -ENOMEM;
        r = bootfile_copy(root, image, temp);
        if (r >= 0)
                r = bootfile_publish(root, temp, path);
        if (r < 0)
                (void) !fs_remove(root, temp);
        return r;
}
