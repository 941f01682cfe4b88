/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "boot.h"
#include "bootentry.h"
#include "bootfile.h"
#include "child.h"
#include "cmdline.h"
#include "fs.h"
#include "grubcfg.h"
#include "strv.h"

#define GRUB_DIR     "/boot/grub"
#define GRUB_DROPINS "/etc/default/grub.d"
#define GRUB_NEW     BOOT_GRUB_CFG BOOTFILE_NEW

enum { GRUB_TIMEOUT_SEC = 300, GRUB_CFG_ROOM = 256 * 1024 };

void boot_done(Boot *b) {
        free(b->partition);
        *b = (Boot){};
}

/* With both installed: what the firmware says, where that can be seen. Else GRUB leaves its mark on the
 * command line. */
static bool systemd_boot_started_it(int root) {
        _cleanup_strv_ char **words = NULL;

        if (bootentry_started_by(root, "systemd-boot"))
                return true;
        return !bootentry_started_by(root, "GRUB") && cmdline_read(root, &words) >= 0 && words &&
                        !cmdline_get(words, "BOOT_IMAGE");
}

int boot_detect(int root, Boot *ret) {
        _cleanup_free_ char *partition = NULL;
        int r, grub;

        r = fs_exists(root, "/etc/kernel/proxmox-boot-uuids");
        if (r > 0) /* copies grub.cfg and images to partitions that it mounts itself */
                *ret = (Boot){};
        if (r != 0)
                return r < 0 ? r : 0;
        grub = fs_exists(root, BOOT_GRUB_CFG);
        if (grub < 0)
                return grub;
        r = bootentry_partition(root, &partition);
        if (r < 0 && r != -ENOENT)
                return r;
        if (partition && (grub == 0 || systemd_boot_started_it(root)))
                *ret = (Boot){ .loader = BOOT_LOADER_SYSTEMD, .partition = TAKE_PTR(partition) };
        else
                *ret = (Boot){ .loader = grub > 0 ? BOOT_LOADER_GRUB : BOOT_LOADER_OTHER };
        return 0;
}

const char *boot_iommu_words(const char *firmware) {
        return streq(firmware, "intel") ? "intel_iommu=on iommu=pt" : "iommu=pt";
}

static bool is_plain(const char *word) {
        return word[strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_=,.-")] ==
                        '\0';
}

int boot_grub_dropin(const char *firmware, bool override, const char *off, char **ret) {
        _cleanup_free_ char *filter = NULL;
        const char *own = streq(firmware, "intel") ? "intel_iommu=off" : "amd_iommu=off";
        bool more = off && !streq(off, own) && !streq(off, "iommu=off");

        if (off && !is_plain(off))
                return -EINVAL;
        if (override &&
            str_printf(&filter,
                       "# OverrideIommuOff=yes: these words would keep the IOMMU off whatever follows them.\n"
                       "gpuvm_without_off() {\n"
                       "        kept=\n"
                       "        for word in $1; do\n"
                       "                case $word in\n"
                       "                %s | iommu=off%s%s) ;;\n"
                       "                *) kept=\"$kept${kept:+ }$word\" ;;\n"
                       "                esac\n"
                       "        done\n"
                       "        echo \"$kept\"\n"
                       "}\n"
                       "GRUB_CMDLINE_LINUX=$(set -f; gpuvm_without_off \"$GRUB_CMDLINE_LINUX\")\n"
                       "GRUB_CMDLINE_LINUX_DEFAULT=$(set -f; gpuvm_without_off \"$GRUB_CMDLINE_LINUX_DEFAULT\")\n",
                       own, more ? " | " : "", more ? off : "") < 0)
                return -ENOMEM;
        return str_printf(ret,
                          "# Written by gpuvm-iommu; 'gpuvm-undo iommu' takes it back.\n"
                          "%sGRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX %s\"\n",
                          strempty(filter), boot_iommu_words(firmware));
}

/* GRUB names files from the root of the file system that holds /boot: "/vmlinuz-6.1" where that is one of its
 * own,
 * "/@/boot/vmlinuz-6.1" in a btrfs subvolume. */
int boot_grub_file_exists(const char *path, void *userdata) {
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

                if (strcmp(*n, strrchr(BOOT_GRUB_DROPIN, '/') + 1) <= 0 || !endswith(*n, ".cfg"))
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
                               " and /etc/grub.d; " BOOT_GRUB_CFG " was not touched";
        _cleanup_free_ char *file = NULL, *remedy = NULL;

        if (find_last_word(p->root, &file) > 0 &&
            str_printf(&remedy,
                       "%s is read after ours and changes GRUB_CMDLINE_LINUX: take that out of it; " BOOT_GRUB_CFG
                       " was not touched",
                       file) < 0)
                return log_oom();
        return phase_fail(p, 0, remedy ?: anywhere, "The new boot menu would not do: %s", problem);
}

/* Makes grub.cfg.gpuvm-new, and believes nothing that it has not seen in it. */
static int make_grub_cfg(Phase *p, const char *firmware, char **ret, size_t *ret_size) {
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
                                  "Run 'grub-mkconfig' to see all it says; " BOOT_GRUB_CFG " was not touched",
                                  "grub-mkconfig failed, exit status %d: %s", r, last.text);
        r = fs_read(p->root, GRUB_NEW, FS_FILE_MAX, &text, &size);
        if (r < 0)
                return phase_fail(p, r, BOOT_GRUB_CFG " was not touched", "Cannot read " GRUB_NEW);
        r = run_grub_tool(p, "/usr/bin/grub-script-check", NULL, &last);
        if (r != 0)
                return phase_fail(p, r < 0 ? r : 0,
                                  "Look for the error in /etc/default/grub and /etc/grub.d; " BOOT_GRUB_CFG
                                  " was not touched",
                                  "grub-mkconfig made a file that GRUB cannot read: %s", last.text);
        r = grubcfg_check(text, firmware, boot_grub_file_exists, &p->root, &problem);
        if (r < 0)
                return phase_fail(p, r, BOOT_GRUB_CFG " was not touched", "Cannot check " GRUB_NEW);
        if (r > 0)
                return tell_problem(p, problem);
        *ret = TAKE_PTR(text);
        *ret_size = size;
        return 0;
}

