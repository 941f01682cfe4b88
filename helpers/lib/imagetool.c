/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fnmatch.h>

#include "bootfile.h"
#include "child.h"
#include "early.h"
#include "fs.h"
#include "imagetool.h"
#include "strv.h"

enum { BUILD_TIMEOUT_SEC = 2400, LIST_TIMEOUT_SEC = 120, SPARE_ROOM = 1024 * 1024 };

int imagetool_find(int root, ImageTool *ret) {
        int tools = fs_exists(root, "/usr/sbin/mkinitramfs"), dracut = fs_exists(root, "/usr/bin/dracut");

        if (tools < 0 || dracut < 0)
                return tools < 0 ? tools : dracut;
        *ret = tools > 0 ? IMAGE_TOOL_INITRAMFS_TOOLS : dracut > 0 ? IMAGE_TOOL_DRACUT : IMAGE_TOOL_NONE;
        return 0;
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

static int build(Phase *p, ImageTool tool, const char *kernel, const char *temp, Listing *l) {
        const char *const tools[] = { "/usr/sbin/mkinitramfs", "-o", temp, kernel, NULL };
        const char *const dracut[] = { "/usr/bin/dracut", "--force", "--kver", kernel, temp, NULL };

        return run_tool(p, tool == IMAGE_TOOL_DRACUT ? dracut : tools, BUILD_TIMEOUT_SEC, keep_last, l);
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

static int list(Phase *p, ImageTool tool, const char *image, Listing *l) {
        const char *lister = tool == IMAGE_TOOL_DRACUT ? "/usr/bin/lsinitrd" : "/usr/bin/lsinitramfs";
        const char *const argv[] = { lister, image, NULL };

        return run_tool(p, argv, LIST_TIMEOUT_SEC, look_at_line, l);
}

bool imagetool_holds(Phase *p, ImageTool tool, const char *image, const char *pattern) {
        Listing l = { .pattern = pattern };

        if (list(p, tool, image, &l) != 0)
                log_debug("Cannot list %s: %s", image, l.last);
        return l.found;
}

/* An image that lists without init, or without what an exclusive GPU needs, must not replace one that starts.
 */
static int check_content(Phase *p, ImageTool tool, const char *kernel, const char *temp) {
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
static int is_lean(int root, ImageTool tool, bool *ret) {
        _cleanup_strv_ char **names = NULL;
        bool lean = tool == IMAGE_TOOL_DRACUT;
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

static int check_size(Phase *p, ImageTool tool, const char *kernel, const char *temp, off_t old_size) {
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

int imagetool_build(Phase *p, ImageTool tool, const char *kernel, const char *temp, off_t old_size) {
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
