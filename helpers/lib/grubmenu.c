/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "grubmenu.h"
#include "bootfile.h"
#include "child.h"
#include "fs.h"
#include "grubcfg.h"
#include "grubplace.h"
#include "strv.h"

#define GRUB_DIR     "/boot/grub"
#define GRUB_DROPINS "/etc/default/grub.d"
#define GRUB_NEW     GRUBMENU_CFG BOOTFILE_NEW

enum { GRUB_TIMEOUT_SEC = 300, GRUB_CFG_ROOM = 256 * 1024 };

/* GRUB names files from the root of the file system that holds /boot: "/vmlinuz-6.1" where that is one of its
 * own,
 * "/@/boot/vmlinuz-6.1" in a btrfs subvolume. */
int grubmenu_file_exists(const char *path, void *userdata) {
        int root = *(int *) userdata, r;
        const char *below = strrchr(path, '/') ?: path;
        _cleanup_free_ char *in_boot = NULL;
        struct stat st;

        if (path[0] == '(')
                path = strchr(path, ')') ? strchr(path, ')') + 1 : path;
        r = path[0] == '/' ? fs_stat(root, path, &st) : -ENOENT;
        if (r < 0) {
                if (str_printf(&in_boot, "/boot/%s", below + strspn(below, "/")) < 0)
                        return -ENOMEM;
                r = fs_stat(root, in_boot, &st);
        }
        if (r == -ENOENT || r == -ENOTDIR)
                return 0;
        return r < 0 ? r : S_ISREG(st.st_mode) && st.st_size > 0;
}

typedef struct LastLine {
        char text[256];
} LastLine;

static void keep_line(const char *line, void *userdata) {
        LastLine *l = userdata;

        log_debug("%s", line);
        if (*line)
                (void) snprintf(l->text, sizeof(l->text), "%s", line);
}

static int run_grub_tool(Phase *p, const char *program, const char *option, LastLine *last) {
        const char *const argv[] = { program, option ?: GRUB_NEW, option ? GRUB_NEW : NULL, NULL };
        Child c = {
                PHASE_CHILD(p),
                .argv = argv,
                .timeout_usec = GRUB_TIMEOUT_SEC * USEC_PER_SEC,
                .on_stdout = keep_line,
                .on_stderr = keep_line,
        };

        c.userdata = last;
        return child_run(&c);
}

/* The file that has the last word on the command line: grub-mkconfig reads those of this directory in order.
 * Returns 1 and its path, or 0 if ours is the last. */
static int find_last_word(int root, char **ret) {
        _cleanup_strv_ char **names = NULL;
        int r;

        r = fs_list(root, GRUB_DROPINS, &names);
        if (r < 0)
                return r;
        r = 0;
        STRV_FOREACH(n, names) {
                _cleanup_free_ char *path = NULL, *text = NULL;

                if (strcmp(*n, strrchr(GRUBMENU_DROPIN, '/') + 1) <= 0 || !endswith(*n, ".cfg"))
                        continue;
                if (str_printf(&path, GRUB_DROPINS "/%s", *n) < 0)
                        return -ENOMEM;
                if (fs_read(root, path, FS_FILE_MAX, &text, NULL) < 0 || !strstr(text, "GRUB_CMDLINE_LINUX"))
                        continue;
                free(*ret);
                *ret = TAKE_PTR(path);
                r = 1;
        }
        return r;
}

static int tell_problem(Phase *p, const char *problem) {
        const char *anywhere = "Look for what does this in /etc/default/grub, " GRUB_DROPINS
                               " and /etc/grub.d; " GRUBMENU_CFG " was not touched";
        _cleanup_free_ char *file = NULL, *remedy = NULL;

        if (find_last_word(p->root, &file) > 0 &&
            str_printf(&remedy,
                       "%s is read after ours and changes GRUB_CMDLINE_LINUX: take that out of it; " GRUBMENU_CFG
                       " was not touched",
                       file) < 0)
                return log_oom();
        return phase_fail(p, 0, remedy ?: anywhere, "The new boot menu would not do: %s", problem);
}

void grubmenu_tidy(int root) {
        (void) !fs_remove(root, GRUB_NEW);
        (void) !fs_remove(root, GRUB_NEW ".new");
}

int grubmenu_room(Phase *p) {
        int r = bootfile_room(p->root, GRUB_DIR, GRUB_CFG_ROOM);

        return r < 0 ? phase_fail(p, r, "Make room there (256 KiB are enough), or make it writable",
                                  "Cannot write the boot menu to " GRUB_DIR)
                     : 0;
}

