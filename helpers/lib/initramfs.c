/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fnmatch.h>

#include "bootentry.h"
#include "bootfile.h"
#include "child.h"
#include "early.h"
#include "fs.h"
#include "initramfs.h"
#include "strv.h"
#include "trial.h"

#define BUILT_WITH "/var/lib/gpuvm/initramfs"
#define TRIAL_WITH BUILT_WITH ".trial"

enum { BUILD_TIMEOUT_SEC = 2400, LIST_TIMEOUT_SEC = 120, SPARE_ROOM = 1024 * 1024 };

typedef enum Tool { TOOL_NONE, TOOL_INITRAMFS_TOOLS, TOOL_DRACUT } Tool;

static int find_tool(int root, Tool *ret) {
        int tools = fs_exists(root, "/usr/sbin/mkinitramfs"), dracut = fs_exists(root, "/usr/bin/dracut");

        if (tools < 0 || dracut < 0)
                return tools < 0 ? tools : dracut;
        *ret = tools > 0 ? TOOL_INITRAMFS_TOOLS : dracut > 0 ? TOOL_DRACUT : TOOL_NONE;
        return 0;
}

static int image_path(const char *kernel, char **ret) {
        return str_printf(ret, "/boot/initrd.img-%s", kernel);
}

int initramfs_kernels(int root, char ***ret) {
        _cleanup_strv_ char **names = NULL, **l = NULL;
        _cleanup_free_ char *running = NULL;
        const char *newest = NULL;
        bool have_running = false;
        int r;

        r = fs_list(root, "/boot", &names);
        if (r < 0 && r != -ENOENT)
                return r;
        r = fs_read_line(root, "/proc/sys/kernel/osrelease", &running);
        if (r < 0 && r != -ENOENT)
                return r;
        STRV_FOREACH(n, names) {
                const char *v = startswith(*n, "vmlinuz-");
                _cleanup_free_ char *image = NULL;

                if (!v)
                        continue;
                if (image_path(v, &image) < 0)
                        return -ENOMEM;
                if (fs_exists(root, image) <= 0)
                        continue;
                if (!newest || strverscmp(v, newest) > 0)
                        newest = v;
                have_running |= running && streq(v, running);
        }
        r = have_running ? strv_extend(&l, running) : 0;
        if (r >= 0 && newest && !(have_running && streq(newest, running)))
                r = strv_extend(&l, newest);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(l);
        return 0;
}

/* What the images take along of ours: the rule and dracut's list, as they are. "" for neither. */
static int wanted(int root, char **ret) {
        _cleanup_free_ char *rule = NULL, *dracut = NULL;
        int r;

        r = fs_read(root, EARLY_RULE, FS_FILE_MAX, &rule, NULL);
        if (r < 0 && r != -ENOENT)
                return r;
        r = fs_read(root, EARLY_DRACUT, FS_FILE_MAX, &dracut, NULL);
        if (r < 0 && r != -ENOENT)
                return r;
        return str_printf(ret, "%s%s", strempty(rule), strempty(dracut));
}

int initramfs_is_stale(int root) {
        _cleanup_free_ char *now = NULL, *then = NULL;
        int r;

        r = wanted(root, &now);
        if (r >= 0)
                r = fs_read(root, BUILT_WITH, FS_FILE_MAX, &then, NULL);
        if (r < 0 && r != -ENOENT)
                return r;
        return !streq(now, strempty(then));
}

int initramfs_settle(int root) {
        _cleanup_free_ char *now = NULL;
        int r;

        r = wanted(root, &now);
        if (r < 0)
                return r;
        r = isempty(now) ? fs_remove(root, BUILT_WITH)
                         : fs_write_if_changed(root, BUILT_WITH, now, strlen(now), 0644);
        return r < 0 ? r : 0;
}

typedef struct Listing {
        bool init, module, rule;
        size_t n;
        const char *pattern; /* or NULL: nothing more is looked for */
        bool found;
        char last[256];
} Listing;

static void look_at_line(const char *line, void *userdata) {
        Listing *l = userdata;
        const char *slash = strrchr(line, '/');

        if (!*line)
                return;
        l->found |= l->pattern && fnmatch(l->pattern, slash ? slash + 1 : line, 0) == 0;
        l->n++;
        l->init |= streq(line, "init") || endswith(line, " init") || strstr(line, " init -> ");
        l->module |= strstr(line, "/vfio-pci.ko") || strstr(line, "/vfio_pci.ko");
        l->rule |= strstr(line, strrchr(EARLY_RULE, '/')) != NULL;
}

