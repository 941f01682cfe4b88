/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "early.h"
#include "fs.h"
#include "keep.h"
#include "known.h"
#include "module.h"
#include "strv.h"

/* Two lines for each module: the name is there twice so that an administrator's own line below is not taken
 * for ours. */
#define INITRD_MARK     "# gpuvm: an exclusive GPU belongs to "
#define INITRD_MARK_END " from the start"

/* Not the variant drivers: the rule loads them, and systemd-modules-load would fail with a kernel that lacks
 * one. */
static const char modules_text[] =
                "# Written by gpuvm: exclusive GPUs belong to this driver.\n" MODULE_VFIO "\n";

/* Not here either: the lists of all files are one, and dracut-install leaves out what comes behind a module
 * that a kernel lacks, without an error of dracut's: the driver of the root disk, perhaps. The function waits
 * for the root file system, which the rule allows for. initramfs-tools leaves out the missing one alone. */
static const char dracut_text[] = "# Written by gpuvm: an exclusive GPU belongs to vfio-pci from the start.\n"
                                  "add_drivers+=\" " MODULE_VFIO " \"\n"
                                  "install_items+=\" " EARLY_RULE " \"\n";

/* Makes the file hold the text; "" removes it. theirs: what an administrator has in it (NULL: the file is
 * ours). refresh: what undo has to make anew then, recorded first. Returns 1 if that was (or, in a dry run,
 * would be) a change. */
static int put(Phase *p, Undo *u, const char *path, const char *text, const char *theirs,
               const char *const *refresh, const char *why) {
        _cleanup_free_ char *now = NULL;
        int r;

        r = fs_read(p->root, path, FS_FILE_MAX, &now, NULL);
        if (r < 0 && r != -ENOENT)
                return r;
        if (streq(strempty(now), text) && (now || isempty(text)))
                return 0;
        r = phase_change(p, isempty(text) ? "remove" : "write", path, "%s", why);
        if (r <= 0)
                return r < 0 ? r : 1;
        for (r = 0; *refresh && r >= 0; refresh++)
                r = undo_record_refresh(u, *refresh);
        if (r < 0)
                return r;
        if (isempty(text))
                r = undo_remove_file(u, path);
        else if (theirs)
                r = undo_edit_file(u, path, theirs, text, 0644);
        else
                r = undo_write_file(u, path, text, strlen(text), 0644);
        return r < 0 ? r : 1;
}

/* True if the line is the mark of ours for the module that the next one names. */
static bool is_mark(const char *line, const char *next, size_t *ret_next) {
        const char *name = startswith(line, INITRD_MARK);
        size_t n = name && endswith(name, INITRD_MARK_END) ? strlen(name) - strlen(INITRD_MARK_END) : 0;

        if (n == 0)
                return false;
        *ret_next = strncmp(next, name, n) == 0 && next[n] == '\n' ? n + 1 : 0;
        return true;
}

/* The lines of the list that are not ours. Returns 1 if there are some of ours. */
static int without_ours(char *text, char ***ret) {
        bool any = false;

        for (char *line = text, *next; *line; line = next) {
                char *end = line + strcspn(line, "\n");
                size_t skip = 0;
                int r = 0;

                next = *end ? end + 1 : end;
                *end = '\0';
                if (is_mark(line, next, &skip))
                        any = true;
                else
                        r = strv_extendf(ret, "%s\n", line);
                if (r < 0)
                        return r;
                next += skip;
        }
        return any;
}

/* The administrator's list of modules, with our lines or without, and as it is without them. */
static int initrd_modules(int root, char *const *modules, char **ret, char **ret_theirs) {
        _cleanup_free_ char *now = NULL, *joined = NULL, *theirs = NULL;
        _cleanup_strv_ char **keep = NULL;
        int r;

        r = fs_read(root, EARLY_INITRD, FS_FILE_MAX, &now, NULL);
        if (r < 0 && r != -ENOENT)
                return r;
        theirs = strdup(strempty(now));
        r = !theirs ? -ENOMEM : now ? without_ours(now, &keep) : 0;
        if (r < 0)
                return r;
        if (r > 0) {
                free(theirs);
                theirs = strv_join(keep, "");
        }
        STRV_FOREACH(m, modules) {
                _cleanup_free_ char *line = NULL;

                r = str_printf(&line, "%s\n", *m);
                if (r >= 0 && !strv_contains(keep, line))
                        r = strv_extendf(&keep, INITRD_MARK "%s" INITRD_MARK_END "\n%s", *m, line);
                if (r < 0)
                        return r;
        }
        joined = strv_join(keep, "");
        if (!joined || !theirs)
                return -ENOMEM;
        *ret = TAKE_PTR(joined);
        *ret_theirs = TAKE_PTR(theirs);
        return 0;
}

/* What makes the initramfs of this machine, if anything does. */
typedef struct Images {
        bool tools, dracut;
} Images;