void boot_tidy(int root) {
        (void) !fs_remove(root, GRUB_NEW);
        (void) !fs_remove(root, GRUB_NEW ".new");
}

static int look_for_room(Phase *p) {
        int r = bootfile_room(p->root, GRUB_DIR, GRUB_CFG_ROOM);

        return r < 0 ? phase_fail(p, r, "Make room there (256 KiB are enough), or make it writable",
                                  "Cannot write the boot menu to " GRUB_DIR)
                     : 0;
}

static int refresh_grub(Phase *p, Undo *u, const char *firmware) {
        _cleanup_free_ char *old = NULL, *new = NULL;
        size_t n_old = 0, n_new = 0;
        int r;

        r = look_for_room(p);
        if (r < 0)
                return r;
        r = make_grub_cfg(p, firmware, &new, &n_new);
        if (r < 0)
                return r;
        r = fs_read(p->root, BOOT_GRUB_CFG, FS_FILE_MAX, &old, &n_old);
        if (r >= 0 && n_old == n_new && memcmp(old, new, n_old) == 0)
                return 0;
        r = u ? undo_record_write(u, BOOT_GRUB_CFG, new, n_new) : 0;
        if (r >= 0)
                r = bootfile_publish(p->root, GRUB_NEW, BOOT_GRUB_CFG);
        return r < 0 ? phase_fail(p, r, "The old one is still in place", "Cannot replace " BOOT_GRUB_CFG) : 1;
}

int boot_refresh(Phase *p, Undo *u, const char *firmware) {
        _cleanup_(boot_done) Boot b = {};
        int r;

        r = boot_detect(p->root, &b);
        if (r < 0)
                return phase_fail(p, r, "Look at /boot", "Cannot tell what starts this machine");
        if (b.loader != BOOT_LOADER_GRUB)
                return 0;
        r = refresh_grub(p, u, firmware);
        boot_tidy(p->root);
        return r;
}

typedef struct Files {
        int root;
        bool missing;
} Files;