static void keep_last(const char *line, void *userdata) {
        Listing *l = userdata;

        log_debug("%s", line);
        if (*line)
                (void) snprintf(l->last, sizeof(l->last), "%s", line);
}

static int run_tool(Phase *p, const char *const *argv, unsigned seconds, ChildLine on_stdout, Listing *l) {
        Child c = {
                PHASE_CHILD(p),         .argv = argv,           .timeout_usec = seconds * USEC_PER_SEC,
                .on_stdout = on_stdout, .on_stderr = keep_last,
        };

        c.userdata = l;
        return child_run(&c);
}

static int build(Phase *p, Tool tool, const char *kernel, const char *temp, Listing *l) {
        const char *const tools[] = { "/usr/sbin/mkinitramfs", "-o", temp, kernel, NULL };
        const char *const dracut[] = { "/usr/bin/dracut", "--force", "--kver", kernel, temp, NULL };

        return run_tool(p, tool == TOOL_DRACUT ? dracut : tools, BUILD_TIMEOUT_SEC, keep_last, l);
}

/* Returns 1 if the module is part of the kernel itself. */
static int is_builtin(int root, const char *kernel) {
        _cleanup_free_ char *path = NULL, *text = NULL;
        int r;

        if (str_printf(&path, "/lib/modules/%s/modules.builtin", kernel) < 0)
                return -ENOMEM;
        r = fs_read(root, path, FS_FILE_MAX, &text, NULL);
        return r < 0 ? 0 : strstr(text, "/vfio-pci.ko") != NULL;
}

static int list(Phase *p, Tool tool, const char *image, Listing *l) {
        const char *lister = tool == TOOL_DRACUT ? "/usr/bin/lsinitrd" : "/usr/bin/lsinitramfs";
        const char *const argv[] = { lister, image, NULL };

        return run_tool(p, argv, LIST_TIMEOUT_SEC, look_at_line, l);
}

int initramfs_holds(Phase *p, const char *pattern) {
        _cleanup_strv_ char **kernels = NULL;
        Listing l = { .pattern = pattern };
        Tool tool = TOOL_NONE;
        int r;

        r = find_tool(p->root, &tool);
        if (r >= 0 && tool != TOOL_NONE)
                r = initramfs_kernels(p->root, &kernels);
        STRV_FOREACH(k, kernels) {
                _cleanup_free_ char *image = NULL;

                if (r < 0 || l.found)
                        break;
                r = image_path(*k, &image);
                if (r >= 0 && list(p, tool, image, &l) != 0)
                        log_debug("Cannot list %s: %s", image, l.last);
        }
        return r < 0 ? r : l.found;
}

/* An image that lists without init, or without what an exclusive GPU needs, must not replace one that starts.
 */
static int check_content(Phase *p, Tool tool, const char *kernel, const char *temp) {
        int r, early = fs_exists(p->root, EARLY_RULE);
        Listing l = {};

        r = list(p, tool, temp, &l);
        if (r != 0)
                return phase_fail(p, r < 0 ? r : 0, "The old image is still in place",
                                  "The new initramfs of kernel %s cannot be listed: %s", kernel, l.last);
        if (!l.init)
                return phase_fail(p, 0, "The old image is still in place",
                                  "The new initramfs of kernel %s has no init", kernel);
        if (early > 0 && (!l.rule || (!l.module && is_builtin(p->root, kernel) <= 0)))
                return phase_fail(p, 0, "The old image is still in place",
                                  "The new initramfs of kernel %s lacks %s", kernel,
                                  l.rule ? "the module vfio-pci" : EARLY_RULE);
        return 0;
}

/* Reads "MODULES=dep" of one file of initramfs-tools, if it has it. */
static int read_modules(int root, const char *path, bool *ret_lean) {
        _cleanup_free_ char *text = NULL;
        _cleanup_strv_ char **lines = NULL;
        int r;

        r = fs_read(root, path, FS_FILE_MAX, &text, NULL);
        if (r == -ENOENT)
                return 0;
        if (r >= 0)
                r = strv_split(text, "\n", &lines);
        STRV_FOREACH(l, lines) {
                const char *v = startswith(*l, "MODULES=");

                if (v)
                        *ret_lean = !startswith(v + strspn(v, "\"'"), "most");
        }
        return r;
}

/* An image that has what this very machine needs is a fraction of one for any machine, which may be what the
 * installation began with. */