static int find_images(int root, Images *ret) {
        int tools = fs_exists(root, "/usr/sbin/mkinitramfs"), dracut = fs_exists(root, "/usr/bin/dracut");

        if (tools < 0 || dracut < 0)
                return tools < 0 ? tools : dracut;
        *ret = (Images){ tools > 0, dracut > 0 };
        return 0;
}

/* modules: what is wanted there. Returns 1 if the configuration of the initramfs changed, 0 if not. */
static int put_initrd(Phase *p, Undo *u, const Images *i, char *const *modules) {
        static const char *const refresh[] = { "initramfs", NULL };
        const char *why = modules ? "vfio-pci has to be in the initramfs, before any other driver"
                                  : "no GPU is exclusive any more";
        bool dracut = !i->tools && i->dracut && modules;
        _cleanup_free_ char *text = NULL, *theirs = NULL;
        int r = 0, q = 0;

        if (i->tools) {
                r = initrd_modules(p->root, modules, &text, &theirs);
                if (r >= 0)
                        r = put(p, u, EARLY_INITRD, text, theirs, refresh, why);
        }
        if (r >= 0)
                q = put(p, u, EARLY_DRACUT, dracut ? dracut_text : "", NULL, refresh, why);
        return r < 0 ? r : q < 0 ? q : r | q;
}

static int apply(Phase *p, Undo *u, const EarlyRule *rule) {
        static const char *const refresh[] = { "udev", "initramfs", NULL }, *const none = NULL;
        const char *why = isempty(rule->text) ? "no GPU is exclusive any more"
                                              : "exclusive GPUs go to vfio-pci at boot";
        const char *const udev[] = { "udev", NULL };
        Images images = {};
        int ruled = 0, r;
        bool any;

        r = find_images(p->root, &images);
        any = images.tools || images.dracut;
        if (r >= 0)
                ruled = put(p, u, EARLY_RULE, rule->text, NULL, any ? refresh : udev, why);
        if (r >= 0 && ruled >= 0)
                r = put(p, u, EARLY_MODULES, isempty(rule->text) ? "" : modules_text, NULL, &none, why);
        if (r >= 0 && ruled >= 0)
                r = put_initrd(p, u, &images, rule->modules);
        if (r < 0 || ruled < 0)
                return r < 0 ? r : ruled;
        return any && (r > 0 || ruled > 0);
}

/* What this kernel has for each device of the bus. Other kernels of this machine may have more or less, which
 * the rule allows for. NULL where nobody asks. */
static int find_drivers(int root, const Conf *c, const PciBus *bus, char ***ret) {
        _cleanup_free_ const char **modaliases = calloc(bus->n + 1, sizeof(char *));
        _cleanup_strv_ char **drivers = calloc(bus->n + 1, sizeof(char *));
        bool any = false;
        int r;

        if (!modaliases || !drivers)
                return -ENOMEM;
        for (size_t i = 0; i < bus->n; i++) {
                any = any || early_exclusive(c, &bus->devices[i]);
                modaliases[i] = bus->devices[i].modalias;
        }
        if (!any)
                return 0;
        r = module_find_vfio(root, modaliases, bus->n, drivers);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(drivers);
        return 0;
}

static int make_rule(Phase *p, const Conf *c, const PciBus *bus, EarlyRule *ret) {
        _cleanup_(keep_done) KeepList keep = {};
        _cleanup_strv_ char **drivers = NULL;
        int r;

        r = keep_find(p->root, bus, &keep);
        if (r < 0)
                return phase_fail(p, r, "Make /proc and /sys readable for it and start again",
                                  "Cannot find out which PCI devices the host itself needs");
        r = find_drivers(p->root, c, bus, &drivers);
        if (r < 0)
                return phase_fail(p, r, "Make /lib/modules readable, run 'depmod' and start again",
                                  "Cannot find out which VFIO drivers this kernel has");
        r = early_rule(c, bus, keep.items, keep.n, drivers, ret);
        return r < 0 ? phase_fail(p, r, "Free some memory and start again",
                                  "Cannot make the rule for exclusive GPUs")
                     : 0;
}

int early_apply(Phase *p, Undo *u, const Conf *c, const PciBus *bus) {
        _cleanup_(early_rule_done) EarlyRule rule = {};
        int r, k;

        if (!c->vfio)
                return 0;
        r = make_rule(p, c, bus, &rule);
        if (r < 0)
                return r;
        STRV_FOREACH(line, rule.left_out)
                phase_note(p, "%s", *line);
        r = apply(p, u, &rule);
        if (r < 0)
                return phase_fail(
                                p, r,
                                "Make /etc and /var/lib/gpuvm writable (a full or read-only file system?) and "
                                "start again",
                                "Cannot write what gives exclusive GPUs to vfio-pci at boot");
        k = p->dry_run ? 0 : known_save(p->root, bus, c);
        return k < 0 ? phase_fail(p, k, "Make /var/lib/gpuvm writable, with some room",
                                  "Cannot write " KNOWN_PATH)
                     : r;
}
