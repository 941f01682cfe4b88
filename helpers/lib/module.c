/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <libkmod.h>

#include "fs.h"
#include "library.h"
#include "module.h"
#include "strv.h"

#define LIBRARY "libkmod.so.2"

/* The functions used here, with libkmod's own prototypes. */
#define FUNCTIONS(X)                       \
        X(kmod_new)                        \
        X(kmod_unref)                      \
        X(kmod_set_log_fn)                 \
        X(kmod_list_next)                  \
        X(kmod_module_apply_filter)        \
        X(kmod_module_get_initstate)       \
        X(kmod_module_get_module)          \
        X(kmod_module_get_info)            \
        X(kmod_module_get_name)            \
        X(kmod_module_info_free_list)      \
        X(kmod_module_info_get_key)        \
        X(kmod_module_info_get_value)      \
        X(kmod_module_new_from_lookup)     \
        X(kmod_module_new_from_path)       \
        X(kmod_module_probe_insert_module) \
        X(kmod_module_unref)               \
        X(kmod_module_unref_list)

/* One pointer of the right type for each, named as the function. */
static struct {
        void *library;
#define X(f) typeof(&f) f;
        FUNCTIONS(X)
#undef X
} km;

#define X(f) { #f, &km.f },
static const LibraryFunction functions[] = { FUNCTIONS(X) };
#undef X

/* It brings a cryptographic library along. */
static int load_library(void) {
        return MIN(library_load(LIBRARY, functions, ELEMENTSOF(functions), &km.library), 0);
}

static inline void kmod_unrefp(struct kmod_ctx **ctx) {
        if (*ctx)
                (void) km.kmod_unref(*ctx);
}

static inline void kmod_list_freep(struct kmod_list **l) {
        if (*l)
                (void) km.kmod_module_unref_list(*l);
}

static inline void kmod_module_unrefp(struct kmod_module **m) {
        if (*m)
                (void) km.kmod_module_unref(*m);
}

static inline void kmod_info_freep(struct kmod_list **l) {
        if (*l)
                km.kmod_module_info_free_list(*l);
}

/* libkmod would print to stderr what the caller says better. */
static void say_nothing(_unused_ void *data, _unused_ int priority, _unused_ const char *file,
                        _unused_ int line, _unused_ const char *function, _unused_ const char *format,
                        _unused_ va_list args) {}

/* Where modprobe.d(5) is on a recorded machine. */
static int find_settings(int root, char ***ret) {
        static const char *const dirs[] = { "/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib" };
        int r = 0;

        for (size_t i = 0; i < ELEMENTSOF(dirs) && r >= 0; i++)
                r = strv_extendf(ret, "/proc/self/fd/%d%s/modprobe.d", root, dirs[i]);
        return r;
}

/* The modules below root, and what is set for them: of the running kernel, or of the one that the recorded
 * machine ran. */
static int open_kmod(int root, struct kmod_ctx **ret) {
        _cleanup_free_ char *release = NULL, *path = NULL;
        _cleanup_strv_ char **settings = NULL;
        int r;

        r = load_library();
        if (r < 0)
                return r;
        if (!fs_is_host(root)) {
                r = fs_read_line(root, "/proc/sys/kernel/osrelease", &release);
                if (r < 0)
                        return r;
                if (strchr(release, '/') || streq(release, ".."))
                        return -EINVAL;
                r = str_printf(&path, "/proc/self/fd/%d/lib/modules/%s", root, release);
                if (r >= 0)
                        r = find_settings(root, &settings);
                if (r < 0)
                        return r;
        }
        *ret = km.kmod_new(path, (const char *const *) settings);
        if (!*ret)
                return -ENOMEM;
        km.kmod_set_log_fn(*ret, say_nothing, NULL);
        return 0;
}

/* '-' and '_' are the same in a module's name. */
static bool same_module(const char *a, const char *b, size_t n) {
        if (strlen(a) != n)
                return false;
        for (size_t i = 0; i < n; i++)
                if ((a[i] == '-' ? '_' : a[i]) != (b[i] == '-' ? '_' : b[i]))
                        return false;
        return true;
}

/* A line of /proc/modules starts with the name. */
static bool names_loaded(const char *text, const char *name) {
        for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n')
                if (same_module(name, line, strcspn(line, " \n")))
                        return true;
        return false;
}