static int is_lean(int root, Tool tool, bool *ret) {
        _cleanup_strv_ char **names = NULL;
        bool lean = tool == TOOL_DRACUT;
        int r;

        r = read_modules(root, "/etc/initramfs-tools/initramfs.conf", &lean);
        if (r >= 0)
                r = fs_list(root, "/etc/initramfs-tools/conf.d", &names);
        if (r == -ENOENT)
                r = 0;
        STRV_FOREACH(n, names) {
                _cleanup_free_ char *path = NULL;

                if (r >= 0)
                        r = str_printf(&path, "/etc/initramfs-tools/conf.d/%s", *n);
                if (r >= 0)
                        r = read_modules(root, path, &lean);
        }
        if (r >= 0)
                *ret = lean;
        return r;
}

static int check_size(Phase *p, Tool tool, const char *kernel, const char *temp, off_t old_size) {
        bool lean = false;
        struct stat st;
        int r;

        r = is_lean(p->root, tool, &lean);
        if (r >= 0)
                r = fs_stat(p->root, temp, &st);
        if (r < 0 || st.st_size == 0 || st.st_size < old_size / (lean ? 16 : 2))
                return phase_fail(
                                p, r < 0 ? r : 0, "The old image is still in place",
                                "The new initramfs of kernel %s is empty, or far too small beside the old one",
                                kernel);
        return 0;
}

/* Makes temp, and believes nothing that it has not seen in it. */
static int build_and_check(Phase *p, Tool tool, const char *kernel, const char *temp, off_t old_size) {
        Listing l = {};
        int r;

        r = bootfile_room(p->root, "/boot", (uint64_t) old_size + (uint64_t) old_size / 4 + SPARE_ROOM);
        if (r < 0)
                return phase_fail(
                                p, r,
                                "Make room in /boot ('apt autoremove' removes old kernels), or make it writable",
                                "Cannot build the initramfs of kernel %s beside the old one", kernel);
        phase_status(p, "Building the initramfs of kernel %s", kernel);
        r = build(p, tool, kernel, temp, &l);
        if (r != 0)
                return phase_fail(p, r < 0 ? r : 0, "The old image is still in place",
                                  "Building the initramfs of kernel %s failed: %s", kernel, l.last);
        r = check_size(p, tool, kernel, temp, old_size);
        return r < 0 ? r : check_content(p, tool, kernel, temp);
}

/* Returns 1 if the image of a trial is there, whole, with what is in /etc now, and nobody has made the real
 * one anew since. */
static int trial_will_do(int root, const char *trial, const struct stat *real) {
        _cleanup_free_ char *now = NULL, *then = NULL;
        struct stat st;
        int r;

        r = fs_read(root, TRIAL_WITH, FS_FILE_MAX, &then, NULL);
        if (r >= 0)
                r = wanted(root, &now);
        if (r >= 0)
                r = fs_stat(root, trial, &st);
        if (r < 0)
                return r == -ENOENT ? 0 : r;
        return streq(now, then) && st.st_size > 0 &&
                        (st.st_mtim.tv_sec > real->st_mtim.tv_sec ||
                         (st.st_mtim.tv_sec == real->st_mtim.tv_sec &&
                          st.st_mtim.tv_nsec >= real->st_mtim.tv_nsec));
}

/* Publishes temp, a trial's image or a new one, which is made then. */
static int replace(Phase *p, Undo *u, Tool tool, const char *kernel, const char *path, const char *temp,
                   const struct stat *old, bool made) {
        _cleanup_free_ char *record = NULL;
        int r;

        r = str_printf(&record, "initramfs/%s", kernel);
        if (r >= 0 && u)
                r = undo_record_refresh(u, record);
        if (r < 0)
                return phase_fail(p, r, "Make /var/lib/gpuvm writable, with some room",
                                  "Cannot record the change");
        r = made ? 0 : build_and_check(p, tool, kernel, temp, old->st_size);
        if (r < 0)
                return r;
        r = bootfile_publish(p->root, temp, path);
        if (r >= 0)
                r = bootentry_copy_initramfs(p->root, kernel, path);
        return r < 0 ? phase_fail(p, r, "Look at /boot", "Cannot replace %s", path) : 1;
}

typedef struct Image {
        Tool tool;
        char *path, *temp, *trial;
        struct stat st;
} Image;

static void image_done(Image *i) {
        free(i->path);
        free(i->temp);
        free(i->trial);
}

