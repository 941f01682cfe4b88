/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "kernel.h"
#include "fs.h"
#include "strv.h"

enum { CONFIG_MAX = 4 * 1024 * 1024 };

static KernelOption get_option(const char *config, const char *name) {
        size_t n = strlen(name);

        for (const char *line = config; *line; line += strcspn(line, "\n"), line += *line == '\n') {
                if (strncmp(line, name, n) != 0 || line[n] != '=')
                        continue;
                return line[n + 1] == 'y' ? KERNEL_BUILTIN : line[n + 1] == 'm' ? KERNEL_MODULE : KERNEL_NO;
        }
        return KERNEL_NO;
}

static int read_config(int root, const char *release, char **ret) {
        static const char *const patterns[] = { "/boot/config-%s", "/usr/lib/modules/%s/config",
                                                "/lib/modules/%s/config" };
        int r = -ENOENT;

        for (size_t i = 0; i < ELEMENTSOF(patterns) && r < 0; i++) {
                _cleanup_free_ char *path = NULL;

                if (str_printf(&path, patterns[i], release) < 0)
                        return -ENOMEM;
                r = fs_read(root, path, CONFIG_MAX, ret, NULL);
                if (r == -ENOMEM)
                        return r;
        }
        return r;
}

/* depmod(8)'s lists of this kernel's modules. */
static int look_at_modules(int root, const char *release, Kernel *k) {
        _cleanup_free_ char *dep = NULL, *builtin = NULL, *text = NULL, *more = NULL;
        int r;

        if (str_printf(&dep, "/lib/modules/%s/modules.dep", release) < 0 ||
            str_printf(&builtin, "/lib/modules/%s/modules.builtin", release) < 0)
                return -ENOMEM;
        r = fs_read(root, dep, CONFIG_MAX, &text, NULL);
        if (r >= 0)
                r = fs_read(root, builtin, CONFIG_MAX, &more, NULL);
        if (r < 0) /* without both nothing is known */
                return r == -ENOMEM ? r : 0;
        k->vfio_pci = strstr(more, "/vfio-pci.ko")     ? KERNEL_BUILTIN
                        : strstr(text, "/vfio-pci.ko") ? KERNEL_MODULE
                                                       : KERNEL_NO;
        return 0;
}

int kernel_read(int root, const char *release, Kernel *ret) {
        _cleanup_free_ char *config = NULL;
        Kernel k = {};
        int r = 0;

        if (strchr(release, '/') || read_config(root, release, &config) == -ENOMEM)
                return strchr(release, '/') ? -EINVAL : -ENOMEM;
        if (config)
                k = (Kernel){
                        .vfio_pci = get_option(config, "CONFIG_VFIO_PCI"),
                        .intel_iommu = get_option(config, "CONFIG_INTEL_IOMMU"),
                        .amd_iommu = get_option(config, "CONFIG_AMD_IOMMU"),
                        .arm_smmu = MAX(get_option(config, "CONFIG_ARM_SMMU_V3"),
                                        get_option(config, "CONFIG_ARM_SMMU")),
                };
        else
                r = look_at_modules(root, release, &k);
        if (r < 0)
                return r;
        *ret = k;
        return 0;
}

const char *kernel_iommu_option(const char *firmware) {
        if (!firmware)
                return NULL;
        return streq(firmware, "intel")          ? "CONFIG_INTEL_IOMMU"
                        : streq(firmware, "amd") ? "CONFIG_AMD_IOMMU"
                                                 : "CONFIG_ARM_SMMU_V3";
}

static KernelOption iommu_of(const Kernel *k, const char *firmware) {
        return streq(firmware, "intel")          ? k->intel_iommu
                        : streq(firmware, "amd") ? k->amd_iommu
                                                 : k->arm_smmu;
}

const char *kernel_lacks(const Kernel *k, const char *firmware) {
        if (k->vfio_pci == KERNEL_NO)
                return "CONFIG_VFIO_PCI";
        return firmware && iommu_of(k, firmware) == KERNEL_NO ? kernel_iommu_option(firmware) : NULL;
}

/* Returns 1 if it is one to start with. */
static int is_good(int root, const char *release, const char *firmware) {
        _cleanup_free_ char *image = NULL;
        struct stat st;
        Kernel k = {};
        int r;

        if (str_printf(&image, "/boot/initrd.img-%s", release) < 0)
                return -ENOMEM;
        if (fs_stat(root, image, &st) < 0 || st.st_size == 0)
                return 0;
        r = kernel_read(root, release, &k);
        if (r < 0)
                return r;
        return k.vfio_pci != KERNEL_UNKNOWN && !kernel_lacks(&k, firmware);
}

int kernel_find(int root, const char *firmware, char **ret) {
        _cleanup_strv_ char **names = NULL;
        const char *newest = NULL;
        int r;

        r = fs_list(root, "/boot", &names);
        if (r < 0)
                return r == -ENOENT ? 0 : r;
        STRV_FOREACH(n, names) {
                const char *release = startswith(*n, "vmlinuz-");

                if (!release || (newest && strverscmp(release, newest) < 0))
                        continue;
                r = is_good(root, release, firmware);
                if (r < 0)
                        return r;
                if (r > 0)
                        newest = release;
        }
        if (!newest)
                return 0;
        *ret = strdup(newest);
        return *ret ? 1 : -ENOMEM;
}
