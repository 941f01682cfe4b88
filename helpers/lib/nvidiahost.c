/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <ctype.h>
#include <fnmatch.h>

#include "containerengine.h"
#include "fs.h"
#include "initramfs.h"
#include "module.h"
#include "nvidiahost.h"
#include "osrelease.h"

#define EFIVARS              "/sys/firmware/efi/efivars"
#define SECURE_BOOT_VARIABLE EFIVARS "/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
#define MOK_PREFIX           "MokListRT"

enum { BRANCH_DIGITS = 3 };

void nvidia_facts_done(NvidiaFacts *f) {
        free(f->id);
        free(f->version);
        free(f->codename);
        free(f->machine);
        free(f->kernel);
        strv_free(f->kernels);
        pci_bus_done(&f->bus);
        free(f->gpus);
        *f = (NvidiaFacts){};
}

/* "580.95.05-1", or "580-server-open" of a name. */
static unsigned branch_of(const char *s) {
        unsigned branch = 0;

        if (strspn(strempty(s), "0123456789") != BRANCH_DIGITS)
                return 0;
        for (; isdigit((unsigned char) *s); s++)
                branch = branch * 10 + (unsigned) (*s - '0');
        return branch;
}

/* The packages with kernel modules, and what they tell. Patterns of fnmatch(3), the first that matches. */
static const struct {
        const char *pattern;
        NvidiaSource family; /* AUTO: both have it */
        bool open, built_here;
} modules[] = {
        { "nvidia-kernel-open-dkms", NVIDIA_SOURCE_NVIDIA, true, true },
        { "nvidia-open-kernel-dkms", NVIDIA_SOURCE_DISTRO, true, true },
        { "nvidia-kernel-dkms", NVIDIA_SOURCE_AUTO, false, true },
        { "nvidia-dkms-open", NVIDIA_SOURCE_NVIDIA, true, true },
        { "nvidia-dkms", NVIDIA_SOURCE_NVIDIA, false, true },
        { "nvidia-dkms-[0-9][0-9][0-9]*-open", NVIDIA_SOURCE_AUTO, true, true },
        { "nvidia-dkms-[0-9][0-9][0-9]*", NVIDIA_SOURCE_AUTO, false, true },
        { "linux-modules-nvidia-[0-9][0-9][0-9]-open-*", NVIDIA_SOURCE_DISTRO, true, false },
        { "linux-modules-nvidia-[0-9][0-9][0-9]-server-open-*", NVIDIA_SOURCE_DISTRO, true, false },
        { "linux-modules-nvidia-[0-9][0-9][0-9]-*", NVIDIA_SOURCE_DISTRO, false, false },
};

/* What else only one of the families has. */
static const char *const of_repository[] = {
        "cuda-keyring", "cuda-drivers",       "cuda-drivers-*",
        "nvidia-open",  "nvidia-driver-cuda", "nvidia-driver-pinning-*"
};

static bool is_from_repository(const DpkgStatus *s) {
        for (size_t i = 0; i < s->n; i++)
                for (size_t k = 0; k < ELEMENTSOF(of_repository); k++)
                        if (s->packages[i].state == PACKAGE_INSTALLED &&
                            fnmatch(of_repository[k], s->packages[i].name, 0) == 0)
                                return true;
        return false;
}

static NvidiaSource family_of(NvidiaSource by_name, const char *version, bool from_repository) {
        if (by_name != NVIDIA_SOURCE_AUTO)
                return by_name;
        if (version && strstr(version, "-0ubuntu0."))
                return NVIDIA_SOURCE_DISTRO; /* Canonical's way to number what comes after a release */
        return from_repository ? NVIDIA_SOURCE_NVIDIA : NVIDIA_SOURCE_DISTRO;
}

static void take_package(const DpkgPackage *q, bool from_repository, NvidiaHost *h) {
        for (size_t k = 0; k < ELEMENTSOF(modules); k++) {
                const char *number;

                if (fnmatch(modules[k].pattern, q->name, 0) != 0)
                        continue;
                number = strpbrk(q->name, "0123456789");
                h->family = family_of(modules[k].family, q->version, from_repository);
                if (q->state != PACKAGE_INSTALLED)
                        return;
                h->branch = branch_of(number) ?: branch_of(q->version);
                h->open = modules[k].open;
                h->built_here = modules[k].built_here;
                return;
        }
}

