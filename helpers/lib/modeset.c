/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "modeset.h"
#include "fs.h"
#include "initramfs.h"
#include "unitfile.h"

/* Debian's own packages name the module after the branch. An older driver without fbdev says so in the
 * kernel's log and goes on (unknown_module_param_cb() of kernel/module/main.c). */
static const char options[] =
                "# Written by gpuvm: GPUs that VMs borrow show nothing of the host; 'gpuvm-undo vfio' takes it "
                "back.\n"
                "options nvidia-drm modeset=0 fbdev=0\n"
                "options nvidia-current-drm modeset=0 fbdev=0\n";
static const char dracut[] =
                "# Written by gpuvm: the options of NVIDIA's driver, should that be in the image.\n"
                "install_items+=\" " MODESET_PATH " \"\n";

static bool is_kept(const PciBus *bus, const KeepList *keep, const PciDevice *gpu) {
        for (size_t i = 0; i < keep->n; i++) {
                const PciDevice *d = pci_find(bus, keep->items[i].bdf);

                if (d && pci_same_slot(d, gpu))
                        return true;
        }
        return false;
}

/* Returns 1 if the GPU could go, 0 if not. */
static int can_go(const Conf *c, const PciBus *bus, const KeepList *keep, const PciDevice *gpu) {
        _cleanup_(iommu_verdict_done) IommuVerdict v = {};
        int r;

        r = iommu_group_check(bus, gpu, keep->items, keep->n,
                              conf_gpu_accept_siblings(c, gpu->name, strempty(gpu->path)), &v);
        if (r == -ENODEV) /* no groups yet */
                return !is_kept(bus, keep, gpu);
        return r < 0 ? r : v.viable;
}

int modeset_is_wanted(const Conf *c, const PciBus *bus, const KeepList *keep, bool desktop, bool *ret,
                      const PciDevice **ret_display) {
        const PciDevice *display = NULL;
        bool any = false;

        for (size_t i = 0; i < bus->n; i++) {
                const PciDevice *d = &bus->devices[i];
                int r;

                if (!pci_is_nvidia_gpu(d) || conf_gpu_mode(c, d->name, strempty(d->path)) != GPU_FLEXIBLE)
                        continue;
                r = can_go(c, bus, keep, d);
                if (r < 0)
                        return r;
                any = any || r > 0;
                if (desktop && d->boot_vga)
                        display = d;
        }
        *ret = any && !display;
        *ret_display = any ? display : NULL;
        return 0;
}

/* As it shall be; NULL removes it. */
static int put(Phase *p, Undo *u, const char *path, const char *text) {
        _cleanup_free_ char *now = NULL;
        int r;

        r = fs_read(p->root, path, FS_FILE_MAX, &now, NULL);
        if (r < 0 && r != -ENOENT)
                return r;
        if (streq_ptr(now, text))
                return 0;
        r = phase_change(p, text ? "write" : "remove", path, "%s",
                         text ? "flexible GPUs show nothing of the host, so that they can be idle"
                              : "no flexible GPU needs it any more");
        if (r <= 0)
                return r;
        r = text ? undo_write_file(u, path, text, strlen(text), 0644) : undo_remove_file(u, path);
        return MIN(r, 0);
}

static int put_all(Phase *p, Undo *u, bool wanted) {
        int r, tools = fs_exists(p->root, "/usr/sbin/mkinitramfs"),
               image = fs_exists(p->root, "/usr/bin/dracut");

        if (tools < 0 || image < 0)
                return tools < 0 ? tools : image;
        r = put(p, u, MODESET_PATH, wanted ? options : NULL);
        return r < 0 ? r : put(p, u, MODESET_DRACUT, wanted && image > 0 && tools == 0 ? dracut : NULL);
}

static int read_both(int root, char **ret_now, char **ret_seen) {
        int r;

        r = fs_read(root, MODESET_PATH, FS_FILE_MAX, ret_now, NULL);
        if (r >= 0 || r == -ENOENT)
                r = fs_read(root, MODESET_SEEN, FS_FILE_MAX, ret_seen, NULL);
        return r == -ENOENT ? 0 : r;
}

/* Images are looked into once for each change: they are large. Returns 1 if one has the driver. A negative
 * result has been told. */
static int look_at_images(Phase *p) {
        _cleanup_free_ char *now = NULL, *seen = NULL;
        int r;

        r = read_both(p->root, &now, &seen);
        if (r >= 0 && (streq(strempty(now), strempty(seen)) || p->dry_run))
                return 0;
        if (r >= 0) {
                phase_status(p, "Looking for NVIDIA's driver in the initramfs");
                r = initramfs_holds(p, "nvidia*drm.ko*");
                if (r != 0)
                        return r;
                r = modeset_settle(p->root);
        }
        return r < 0 ? phase_fail(p, r, "Make /var/lib/gpuvm writable, with some room",
                                  "Cannot note with which options the images were seen")
                     : 0;
}

int modeset_settle(int root) {
        _cleanup_free_ char *now = NULL, *seen = NULL;
        int r;

        r = read_both(root, &now, &seen);
        if (r >= 0)
                r = now ? fs_write_if_changed(root, MODESET_SEEN, now, strlen(now), 0644)
                        : fs_remove(root, MODESET_SEEN);
        return MIN(r, 0);
}

int modeset_apply(Phase *p, Undo *u, const Conf *c, const PciBus *bus) {
        _cleanup_(keep_done) KeepList keep = {};
        const PciDevice *display = NULL;
        bool wanted = false;
        int r, desktop;

        r = keep_find(p->root, bus, &keep);
        desktop = r < 0 ? r : unitfile_exists(p->root, "display-manager.service");
        if (desktop >= 0)
                r = modeset_is_wanted(c, bus, &keep, desktop > 0, &wanted, &display);
        if (r < 0 || desktop < 0)
                return phase_fail(p, r < 0 ? r : desktop, "Make /proc, /sys and /etc readable for it",
                                  "Cannot tell which GPUs this host needs as displays");
        if (display)
                phase_note(p,
                           "The desktop of this host is on GPU %s, so NVIDIA's driver keeps its displays: while "
                           "it runs, no GPU that it shows something on is idle",
                           display->name);
        r = put_all(p, u, wanted);
        return r < 0 ? phase_fail(p, r, "Make /etc and /var/lib/gpuvm writable, with some room",
                                  "Cannot write " MODESET_PATH)
                     : look_at_images(p);
}
