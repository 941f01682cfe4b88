/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "entrytrial.h"
#include "boot.h"
#include "bootentry.h"
#include "bootfile.h"
#include "child.h"
#include "fs.h"
#include "strv.h"

#define BOOTCTL "/usr/bin/bootctl"
#define FILE    TRIAL_ENTRY ".conf" /* as systemd-boot names it, too */
#define VARS    "/sys/firmware/efi/efivars/"
#define VENDOR  "-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
#define ONESHOT VARS "LoaderEntryOneShot" VENDOR
#define INFO    VARS "LoaderInfo" VENDOR

enum { TOOL_TIMEOUT_SEC = 60 };

static int add_line(const char *line, bool is_last_image, const char *suffix, bool *sorted, char ***text) {
        if (bootentry_value(line, "title"))
                return strv_extend(text, "title Trial of gpuvm\n");
        if (bootentry_value(line, "sort-key")) {
                *sorted = true;
                return strv_extend(text, "sort-key zz-" TRIAL_ENTRY "\n");
        }
        return strv_extendf(text, "%s%s\n", line, is_last_image ? suffix : "");
}

int entrytrial_edit(const char *text, const TrialWish *w, const char *suffix, char **ret, char **ret_reason) {
        _cleanup_strv_ char **lines = NULL, **new = NULL;
        _cleanup_free_ char *edited = NULL;
        ssize_t image = -1;
        bool sorted = false;
        int r;

        r = bootentry_edit(text, w->firmware, w->override, &edited);
        if (r >= 0)
                r = strv_split(edited ?: text, "\n", &lines);
        for (size_t i = 0; r >= 0 && lines && lines[i]; i++)
                if (bootentry_value(lines[i], "initrd"))
                        image = (ssize_t) i;
        for (size_t i = 0; r >= 0 && lines && lines[i]; i++)
                r = add_line(lines[i], (ssize_t) i == image, suffix, &sorted, &new);
        /* The loader joins all lines of options. */
        if (r >= 0)
                r = strv_extendf(&new, "options panic=%d " TRIAL_WORD "=%s\n", TRIAL_PANIC_SEC, w->boot_id);
        if (r < 0)
                return r;
        /* Entries without a key are sorted by name behind those with one; the first is the default. */
        if (!sorted || image < 0) {
                *ret_reason = strdup(sorted ? "the loader entry has no initramfs"
                                            : "the loader entry has no sort-key, so another could become the "
                                              "default");
                return *ret_reason ? 1 : -ENOMEM;
        }
        *ret = strv_join(new, "");
        return *ret ? 0 : -ENOMEM;
}

static bool starts_kernel(const char *text, const char *kernel) {
        _cleanup_strv_ char **lines = NULL;
        _cleanup_free_ char *part = NULL;

        if (strv_split(text, "\n", &lines) < 0 || str_printf(&part, "/%s/", kernel) < 0)
                return false;
        STRV_FOREACH(l, lines) {
                const char *v = bootentry_value(*l, "linux");

                if (v)
                        return strstr(v, part) != NULL;
        }
        return false;
}

/* The entry of the running kernel. -ENOENT if there is none. */
static int find_base(int root, const char *partition, char **ret_text, char **ret_kernel) {
        _cleanup_free_ char *kernel = NULL;
        _cleanup_strv_ char **entries = NULL;
        int r;

        r = fs_read_line(root, "/proc/sys/kernel/osrelease", &kernel);
        if (r >= 0)
                r = bootentry_list(root, partition, &entries);
        STRV_FOREACH(e, entries) {
                _cleanup_free_ char *text = NULL;

                if (r < 0)
                        break;
                r = fs_read(root, *e, FS_FILE_MAX, &text, NULL);
                if (r >= 0 && starts_kernel(text, kernel)) {
                        *ret_text = TAKE_PTR(text);
                        *ret_kernel = TAKE_PTR(kernel);
                        return 0;
                }
        }
        return r < 0 ? r : -ENOENT;
}

static int make(int root, const char *partition, const TrialWish *w, const char *suffix, char **ret,
                char **ret_kernel, char **ret_reason) {
        _cleanup_free_ char *text = NULL;
        int r;

        r = find_base(root, partition, &text, ret_kernel);
        if (r == -ENOENT)
                return (*ret_reason = strdup("the running kernel has no loader entry")) ? 1 : -ENOMEM;
        return r < 0 ? r : entrytrial_edit(text, w, suffix, ret, ret_reason);
}

int entrytrial_plan(Phase *p, const char *partition, const TrialWish *w, char **ret_kernel,
                    char **ret_reason) {
        _cleanup_free_ char *entry = NULL, *kernel = NULL;
        int r;

        if (fs_exists(p->root, INFO) <= 0 || fs_exists(p->root, BOOTCTL) <= 0) {
                *ret_reason = strdup("the firmware's variables cannot be reached by bootctl");
                return *ret_reason ? 1 : -ENOMEM;
        }
        r = make(p->root, partition, w, "", &entry, &kernel, ret_reason);
        if (r == 0)
                *ret_kernel = TAKE_PTR(kernel);
        return r;
}