void nvidia_find_installed(const DpkgStatus *packages, bool from_repository, NvidiaHost *h) {
        from_repository |= is_from_repository(packages);
        for (size_t i = 0; i < packages->n && h->branch == 0; i++)
                if (packages->packages[i].state != PACKAGE_ABSENT)
                        take_package(&packages->packages[i], from_repository, h);
}

/* DER certificates as DKMS's two homes have them; the firmware's list has them byte for byte, between
 * headers. */
static bool has_enrolled_key(int root) {
        static const char *const keys[] = { "/var/lib/dkms/mok.pub", "/var/lib/shim-signed/mok/MOK.der" };
        _cleanup_strv_ char **names = NULL;

        if (fs_list(root, EFIVARS, &names) < 0)
                return false;
        for (size_t i = 0; i < ELEMENTSOF(keys); i++) {
                _cleanup_free_ char *key = NULL;
                size_t size = 0;

                if (fs_read(root, keys[i], FS_ATTR_MAX, &key, &size) < 0 || size < 64)
                        continue;
                STRV_FOREACH(n, names) {
                        _cleanup_free_ char *path = NULL, *list = NULL;
                        size_t length = 0;

                        if (startswith(*n, MOK_PREFIX) && str_printf(&path, EFIVARS "/%s", *n) >= 0 &&
                            fs_read(root, path, FS_FILE_MAX, &list, &length) >= 0 &&
                            memmem(list, length, key, size))
                                return true;
                }
        }
        return false;
}

static bool has_secure_boot(int root) {
        _cleanup_free_ char *value = NULL;
        size_t size = 0;

        /* Four bytes of attributes, then the value. */
        return fs_read(root, SECURE_BOOT_VARIABLE, FS_ATTR_MAX, &value, &size) >= 0 && size == 5 &&
                        value[4] == 1;
}

static bool is_loaded(int root) {
        return fs_exists(root, "/sys/module/nvidia/version") > 0 ||
                        fs_exists(root, "/sys/module/nvidia_current/version") > 0;
}

/* A driver at work that no package has, whole enough to be used. */
static bool has_foreign_driver(int root) {
        static const char *const libraries[] = { "/usr/lib/x86_64-linux-gnu/libcuda.so.1",
                                                 "/usr/lib/aarch64-linux-gnu/libcuda.so.1",
                                                 "/usr/lib64/libcuda.so.1",
                                                 "/usr/lib/libcuda.so.1",
                                                 "/usr/local/lib/libcuda.so.1",
                                                 "/usr/local/nvidia/lib64/libcuda.so.1" };

        for (size_t i = 0; i < ELEMENTSOF(libraries) && is_loaded(root); i++)
                if (fs_exists(root, libraries[i]) > 0)
                        return true;
        return false;
}

static int read_system(int root, NvidiaFacts *f) {
        int r;

        r = osrelease_get(root, "ID", &f->id);
        if (r >= 0)
                r = osrelease_get(root, "VERSION_ID", &f->version);
        if (r >= 0)
                r = osrelease_get(root, "VERSION_CODENAME", &f->codename);
        if (r == -ENODATA)
                r = 0; /* the decision will not know it either */
        if (r >= 0)
                r = initramfs_kernels(root, &f->kernels);
        if (r < 0)
                return r;
        if (f->kernels)
                return free_and_strdup(&f->kernel, f->kernels[strv_length(f->kernels) - 1]);
        r = fs_read_line(root, "/proc/sys/kernel/osrelease", &f->kernel);
        return r < 0 ? r : strv_extend(&f->kernels, f->kernel);
}

bool nvidia_gives_away(const Conf *c, const PciDevice *gpu) {
        return c->vfio && conf_gpu_mode(c, gpu->name, strempty(gpu->path)) == GPU_EXCLUSIVE;
}