/* A line of modules.builtin is "kernel/drivers/vfio/pci/vfio-pci.ko". */
static bool names_builtin(const char *text, const char *name) {
        for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
                const char *end = line + strcspn(line, "\n"), *base = end;

                while (base > line && base[-1] != '/')
                        base--;
                if (end - base > 3 && same_module(name, base, (size_t) (end - base - 3)))
                        return true;
        }
        return false;
}

/* Returns 1 if the recorded machine had the module, 0 if not. */
static int recorded(int root, const char *name) {
        _cleanup_free_ char *loaded = NULL, *release = NULL, *path = NULL, *builtin = NULL;
        int r;

        r = fs_read(root, "/proc/modules", FS_FILE_MAX, &loaded, NULL);
        if (r >= 0 && names_loaded(loaded, name))
                return 1;
        if (r < 0 && r != -ENOENT)
                return r;
        r = fs_read_line(root, "/proc/sys/kernel/osrelease", &release);
        if (r < 0)
                return r == -ENOENT ? 0 : r;
        if (str_printf(&path, "/lib/modules/%s/modules.builtin", release) < 0)
                return -ENOMEM;
        r = fs_read(root, path, FS_FILE_MAX, &builtin, NULL);
        if (r < 0)
                return r == -ENOENT ? 0 : r;
        return names_builtin(builtin, name) ? 1 : 0;
}

/* "install vfio-pci /bin/false" and its cousins: libkmod would run them through a shell. */
static int refuse_command(_unused_ struct kmod_module *m, _unused_ const char *command, _unused_ void *data) {
        return -EPERM;
}

/* Returns 1 if it was inserted, 0 if it was there. */
static int insert(struct kmod_module *m, unsigned flags) {
        int state = km.kmod_module_get_initstate(m), r;

        if (state == KMOD_MODULE_LIVE || state == KMOD_MODULE_BUILTIN)
                return 0;
        r = km.kmod_module_probe_insert_module(m, flags, NULL, refuse_command, NULL, NULL);
        if (r > 0)
                return -EPERM; /* the blacklist that stopped it */
        if (r == -EEXIST)
                return 0;
        return r < 0 ? r : 1;
}

static int insert_all(struct kmod_list *list, unsigned flags, bool tolerant) {
        struct kmod_list *l;
        int done = 0;

        for (l = list; l; l = km.kmod_list_next(list, l)) {
                _cleanup_(kmod_module_unrefp) struct kmod_module *m = km.kmod_module_get_module(l);
                int r = insert(m, flags);

                if (r < 0 && !tolerant)
                        return r;
                if (r > 0)
                        done = 1;
        }
        return done;
}

/* Where the kernel has a module, or what is below it: "", "/initstate". */
static int kernel_path(const char *name, const char *below, char **ret) {
        int r = str_printf(ret, "/sys/module/%s%s", name, below);

        for (char *p = r < 0 ? NULL : *ret; p && *p; p++)
                if (*p == '-')
                        *p = '_';
        return r;
}

/* What is in a kernel without a modules directory, or was loaded from elsewhere. */
static int in_kernel(int root, const char *name) {
        _cleanup_free_ char *path = NULL;
        int r = kernel_path(name, "", &path);

        if (r >= 0)
                r = fs_exists(root, path);
        return r < 0 ? r : r > 0 ? 0 : -ENOENT;
}

/* Loaded and done with its own start: nothing that needs libkmod, which reads all of modprobe.d first. */
static bool is_live(int root, const char *name) {
        _cleanup_free_ char *path = NULL, *state = NULL;

        return kernel_path(name, "/initstate", &path) >= 0 && fs_read_line(root, path, &state) >= 0 &&
                        streq(state, "live");
}

int module_load(int root, const char *name) {
        _cleanup_(kmod_unrefp) struct kmod_ctx *ctx = NULL;
        _cleanup_(kmod_list_freep) struct kmod_list *list = NULL;
        int r;

        if (!fs_is_host(root)) {
                r = recorded(root, name);
                return r < 0 ? r : r == 0 ? -ENOENT : 0;
        }
        if (is_live(root, name))
                return 0;
        r = open_kmod(root, &ctx);
        if (r < 0)
                return r;
        r = km.kmod_module_new_from_lookup(ctx, name, &list);
        if (r < 0 && r != -ENOSYS && r != -ENOENT)
                return r;
        if (!list)
                return in_kernel(root, name);
        return insert_all(list, KMOD_PROBE_APPLY_BLACKLIST, false);
}