static int entry_path(const char *partition, char **ret) {
        return str_printf(ret, "%s/loader/entries/" FILE, partition);
}

/* The copy that the entry names, NULL if it names the real image. */
static int own_image(const char *text, const char *partition, char **ret) {
        _cleanup_strv_ char **lines = NULL;
        int r;

        r = strv_split(text, "\n", &lines);
        STRV_FOREACH(l, lines) {
                const char *v = r < 0 ? NULL : bootentry_value(*l, "initrd");

                if (v && endswith(v, TRIAL_IMAGE))
                        return str_printf(ret, "%s%s", partition, v);
        }
        return r;
}

int entrytrial_put(Phase *p, Undo *u, const char *partition, const TrialWish *w, const char *image) {
        _cleanup_free_ char *text = NULL, *kernel = NULL, *reason = NULL, *path = NULL, *copy = NULL;
        int r;

        r = make(p->root, partition, w, image ? TRIAL_IMAGE : "", &text, &kernel, &reason);
        if (r > 0)
                return phase_fail(p, 0, "Look at it", "Cannot make the trial's entry in %s: %s", partition,
                                  reason);
        if (r >= 0)
                r = entry_path(partition, &path);
        if (r >= 0 && image)
                r = own_image(text, partition, &copy);
        if (r >= 0 && copy)
                r = bootentry_replace_image(p->root, copy, image);
        if (r >= 0)
                r = undo_write_file(u, path, text, strlen(text), 0644);
        return r < 0 ? phase_fail(p, r,
                                  "Make it writable, with some room; the other entries are as they were",
                                  "Cannot write the trial's entry to %s", partition)
                     : 0;
}

/* UTF-16 behind four bytes of attributes. */
bool entrytrial_is_armed(int root) {
        _cleanup_free_ char *data = NULL;
        size_t size, n = strlen(FILE);

        if (fs_read(root, ONESHOT, FS_ATTR_MAX, &data, &size) < 0 || size < 4 + 2 * n)
                return false;
        for (size_t i = 0; i < n; i++)
                if (data[4 + 2 * i] != FILE[i] || data[4 + 2 * i + 1] != '\0')
                        return false;
        return true;
}

int entrytrial_arm(Phase *p, bool on) {
        const char *const argv[] = { BOOTCTL, "set-oneshot", on ? FILE : "", NULL };
        int r;

        r = child_run(&(const Child){ PHASE_CHILD(p), .argv = argv,
                                      .timeout_usec = TOOL_TIMEOUT_SEC * USEC_PER_SEC });
        if (r < 0)
                return r;
        return r == 0 && entrytrial_is_armed(p->root) == on ? 0 : -EIO;
}

/* Returns 1 if it was there (announced), 0 if not. */
static int remove_file(Phase *p, const char *path) {
        int r = fs_exists(p->root, path);

        if (r <= 0)
                return r;
        r = phase_change(p, "remove", path, "of the trial");
        if (r > 0)
                r = fs_remove(p->root, path);
        return r < 0 ? r : 1;
}

/* What we may have put beside the images of this entry, whole or not. */
static int remove_copies(Phase *p, const char *partition, const char *entry) {
        static const char *const suffixes[] = { TRIAL_IMAGE, TRIAL_IMAGE BOOTFILE_NEW };
        _cleanup_free_ char *text = NULL;
        _cleanup_strv_ char **lines = NULL;
        int r, n = 0;

        r = fs_read(p->root, entry, FS_FILE_MAX, &text, NULL);
        if (r >= 0)
                r = strv_split(text, "\n", &lines);
        STRV_FOREACH(l, lines) {
                const char *v = bootentry_value(*l, "initrd");

                for (size_t i = 0; v && r >= 0 && i < ELEMENTSOF(suffixes); i++) {
                        _cleanup_free_ char *path = NULL;

                        r = str_printf(&path, "%s%s%s", partition, v, suffixes[i]);
                        if (r >= 0)
                                r = remove_file(p, path);
                        n |= r > 0;
                }
        }
        return r < 0 ? r : n;
}

static int remove_entry(Phase *p, const char *partition) {
        _cleanup_strv_ char **entries = NULL;
        _cleanup_free_ char *path = NULL;
        int r, n;

        r = entry_path(partition, &path);
        if (r >= 0)
                r = remove_file(p, path);
        n = r > 0;
        if (r >= 0)
                r = bootentry_list(p->root, partition, &entries);
        STRV_FOREACH(e, entries) {
                if (r >= 0)
                        r = remove_copies(p, partition, *e);
                n |= r > 0;
        }
        return r < 0 ? r : n;
}

int entrytrial_remove(Phase *p) {
        _cleanup_free_ char *partition = NULL;
        bool armed = entrytrial_is_armed(p->root);
        int r = 0, k;

        if (armed)
                r = phase_change(p, "write", "LoaderEntryOneShot", "without " FILE);
        if (r > 0)
                r = entrytrial_arm(p, false);
        if (r < 0)
                return r;
        k = bootentry_partition(p->root, &partition);
        if (k >= 0)
                k = remove_entry(p, partition);
        return k < 0 && k != -ENOENT ? k : armed || k > 0;
}
