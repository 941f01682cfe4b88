/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "early.h"
#include "fs.h"
#include "keep.h"
#include "strv.h"

#define INITRD_MARK "# gpuvm: an exclusive GPU belongs to vfio-pci from the start"

static const char modules_text[] = "# Written by gpuvm: exclusive GPUs belong to this driver.\nvfio-pci\n";
static const char dracut_text[] = "# Written by gpuvm: an exclusive GPU belongs to vfio-pci from the start.\n"
                                  "add_drivers+=\" vfio-pci \"\n"
                                  "install_items+=\" " EARLY_RULE " \"\n";

/* Makes the file hold the text; "" removes it. Returns 1 if that was (or, in a dry run, would be) a change.
 */
static int put(Phase *p, Undo *u, const char *path, const char *text, const char *why) {
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
        if (isempty(text))
                r = undo_remove_file(u, path);
        else
                r = undo_write_file(u, path, text, strlen(text), 0644);
        return r < 0 ? r : 1;
}

/* The administrator's list of modules, with our two lines or without. */
static int initrd_modules(int root, bool wanted, char **ret) {
        _cleanup_free_ char *now = NULL, *joined = NULL;
        _cleanup_strv_ char **keep = NULL;
        int r;

        r = fs_read(root, EARLY_INITRD, FS_FILE_MAX, &now, NULL);
        if (r < 0 && r != -ENOENT)
                return r;
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
        }
        if (wanted && !strv_contains(keep, "vfio-pci\n")) {
                r = strv_extend(&keep, INITRD_MARK "\nvfio-pci\n");
                if (r < 0)
                        return r;
        }
        joined = strv_join(keep, "");
        if (!joined)
                return -ENOMEM;
        *ret = TAKE_PTR(joined);
        return 0;
}

/* Returns 1 if the configuration of the initramfs changed, 0 if not; ret_any: there is a tool that makes one.
 */
static int put_initrd(Phase *p, Undo *u, bool wanted, bool *ret_any) {
        static const char why[] = "vfio-pci has to be in the initramfs, before any other driver";
        _cleanup_free_ char *text = NULL;
        int tools = fs_exists(p->root, "/usr/sbin/mkinitramfs");
        int dracut = fs_exists(p->root, "/usr/bin/dracut"), r = 0, q = 0;

        if (tools < 0 || dracut < 0)
                return tools < 0 ? tools : dracut;
        *ret_any = tools > 0 || dracut > 0;
        if (tools > 0) {
                r = initrd_modules(p->root, wanted, &text);
                if (r >= 0)
                        r = put(p, u, EARLY_INITRD, text, wanted ? why : "no GPU is exclusive any more");
        }
        if (r >= 0)
                q = put(p, u, EARLY_DRACUT, tools == 0 && dracut > 0 && wanted ? dracut_text : "",
                        wanted ? why : "no GPU is exclusive any more");
        return r < 0 ? r : q < 0 ? q : r | q;
}

static int apply(Phase *p, Undo *u, const char *rule) {
        const char *why = isempty(rule) ? "no GPU is exclusive any more"
                                        : "exclusive GPUs go to vfio-pci at boot";
        bool any = false;
        int ruled, r;

        ruled = put(p, u, EARLY_RULE, rule, why);
        if (ruled < 0)
                return ruled;
        if (ruled > 0 && !p->dry_run) {
                r = undo_record_refresh(u, "udev");
                if (r < 0)
                        return r;
        }
        r = put(p, u, EARLY_MODULES, isempty(rule) ? "" : modules_text, why);
        if (r >= 0)
                r = put_initrd(p, u, !isempty(rule), &any);
        if (r < 0)
                return r;
        if (!any || (r == 0 && ruled == 0))
                return 0;
        if (!p->dry_run)
                r = undo_record_refresh(u, "initramfs");
        return r < 0 ? r : 1;
}

int early_apply(Phase *p, Undo *u, const Conf *c, const PciBus *bus) {
        _cleanup_(keep_done) KeepList keep = {};
        _cleanup_strv_ char **left_out = NULL;
        _cleanup_free_ char *rule = NULL;
        int r;

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
        return r;
}