int module_available(int root, const char *name) {
        _cleanup_(kmod_unrefp) struct kmod_ctx *ctx = NULL;
        _cleanup_(kmod_list_freep) struct kmod_list *list = NULL;
        int r;

        if (!fs_is_host(root)) {
                r = recorded(root, name);
                if (r != 0)
                        return r;
        }
        r = open_kmod(root, &ctx);
        if (r < 0)
                return r == -ENOENT ? 0 : r;
        r = km.kmod_module_new_from_lookup(ctx, name, &list);
        if (r < 0)
                return r == -ENOENT || r == -ENOSYS ? 0 : r;
        return list ? 1 : 0;
}

int module_load_alias(int root, const char *modalias) {
        _cleanup_(kmod_unrefp) struct kmod_ctx *ctx = NULL;
        _cleanup_(kmod_list_freep) struct kmod_list *list = NULL;
        int r;

        if (!fs_is_host(root))
                return 0;
        r = open_kmod(root, &ctx);
        if (r < 0)
                return r;
        r = km.kmod_module_new_from_lookup(ctx, modalias, &list);
        if (r < 0)
                return r == -ENOSYS ? 0 : r;
        return insert_all(list, KMOD_PROBE_APPLY_BLACKLIST, true);
}

/* Returns 1 if exactly one module beside the generic one has the alias, and may be loaded for it. */
static int find_variant(struct kmod_ctx *ctx, const char *alias, char **ret) {
        _cleanup_(kmod_list_freep) struct kmod_list *all = NULL, *list = NULL;
        _cleanup_free_ char *found = NULL;
        struct kmod_list *l;
        size_t n = 0;
        int r;

        r = km.kmod_module_new_from_lookup(ctx, alias, &all);
        if (r == -ENOENT || r == -ENOSYS)
                r = 0;
        if (r >= 0)
                r = km.kmod_module_apply_filter(ctx, KMOD_FILTER_BLACKLIST, all, &list);
        if (r < 0)
                return r;
        for (l = list; l; l = km.kmod_list_next(list, l)) {
                _cleanup_(kmod_module_unrefp) struct kmod_module *m = km.kmod_module_get_module(l);
                const char *name = km.kmod_module_get_name(m);

                if (streq(name, "vfio_pci"))
                        continue;
                n++;
                if (free_and_strdup(&found, name) < 0)
                        return -ENOMEM;
        }
        /* Two that claim the same device: nobody can say which is right, and the generic driver always is. */
        if (n == 1)
                *ret = TAKE_PTR(found);
        return n == 1;
}

static int find_vfio(struct kmod_ctx *ctx, const char *modalias, char **ret) {
        const char *rest = startswith(strempty(modalias), "pci:");
        _cleanup_free_ char *alias = NULL;
        int r;

        if (!ctx || !rest)
                return free_and_strdup(ret, MODULE_VFIO);
        r = str_printf(&alias, "vfio_pci:%s", rest);
        if (r >= 0)
                r = find_variant(ctx, alias, ret);
        return r < 0 ? r : r > 0 ? 0 : free_and_strdup(ret, MODULE_VFIO);
}

int module_find_vfio(int root, const char *const *modaliases, size_t n, char **ret) {
        _cleanup_(kmod_unrefp) struct kmod_ctx *ctx = NULL;
        int r;

        r = open_kmod(root, &ctx);
        if (r == -ENOENT) /* a machine that was recorded without its modules */
                r = 0;
        for (size_t i = 0; i < n && r >= 0; i++)
                r = find_vfio(ctx, modaliases[i], &ret[i]);
        return MIN(r, 0);
}

int module_file_version(int root, const char *path, char **ret) {
        _cleanup_(kmod_unrefp) struct kmod_ctx *ctx = NULL;
        _cleanup_(kmod_module_unrefp) struct kmod_module *m = NULL;
        _cleanup_(kmod_info_freep) struct kmod_list *info = NULL;
        _cleanup_free_ char *file = NULL;
        int r;

        r = str_printf(&file, "/proc/self/fd/%d%s", root, path);
        if (r >= 0)
                r = open_kmod(root, &ctx);
        if (r >= 0)
                r = km.kmod_module_new_from_path(ctx, file, &m);
        if (r >= 0)
                r = km.kmod_module_get_info(m, &info);
        if (r < 0)
                return r;
        for (struct kmod_list *l = info; l; l = km.kmod_list_next(info, l))
                if (streq(km.kmod_module_info_get_key(l), "version"))
                        return free_and_strdup(ret, km.kmod_module_info_get_value(l));
        return -ENODATA;
}