static int note_missing(const char *path, void *userdata) {
        Files *f = userdata;
        int r = boot_grub_file_exists(path, &f->root);

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

int boot_restore_grub_cfg(Phase *p, const char *text, size_t size) {
        int r;

        r = is_current(p->root, text);
        if (r == 0)
                return 0;
        if (r > 0)
                r = fs_write_atomic(p->root, GRUB_NEW, text, size, 0600);
        if (r >= 0)
                r = bootfile_publish(p->root, GRUB_NEW, BOOT_GRUB_CFG);
        boot_tidy(p->root);
        return r < 0 ? phase_fail(p, r, "The one that is there is untouched", "Cannot replace " BOOT_GRUB_CFG)
                     : 1;
}

/* Returns 1 if the menu that is there already asks for the IOMMU everywhere. One that cannot be read (a dry
 * run without root) counts as one that does not. */
static int grub_is_ready(int root, const char *firmware) {
        _cleanup_free_ char *text = NULL, *problem = NULL;
        int r;

        r = fs_read(root, BOOT_GRUB_CFG, FS_FILE_MAX, &text, NULL);
        if (r < 0)
                return 0;
        r = grubcfg_check(text, firmware, boot_grub_file_exists, &root, &problem);
        return r < 0 ? r : r == 0;
}

bool boot_grub_asks(int root) {
        _cleanup_free_ char *text = NULL;

        return fs_read(root, BOOT_GRUB_CFG, FS_FILE_MAX, &text, NULL) < 0 || strstr(text, "iommu=pt") ||
                        strstr(text, "iommu=on");
}

/* After a failure: the drop-in would otherwise take effect with the next kernel update. */
static void dropin_back(Phase *p, const char *before) {
        int r = before ? fs_write_if_changed(p->root, BOOT_GRUB_DROPIN, before, strlen(before), 0644)
                       : fs_remove(p->root, BOOT_GRUB_DROPIN);

        if (r < 0)
                phase_note(p, "Could not take back " BOOT_GRUB_DROPIN "; remove it by hand");
}

static int write_dropin(Phase *p, Undo *u, const char *text) {
        int r;

        r = undo_record_refresh(u, "bootloader");
        if (r < 0)
                return phase_fail(p, r, "Make /var/lib/gpuvm writable, with some room; nothing was changed",
                                  "Cannot record the change");
        r = undo_write_file(u, BOOT_GRUB_DROPIN, text, strlen(text), 0644);
        if (r < 0)
                return phase_fail(p, r, "Make it writable, with some room; nothing was changed",
                                  "Cannot write " BOOT_GRUB_DROPIN);
        return 0;
}

static int make_dropin(Phase *p, const char *firmware, bool override, char *const *words, char **ret) {
        const char *off = cmdline_iommu_off(words, firmware);
        int r = boot_grub_dropin(firmware, override, override ? off : NULL, ret);

        return r < 0 ? phase_fail(p, r, "Take it out yourself", "Cannot override '%s'", strna(off)) : 0;
}

static int iommu_grub(Phase *p, Undo *u, const char *firmware, bool override, char *const *words) {
        _cleanup_free_ char *text = NULL, *before = NULL;
        int r;

        r = grub_is_ready(p->root, firmware);
        if (r < 0)
                return phase_fail(p, r, "Look at it", "Cannot check " BOOT_GRUB_CFG);
        if (r > 0)
                return 0;
        r = make_dropin(p, firmware, override, words, &text);
        if (r < 0)
                return r;
        r = phase_change(p, "write", BOOT_GRUB_DROPIN, "kernel command line: %s%s",
                         boot_iommu_words(firmware),
                         override ? ", and without the words that keep the IOMMU off" : "");
        if (r >= 0)
                r = phase_change(p, "write", BOOT_GRUB_CFG, "made beside, checked, then renamed");
        if (r <= 0)
                return r < 0 ? phase_fail(p, r, "Try again", "Cannot go on") : 1;
        r = look_for_room(p);
        if (r < 0)
                return r;
        (void) !fs_read(p->root, BOOT_GRUB_DROPIN, FS_FILE_MAX, &before, NULL);
        r = write_dropin(p, u, text);
        if (r < 0)
                return r;
        r = refresh_grub(p, u, firmware);
        boot_tidy(p->root);
        if (r < 0)
                dropin_back(p, before);
        return r < 0 ? r : 1;
}

int boot_rehearse(Phase *p, Undo *u, const char *firmware, bool override, char *const *words) {
        _cleanup_free_ char *text = NULL, *before = NULL, *menu = NULL;
        _cleanup_(boot_done) Boot b = {};
        size_t size;
        int r;

        r = boot_detect(p->root, &b);
        if (r < 0)
                return phase_fail(p, r, "Look at /boot", "Cannot tell what starts this machine");
        if (b.loader != BOOT_LOADER_GRUB)
                return 0;
        r = make_dropin(p, firmware, override, words, &text);
        if (r >= 0)
                r = look_for_room(p);
        if (r < 0)
                return r;
        r = phase_change(p, "write", BOOT_GRUB_DROPIN,
                         "a boot menu made with it is checked, then it goes again");
        if (r <= 0)
                return r < 0 ? phase_fail(p, r, "Try again", "Cannot go on") : 0;
        (void) !fs_read(p->root, BOOT_GRUB_DROPIN, FS_FILE_MAX, &before, NULL);
        /* Should the machine stop here, the next update-grub of anybody takes the words over. */
        r = undo_record_refresh(u, "bootloader");
        if (r >= 0)
                r = undo_write_file(u, BOOT_GRUB_DROPIN, text, strlen(text), 0644);
        if (r < 0)
                return phase_fail(p, r, "Make it writable, with some room; nothing was changed",
                                  "Cannot write " BOOT_GRUB_DROPIN);
        r = make_grub_cfg(p, firmware, &menu, &size);
        boot_tidy(p->root);
        /* One like ours is what a run that was cut has left. */
        dropin_back(p, before && streq(before, text) ? NULL : before);
        return r;
}

int boot_iommu(Phase *p, Undo *u, const char *firmware, bool override, char *const *words) {
        _cleanup_(boot_done) Boot b = {};
        int r;

        r = boot_detect(p->root, &b);
        if (r < 0)
                return phase_fail(p, r, "Look at /boot", "Cannot tell what starts this machine");
        switch (b.loader) {
        case BOOT_LOADER_GRUB:
                return iommu_grub(p, u, firmware, override, words);
        case BOOT_LOADER_SYSTEMD:
                return bootentry_iommu(p, u, b.partition, firmware, override);
        default:
                return phase_fail(
                                p, -EOPNOTSUPP,
                                "It is neither GRUB nor systemd-boot with loader entries, so this is yours: add "
                                "the words to the kernel command line, restart, and start "
                                "gpuvm-bootstrap.target again. Nothing was changed",
                                "Cannot add '%s' to the command line of this machine's boot loader",
                                boot_iommu_words(firmware));
        }
}
