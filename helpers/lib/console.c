/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "console.h"
#include "fs.h"
#include "nodes.h"
#include "strv.h"

/* Returns 1 if a text console is drawn on a frame buffer. */
static int console_on_framebuffer(int root) {
        _cleanup_strv_ char **names = NULL;
        int r;

        r = fs_list(root, "/sys/class/vtconsole", &names);
        if (r < 0)
                return r == -ENOENT ? 0 : r;
        STRV_FOREACH(name, names) {
                _cleanup_free_ char *name_path = NULL, *bind_path = NULL, *text = NULL;
                uint64_t bound = 0;

                if (str_printf(&name_path, "/sys/class/vtconsole/%s/name", *name) < 0 ||
                    str_printf(&bind_path, "/sys/class/vtconsole/%s/bind", *name) < 0)
                        return -ENOMEM;
                if (fs_read_line(root, name_path, &text) >= 0 && strstr(text, "frame buffer") &&
                    fs_read_u64(root, bind_path, &bound) >= 0 && bound == 1)
                        return 1;
        }
        return 0;
}

/* Returns 1 if one of the kernel's drivers for the firmware's frame buffer is at work. */
static int firmware_framebuffer(int root) {
        static const char *const drivers[] = { "efi-framebuffer", "simple-framebuffer", "vesa-framebuffer" };

        for (size_t i = 0; i < ELEMENTSOF(drivers); i++) {
                _cleanup_free_ char *path = NULL;
                int r;

                if (str_printf(&path, "/sys/bus/platform/drivers/%s/%s.0", drivers[i], drivers[i]) < 0)
                        return -ENOMEM;
                r = fs_exists(root, path);
                if (r != 0)
                        return r;
        }
        return 0;
}

/* Returns 1 if a driver has made a frame buffer of the GPU: that of the firmware is gone then. NVIDIA's own
 * drives a display without one. */
static int has_graphics(int root, const PciDevice *gpu) {
        _cleanup_free_ char *path = NULL;

        if (gpu->names)
                return strv_contains(gpu->names, "graphics");
        if (str_printf(&path, "/sys/bus/pci/devices/%s/graphics", gpu->name) < 0)
                return -ENOMEM;
        return fs_exists(root, path);
}

int console_is_on(int root, const PciDevice *gpu) {
        _cleanup_free_ char *fb0 = NULL;
        int r, graphics;

        if (!pci_is_display(gpu) || (gpu->driver && nodes_is_vfio_driver(gpu->driver)))
                return 0;
        graphics = has_graphics(root, gpu);
        if (graphics < 0 || (graphics == 0 && !gpu->boot_vga))
                return MIN(graphics, 0);
        r = console_on_framebuffer(root);
        if (r <= 0)
                return r;
        if (graphics == 0)
                return firmware_framebuffer(root);
        if (str_printf(&fb0, "/sys/bus/pci/devices/%s/graphics/fb0", gpu->name) < 0)
                return -ENOMEM;
        return fs_exists(root, fb0);
}