/* Returns 1 if the kernel has an image, 0 if not. */
static int find_image(Phase *p, const char *kernel, Image *i) {
        int r;

        r = find_tool(p->root, &i->tool);
        if (r >= 0)
                r = image_path(kernel, &i->path);
        if (r >= 0)
                r = str_printf(&i->temp, "%s" BOOTFILE_NEW, i->path);
        if (r >= 0)
                r = str_printf(&i->trial, "%s" TRIAL_IMAGE, i->path);
        if (r >= 0)
                r = fs_stat(p->root, i->path, &i->st);
        if (r == -ENOENT)
                return 0;
        if (r < 0)
                return phase_fail(p, r, "Look at /boot", "Cannot find the initramfs of kernel %s", kernel);
        if (i->tool == TOOL_NONE)
                return phase_fail(p, -ENOENT, "Install initramfs-tools or dracut",
                                  "Nothing here can rebuild %s", i->path);
        return 1;
}

int initramfs_update_kernel(Phase *p, Undo *u, const char *kernel, const char *why) {
        _cleanup_(image_done) Image i = {};
        int r, trial;

        r = find_image(p, kernel, &i);
        if (r <= 0)
                return r;
        trial = trial_will_do(p->root, i.trial, &i.st);
        if (trial < 0)
                return phase_fail(p, trial, "Look at /boot", "Cannot look at %s", i.trial);
        r = phase_change(p, trial > 0 ? "replace" : "build", i.path, "%s%s", why,
                         trial > 0 ? ": the trial's image" : "");
        if (r <= 0)
                return r < 0 ? phase_fail(p, r, "Try again", "Cannot go on") : 1;
        r = replace(p, u, i.tool, kernel, i.path, trial > 0 ? i.trial : i.temp, &i.st, trial > 0);
        if (r < 0)
                (void) !fs_remove(p->root, i.temp);
        return r;
}

/* What it is built with is noted last: without that it is never taken for the real one. */
static int make_trial(Phase *p, const char *kernel, const Image *i) {
        _cleanup_free_ char *now = NULL;
        int r;

        r = build_and_check(p, i->tool, kernel, i->temp, i->st.st_size);
        if (r < 0)
                return r;
        r = bootfile_publish(p->root, i->temp, i->trial);
        if (r >= 0)
                r = wanted(p->root, &now);
        if (r >= 0)
                r = fs_write_atomic(p->root, TRIAL_WITH, now, strlen(now), 0644);
        return r < 0 ? phase_fail(p, r, "Make /boot and /var/lib/gpuvm writable, with some room",
                                  "Cannot write %s", i->trial)
                     : 1;
}

int initramfs_build_trial(Phase *p, const char *kernel, const char *why) {
        _cleanup_(image_done) Image i = {};
        int r;

        r = find_image(p, kernel, &i);
        if (r <= 0)
                return r;
        r = phase_change(p, "build", i.trial, "%s", why);
        if (r <= 0)
                return r < 0 ? phase_fail(p, r, "Try again", "Cannot go on") : 1;
        r = make_trial(p, kernel, &i);
        (void) !fs_remove(p->root, i.temp);
        return r;
}

int initramfs_remove_trial(Phase *p) {
        _cleanup_strv_ char **names = NULL;
        int r, n = 0;

        r = fs_list(p->root, "/boot", &names);
        STRV_FOREACH(name, names) {
                _cleanup_free_ char *path = NULL;

                if (r < 0 || !startswith(*name, "initrd.img-") || !endswith(*name, TRIAL_IMAGE))
                        continue;
                r = str_printf(&path, "/boot/%s", *name);
                if (r >= 0)
                        r = phase_change(p, "remove", path, "the trial's image");
                if (r > 0)
                        r = fs_remove(p->root, path);
                n++;
        }
        if ((r >= 0 || r == -ENOENT) && !p->dry_run)
                r = fs_remove(p->root, TRIAL_WITH);
        return r < 0 && r != -ENOENT ? r : n;
}

int initramfs_has_ours(int root) {
        return fs_exists(root, BUILT_WITH);
}

int initramfs_update(Phase *p, Undo *u, const char *why) {
        _cleanup_strv_ char **kernels = NULL;
        int r, n = 0;

        r = initramfs_kernels(p->root, &kernels);
        if (r < 0)
                return phase_fail(p, r, "Look at /boot", "Cannot list the kernels");
        STRV_FOREACH(k, kernels) {
                r = initramfs_update_kernel(p, u, *k, why);
                if (r < 0)
                        return r;
                n += r;
        }
        if (p->dry_run)
                return n;
        r = initramfs_settle(p->root);
        return r < 0 ? phase_fail(p, r, "Make /var/lib/gpuvm writable, with some room",
                                  "Cannot write " BUILT_WITH)
                     : n;
}