static int read_gpus(int root, const Conf *c, NvidiaFacts *f) {
        int r;

        r = pci_scan(root, &f->bus);
        if (r < 0)
                return r;
        f->gpus = calloc(MAX(f->bus.n, (size_t) 1), sizeof(*f->gpus));
        if (!f->gpus)
                return -ENOMEM;
        for (size_t i = 0; i < f->bus.n; i++) {
                const PciDevice *d = &f->bus.devices[i];

                if (!pci_is_nvidia_gpu(d))
                        continue;
                f->gpus[f->host.n_gpus++] = (NvidiaGpu){
                        .name = d->name,
                        .device = d->device,
                        .given_away = nvidia_gives_away(c, d),
                };
        }
        return 0;
}

/* Whether names that both families have may be of NVIDIA's own repository: it is among apt's sources, and no
 * pin of ours keeps the driver to the distribution. */
static bool has_repository(int root, const AptSources *sources) {
        _cleanup_free_ char *pin = NULL;

        for (size_t i = 0; i < sources->n; i++)
                STRV_FOREACH(u, sources->items[i].uris)
                        if (startswith(*u, NVIDIA_REPOSITORY))
                                return fs_read(root, NVIDIA_PIN_PATH, FS_FILE_MAX, &pin, NULL) < 0 ||
                                                !strstr(pin, NVIDIA_PIN_NEVER);
        return false;
}

int nvidia_facts_read(int root, const Conf *c, const DpkgStatus *packages, const AptSources *sources,
                      NvidiaFacts *ret) {
        _cleanup_(nvidia_facts_done) NvidiaFacts f = {};
        bool smi;
        int r;

        r = read_system(root, &f);
        if (r >= 0)
                r = read_gpus(root, c, &f);
        if (r >= 0)
                r = osrelease_machine(root, &f.machine);
        if (r < 0)
                return r;
        nvidia_find_installed(packages, has_repository(root, sources), &f.host);
        smi = fs_exists(root, "/usr/bin/nvidia-smi") > 0;
        if (!smi)
                f.host.branch = 0; /* half of one: to be completed */
        f.host.has_installer = fs_exists(root, "/usr/bin/nvidia-uninstall") > 0 ||
                        (f.host.family == NVIDIA_SOURCE_AUTO && has_foreign_driver(root));
        f.host.has_containers = containerengine_is_here(root);
        f.host.secure_boot = has_secure_boot(root);
        /* What this kernel has loaded it trusts, by whatever key. */
        f.host.key_enrolled = f.host.secure_boot &&
                        (has_enrolled_key(root) || (f.host.branch && f.host.built_here && is_loaded(root)));
        f.host.id = f.id;
        f.host.version = f.version;
        f.host.machine = f.machine;
        f.host.kernel = f.kernel;
        f.host.gpus = f.gpus;
        *ret = f;
        f = (NvidiaFacts){};
        return 0;
}

/* Returns 1 and where it is, 0 if that kernel has none. Debian's archive renames it. */
static int find_module(int root, const char *kernel, char **ret) {
        static const char *const names[] = { "/nvidia.ko", "/nvidia-current.ko" };
        _cleanup_free_ char *path = NULL, *text = NULL;
        int r;

        if (str_printf(&path, "/lib/modules/%s/modules.dep", kernel) < 0)
                return -ENOMEM;
        r = fs_read(root, path, FS_FILE_MAX, &text, NULL);
        if (r == -ENOENT)
                return 0;
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(names); i++)
                for (const char *s = text; (s = strstr(s, names[i])); s++) {
                        const char *start = s;

                        if (!strchr(":.", s[strlen(names[i])]))
                                continue;
                        while (start > text && !strchr(" \n", start[-1]))
                                start--;
                        r = str_printf(ret, "/lib/modules/%s/%.*s", kernel, (int) strcspn(start, ": \n"),
                                       start);
                        return r < 0 ? r : 1;
                }
        return MIN(r, 0);
}

int nvidia_kernel_has_module(int root, const char *kernel) {
        _cleanup_free_ char *path = NULL;

        return find_module(root, kernel, &path);
}

int nvidia_kernel_module_version(int root, const char *kernel, char **ret) {
        _cleanup_free_ char *path = NULL;
        int r;

        r = find_module(root, kernel, &path);
        if (r <= 0)
                return r < 0 ? r : -ENOENT;
        return module_file_version(root, path, ret);
}
