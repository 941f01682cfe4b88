/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "initramfs.h"
#include "bootentry.h"
#include "bootfile.h"
#include "early.h"
#include "fs.h"
#include "grubmenu.h"
#include "imagetool.h"
#include "strv.h"
#include "trial.h"

#define BUILT_WITH "/var/lib/gpuvm/initramfs"
#define TRIAL_WITH BUILT_WITH ".trial"

static int image_path(const char *kernel, char **ret) {
        return str_printf(ret, "/boot/initrd.img-%s", kernel);
}

int initramfs_kernels(int root, char ***ret) {
        _cleanup_strv_ char **names = NULL, **l = NULL;
        _cleanup_free_ char *running = NULL, *chosen = NULL;
        bool have_running = false, have_chosen = false;
        const char *newest = NULL;
        int r;

        r = fs_list(root, "/boot", &names);
        if (r < 0 && r != -ENOENT)
                return r;
        r = fs_read_line(root, "/proc/sys/kernel/osrelease", &running);
        if (r < 0 && r != -ENOENT)
                return r;
        /* Where GRUB is told to start one by name (kernelswap.h) the newest has to wait. */
        if (grubmenu_default(root, &chosen) == -ENOMEM)
                return -ENOMEM;
        STRV_FOREACH(n, names) {
                const char *v = startswith(*n, "vmlinuz-");
                _cleanup_free_ char *image = NULL;

                if (!v)
                        continue;
                if (image_path(v, &image) < 0)
                        return -ENOMEM;
                if (fs_exists(root, image) <= 0)
                        continue;
                have_chosen |= streq_ptr(v, chosen);
                if (!newest || (have_chosen ? streq_ptr(v, chosen) : strverscmp(v, newest) > 0))
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

/* Where there is no image there is none to miss, unless there is no kernel either. */
static int check_mounted(Phase *p) {
        return fs_has_entry(p->root, "/boot", "vmlinuz-")
                        ? 0
                        : phase_fail(p, 0, "Mount it, then try again",
                                     "There is no kernel in /boot, so the initramfs that this machine starts "
                                     "with is elsewhere");
}

/* The kernels that start next, where something here makes images. A negative result has been told. */
static int find_kernels(Phase *p, ImageTool *ret_tool, char ***ret) {
        int r;

        r = imagetool_find(p->root, ret_tool);
        if (r >= 0)
                r = initramfs_kernels(p->root, ret);
        if (r < 0)
                return phase_fail(p, r, "Look at /boot", "Cannot list the kernels");
        return *ret || *ret_tool == IMAGE_TOOL_NONE ? 0 : check_mounted(p);
}

int initramfs_holds(Phase *p, const char *pattern) {
        _cleanup_strv_ char **kernels = NULL;
        ImageTool tool = IMAGE_TOOL_NONE;
        bool found = false;
        int r;

        r = find_kernels(p, &tool, &kernels);
        STRV_FOREACH(k, kernels) {
                _cleanup_free_ char *image = NULL;

                if (r < 0 || found || tool == IMAGE_TOOL_NONE)
                        break;
                if (image_path(*k, &image) < 0)
                        return phase_fail(p, -ENOMEM, "Try again", "Cannot go on");
                found = imagetool_holds(p, tool, image, pattern);
        }
        return r < 0 ? r : found;
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
        return streq(now, then) && st.st_size > 0 && !timespec_is_later(&real->st_mtim, &st.st_mtim);
}

/* Before anything is built. A negative result has been told. */
static int find_copies(Phase *p, const char *kernel, uint64_t size, char ***ret) {
        int r = bootentry_images(p->root, kernel, ret);

        if (r == -ENXIO)
                return phase_fail(
                                p, 0, "Mount it, then try again",
                                "The partition that systemd-boot started this machine from, with its copy of the "
                                "initramfs of kernel %s, is not mounted",
                                kernel);
        if (r < 0)
                return phase_fail(p, r, "Look at it", "Cannot read the entries of systemd-boot");
        STRV_FOREACH(c, *ret) {
                r = bootfile_room_beside(p->root, *c, size);
                if (r < 0)
                        return phase_fail(
                                        p, r,
                                        "Make room there ('apt autoremove' removes old kernels), or make it writable",
                                        "Cannot replace %s and keep the old one", *c);
        }
        return 0;
}

/* Publishes temp, a trial's image or a new one, which is made then. */
static int replace(Phase *p, Undo *u, ImageTool tool, const char *kernel, const char *path, const char *temp,
                   const struct stat *old, bool made) {
        _cleanup_strv_ char **copies = NULL;
        _cleanup_free_ char *record = NULL;
        int r;

        r = find_copies(p, kernel, (uint64_t) old->st_size + (uint64_t) old->st_size / 4, &copies);
        if (r < 0)
                return r;
        r = str_printf(&record, "initramfs/%s", kernel);
        if (r >= 0 && u)
                r = undo_record_refresh(u, record);
        if (r < 0)
                return phase_fail(p, r, "Make /var/lib/gpuvm writable, with some room",
                                  "Cannot record the change");
        r = made ? 0 : imagetool_build(p, tool, kernel, temp, old->st_size);
        if (r < 0)
                return r;
        r = bootfile_publish(p->root, temp, path);
        STRV_FOREACH(c, copies)
                if (r >= 0)
                        r = bootentry_replace_image(p->root, *c, path);
        return r < 0 ? phase_fail(p, r, "Look at /boot", "Cannot replace %s", path) : 1;
}

typedef struct Image {
        ImageTool tool;
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

        r = imagetool_find(p->root, &i->tool);
        if (r >= 0)
                r = image_path(kernel, &i->path);
        if (r >= 0)
                r = str_printf(&i->temp, "%s" BOOTFILE_NEW, i->path);
        if (r >= 0)
                r = str_printf(&i->trial, "%s" TRIAL_IMAGE, i->path);
        if (r >= 0)
                r = fs_stat(p->root, i->path, &i->st);
        if (r == -ENOENT)
                return i->tool == IMAGE_TOOL_NONE ? 0 : check_mounted(p);
        if (r < 0)
                return phase_fail(p, r, "Look at /boot", "Cannot find the initramfs of kernel %s", kernel);
        if (i->tool == IMAGE_TOOL_NONE)
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

        r = imagetool_build(p, i->tool, kernel, i->temp, i->st.st_size);
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
        ImageTool tool;
        int r, n = 0;

        r = find_kernels(p, &tool, &kernels);
        if (r < 0)
                return r;
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
