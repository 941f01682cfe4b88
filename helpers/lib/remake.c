/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "remake.h"
#include "boot.h"
#include "containerengine.h"
#include "fs.h"
#include "grubmenu.h"
#include "guestfilter.h"
#include "initramfs.h"
#include "modeset.h"

static int refresh_system(Takeback *tb, const char *what) {
        const char *program = streq(what, "udev") ? "/usr/bin/udevadm" : "/usr/bin/systemctl";
        int r;

        if (streq(what, "docker")) {
                containerengine_reload(tb->p);
                return 0;
        }
        if (streq(what, "guests")) {
                guestfilter_drop(tb->p);
                return 0;
        }
        r = phase_change(tb->p, "reload", streq(what, "udev") ? "udev" : "systemd", "reads its files again");
        if (r <= 0)
                return r;
        r = streq(what, "udev") ? takeback_tool(tb, program, "control", "--reload", NULL)
                                : takeback_tool(tb, program, "daemon-reload", NULL, NULL);
        /* Where nothing is running (a chroot) there is nothing to tell. */
        if (r != 0)
                phase_note(tb->p, "%s did not take the change in; a restart will", program);
        return 0;
}

/* Only a menu that was made beside was recorded, and nobody else has made one since with what it was made
 * from. */
static bool menu_is_not_ours(const Takeback *tb) {
        for (size_t i = 0; i < tb->ledger.n; i++)
                if (streq(tb->ledger.records[i].kind, "file") &&
                    streq(tb->ledger.records[i].object, GRUBMENU_CFG))
                        return false;
        return !grubmenu_asks(tb->p->root);
}

static int refresh_boot(Takeback *tb) {
        _cleanup_(boot_done) Boot b = {};
        int r;

        if (tb->grub_done)
                return 0;
        r = boot_detect(tb->p->root, &b);
        if (r < 0)
                return phase_fail(tb->p, r, "Look at /boot", "Cannot tell what starts this machine");
        if (b.loader != BOOT_LOADER_GRUB)
                return 0;
        if (menu_is_not_ours(tb)) {
                if (!tb->p->dry_run)
                        grubmenu_tidy(tb->p->root);
                return 0;
        }
        r = phase_change(tb->p, "write", GRUBMENU_CFG, "made anew beside, checked, then renamed");
        return r > 0 ? boot_refresh(tb->p, NULL, NULL) : r;
}

/* The images to rebuild, each once: those that were recorded, and those that will start next if just
 * "initramfs" was.
 */
static int list_images(const Takeback *tb, char ***ret) {
        _cleanup_strv_ char **l = NULL;
        int r = 0;

        for (size_t i = 0; r >= 0 && i < tb->ledger.n; i++) {
                const char *what = tb->ledger.records[i].object, *kernel = startswith(what, "initramfs/");
                _cleanup_strv_ char **next = NULL;

                if (!takeback_wants(tb, i, "refresh") || !startswith(what, "initramfs"))
                        continue;
                r = kernel ? strv_extend(&next, kernel) : initramfs_kernels(tb->p->root, &next);
                STRV_FOREACH(k, next)
                        if (r >= 0 && !(l && strv_contains(l, *k)))
                                r = strv_extend(&l, *k);
        }
        if (r >= 0)
                *ret = TAKE_PTR(l);
        return r;
}

static int refresh_images(Takeback *tb) {
        _cleanup_strv_ char **kernels = NULL;
        int r;

        r = list_images(tb, &kernels);
        if (r < 0)
                return phase_fail(tb->p, r, "Look at /boot", "Cannot list the kernels");
        STRV_FOREACH(k, kernels) {
                r = initramfs_update_kernel(tb->p, NULL, *k, "without what gpuvm put in");
                if (r < 0)
                        return r;
        }
        return 0;
}

static bool same_need(const char *a, const char *b) {
        return streq(a, b) || (startswith(a, "initramfs") && startswith(b, "initramfs"));
}

void remake(Takeback *tb) {
        bool booted = false;

        for (size_t i = 0; i < tb->ledger.n; i++) {
                const char *what = tb->ledger.records[i].object;
                bool boot = streq(what, "bootloader"), image = startswith(what, "initramfs");
                int r;

                if (!takeback_wants(tb, i, "refresh") || streq(what, "trial") || streq(what, "kernel") ||
                    streq(what, "network"))
                        continue;
                r = boot ? refresh_boot(tb) : image ? refresh_images(tb) : refresh_system(tb, what);
                booted |= boot || image;
                if (r < 0)
                        takeback_failed(tb, r);
                for (size_t n = i; r >= 0 && n < tb->ledger.n;
                     n++) /* the same need, perhaps of other steps */
                        if (takeback_wants(tb, n, "refresh") && same_need(tb->ledger.records[n].object, what))
                                tb->done[n] = true;
        }
        if (!booted || tb->error < 0 || tb->p->dry_run)
                return;
        if (initramfs_settle(tb->p->root) < 0 || modeset_settle(tb->p->root) < 0)
                takeback_failed(tb,
                                phase_fail(tb->p, 0, "Make it writable, with some room, then try again",
                                           "Cannot tidy up in /var/lib/gpuvm"));
}
