/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "early.h"
#include "fs.h"
#include "keep.h"
#include "known.h"
#include "strv.h"

#define INITRD_MARK "# gpuvm: an exclusive GPU belongs to vfio-pci from the start"

static const char modules_text[] = "# Written by gpuvm: exclusive GPUs belong to this driver.\nvfio-pci\n";
static const char dracut_text[] = "# Written by gpuvm: an exclusive GPU belongs to vfio-pci from the start.\n"
                                  "add_drivers+=\" vfio-pci \"\n"
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

/* The administrator's list of modules, with our two lines or without, and as it is without them. */
static int initrd_modules(int root, bool wanted, char **ret, char **ret_theirs) {
        _cleanup_free_ char *now = NULL, *joined = NULL, *theirs = NULL;
        _cleanup_strv_ char **keep = NULL;
        bool any = false;
        int r;

        r = fs_read(root, EARLY_INITRD, FS_FILE_MAX, &now, NULL);
        if (r < 0 && r != -ENOENT)
                return r;
        theirs = strdup(strempty(now));
        if (!theirs)
                return -ENOMEM;
        for (char *line = now, *next; line && *line; line = next) {
                char *end = line + strcspn(line, "\n");
                bool ours;

                next = *end ? end + 1 : end;
                *end = '\0';
                ours = streq(line, INITRD_MARK);
                if (ours && startswith(next, "vfio-pci\n"))
                        next += strlen("vfio-pci\n");
                r = ours ? 0 : strv_extendf(&keep, "%s\n", line);
                if (r < 0)
                        return r;
                any |= ours;
        }
        if (any) {
                free(theirs);
                theirs = strv_join(keep, "");
        }
        if (wanted && !strv_contains(keep, "vfio-pci\n")) {
                r = strv_extend(&keep, INITRD_MARK "\nvfio-pci\n");
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

/* Returns 1 if the configuration of the initramfs changed, 0 if not. */
static int put_initrd(Phase *p, Undo *u, const Images *i, bool wanted) {
        static const char *const refresh[] = { "initramfs", NULL };
        const char *why = wanted ? "vfio-pci has to be in the initramfs, before any other driver"
                                 : "no GPU is exclusive any more";
        _cleanup_free_ char *text = NULL, *theirs = NULL;
        int r = 0, q = 0;

        if (i->tools) {
                r = initrd_modules(p->root, wanted, &text, &theirs);
                if (r >= 0)
                        r = put(p, u, EARLY_INITRD, text, theirs, refresh, why);
        }
        if (r >= 0)
                q = put(p, u, EARLY_DRACUT, !i->tools && i->dracut && wanted ? dracut_text : "", NULL,
                        refresh, why);
        return r < 0 ? r : q < 0 ? q : r | q;
}

static int apply(Phase *p, Undo *u, const char *rule) {
        static const char *const refresh[] = { "udev", "initramfs", NULL }, *const none = NULL;
        const char *why = isempty(rule) ? "no GPU is exclusive any more"
                                        : "exclusive GPUs go to vfio-pci at boot";
        const char *const udev[] = { "udev", NULL };
        Images images = {};
        int ruled = 0, r;
        bool any;

        r = find_images(p->root, &images);
        any = images.tools || images.dracut;
        if (r >= 0)
                ruled = put(p, u, EARLY_RULE, rule, NULL, any ? refresh : udev, why);
        if (r >= 0 && ruled >= 0)
                r = put(p, u, EARLY_MODULES, isempty(rule) ? "" : modules_text, NULL, &none, why);
        if (r >= 0 && ruled >= 0)
                r = put_initrd(p, u, &images, !isempty(rule));
        if (r < 0 || ruled < 0)
                return r < 0 ? r : ruled;
        return any && (r > 0 || ruled > 0);
}

int early_apply(Phase *p, Undo *u, const Conf *c, const PciBus *bus) {
        _cleanup_(keep_done) KeepList keep = {};
        _cleanup_strv_ char **left_out = NULL;
        _cleanup_free_ char *rule = NULL;
        int r, k;

        if (!c->vfio)
                return 0;
        r = keep_find(p->root, bus, &keep);
        if (r < 0)
                return phase_fail(p, r, "Make /proc and /sys readable for it and start again",
                                  "Cannot find out which PCI devices the host itself needs");
        r = early_rule(c, bus, keep.items, keep.n, &rule, &left_out);
        if (r < 0)
                return phase_fail(p, r, "Free some memory and start again",
                                  "Cannot make the rule for exclusive GPUs");
        STRV_FOREACH(line, left_out)
                phase_note(p, "%s", *line);
        r = apply(p, u, rule);
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