int grubmenu_make(Phase *p, const char *firmware, char **ret, size_t *ret_size) {
        _cleanup_free_ char *text = NULL, *problem = NULL;
        LastLine last = {};
        size_t size;
        int r;

        phase_status(p, "Making the boot menu");
        r = run_grub_tool(p, "/usr/sbin/grub-mkconfig", "-o", &last);
        if (r == -ENOENT)
                return phase_fail(p, r, "Install the package grub-common; nothing was changed",
                                  "/usr/sbin/grub-mkconfig");
        if (r != 0)
                return phase_fail(p, r < 0 ? r : 0,
                                  "Run 'grub-mkconfig' to see all it says; " GRUBMENU_CFG " was not touched",
                                  "grub-mkconfig failed, exit status %d: %s", r, last.text);
        r = fs_read(p->root, GRUB_NEW, FS_FILE_MAX, &text, &size);
        if (r < 0)
                return phase_fail(p, r, GRUBMENU_CFG " was not touched", "Cannot read " GRUB_NEW);
        r = run_grub_tool(p, "/usr/bin/grub-script-check", NULL, &last);
        if (r != 0)
                return phase_fail(p, r < 0 ? r : 0,
                                  "Look for the error in /etc/default/grub and /etc/grub.d; " GRUBMENU_CFG
                                  " was not touched",
                                  "grub-mkconfig made a file that GRUB cannot read: %s", last.text);
        r = grubcfg_check(text, firmware, grubmenu_file_exists, &p->root, &problem);
        if (r < 0)
                return phase_fail(p, r, GRUBMENU_CFG " was not touched", "Cannot check " GRUB_NEW);
        if (r > 0)
                return tell_problem(p, problem);
        *ret = TAKE_PTR(text);
        *ret_size = size;
        return 0;
}

int grubmenu_refresh(Phase *p, Undo *u, const char *firmware) {
        _cleanup_free_ char *old = NULL, *new = NULL;
        size_t n_old = 0, n_new = 0;
        int r;

        r = grubmenu_room(p);
        if (r < 0)
                return r;
        r = grubmenu_make(p, firmware, &new, &n_new);
        if (r < 0)
                return r;
        r = fs_read(p->root, GRUBMENU_CFG, FS_FILE_MAX, &old, &n_old);
        if (r >= 0 && n_old == n_new && memcmp(old, new, n_old) == 0)
                return 0;
        r = u ? undo_record_write(u, GRUBMENU_CFG, new, n_new) : 0;
        if (r >= 0)
                r = bootfile_publish(p->root, GRUB_NEW, GRUBMENU_CFG);
        return r < 0 ? phase_fail(p, r, "The old one is still in place", "Cannot replace " GRUBMENU_CFG) : 1;
}

typedef struct Files {
        int root;
        bool missing;
} Files;

static int note_missing(const char *path, void *userdata) {
        Files *f = userdata;
        int r = grubmenu_file_exists(path, &f->root);

        f->missing |= r == 0;
        return r;
}

static bool names_kernel(const char *menu, const char *name) {
        size_t n = strlen(name);

        for (const char *p = menu; (p = strstr(p, name)); p += n)
                if (p > menu && p[-1] == '/' && (p[n] == '\0' || strchr(" \t\n", p[n])))
                        return true;
        return false;
}

/* Returns 1 if the menu is one for the kernels of today: all files that it names are there, since GRUB takes
 * its first entry whatever that names, and no kernel is left out. */
static int is_current(int root, const char *menu) {
        _cleanup_strv_ char **names = NULL;
        _cleanup_free_ char *problem = NULL;
        Files f = { .root = root };
        int r;

        r = grubcfg_check(menu, NULL, note_missing, &f, &problem);
        if (r != 0)
                return MIN(r, 0);
        r = fs_list(root, "/boot", &names);
        if (r < 0)
                return r;
        STRV_FOREACH(n, names)
                if (startswith(*n, "vmlinuz-") && !names_kernel(menu, *n))
                        return 0;
        return !f.missing;
}

int grubmenu_restore(Phase *p, const char *text, size_t size) {
        int r;

        r = is_current(p->root, text);
        if (r == 0)
                return 0;
        if (r > 0)
                r = fs_write_atomic(p->root, GRUB_NEW, text, size, 0600);
        if (r >= 0)
                r = bootfile_publish(p->root, GRUB_NEW, GRUBMENU_CFG);
        grubmenu_tidy(p->root);
        return r < 0 ? phase_fail(p, r, "The one that is there is untouched", "Cannot replace " GRUBMENU_CFG)
                     : 1;
}

/* Returns 1 if the menu that is there already asks for the IOMMU everywhere. One that cannot be read (a dry
 * run without root) counts as one that does not. */
int grubmenu_is_ready(int root, const char *firmware) {
        _cleanup_free_ char *text = NULL, *problem = NULL;
        int r;

        r = fs_read(root, GRUBMENU_CFG, FS_FILE_MAX, &text, NULL);
        if (r < 0)
                return 0;
        r = grubcfg_check(text, firmware, grubmenu_file_exists, &root, &problem);
        return r < 0 ? r : r == 0;
}

bool grubmenu_asks(int root) {
        _cleanup_free_ char *text = NULL;

        return fs_read(root, GRUBMENU_CFG, FS_FILE_MAX, &text, NULL) < 0 || strstr(text, "iommu=pt") ||
                        strstr(text, "iommu=on");
}

int grubmenu_default(int root, char **ret) {
        _cleanup_free_ char *menu = NULL, *place = NULL;
        int r;

        r = fs_read(root, GRUBMENU_CFG, FS_FILE_MAX, &menu, NULL);
        if (r >= 0)
                r = grubplace_default(menu, &place);
        return r < 0 ? r : grubplace_kernel(menu, place, ret);
}
