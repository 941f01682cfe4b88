/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "talos.h"
#include "fs.h"
#include "json.h"
#include "parse.h"
#include "strv.h"

#define PREFIX "siderolabs/"

int talos_version_parse(const char *s, TalosVersion *ret) {
        _cleanup_strv_ char **parts = NULL;
        _cleanup_free_ char *numbers = NULL;
        const char *start = *s == 'v' ? s + 1 : s, *hyphen = strchr(start, '-');
        TalosVersion v = { .pre = hyphen };

        if (hyphen && !hyphen[1])
                return -EINVAL;
        numbers = hyphen ? strndup(start, (size_t) (hyphen - start)) : strdup(start);
        if (!numbers)
                return -ENOMEM;
        /* An empty part would be lost in the split. */
        if (strstr(numbers, "..") || *numbers == '.' || endswith(numbers, "."))
                return -EINVAL;
        if (strv_split(numbers, ".", &parts) < 0)
                return -ENOMEM;
        if (strv_length(parts) != 3 || parse_uint(parts[0], UINT32_MAX, &v.major) < 0 ||
            parse_uint(parts[1], UINT32_MAX, &v.minor) < 0 || parse_uint(parts[2], UINT32_MAX, &v.patch) < 0)
                return -EINVAL;
        *ret = v;
        return 0;
}

const char *talos_version_format(TalosVersion v, char buf[static TALOS_VERSION_MAX]) {
        (void) snprintf(buf, TALOS_VERSION_MAX, "v%u.%u.%u", v.major, v.minor, v.patch);
        return buf;
}

static int compare(unsigned a, unsigned b) {
        return a < b ? -1 : a > b;
}

int talos_version_compare(TalosVersion a, TalosVersion b) {
        int r = compare(a.major, b.major);

        r = r ?: compare(a.minor, b.minor);
        r = r ?: compare(a.patch, b.patch);
        return r ?: (int) b.pre - (int) a.pre;
}

static int parse_array(const char *text, json_object **ret) {
        *ret = json_tokener_parse(text);
        return json_object_is_type(*ret, json_type_array) ? 0 : -EBADMSG;
}

static bool array_contains(json_object *array, const char *s) {
        for (size_t i = 0; array && i < json_object_array_length(array); i++)
                if (streq(strempty(json_object_get_string(json_object_array_get_idx(array, i))), s))
                        return true;
        return false;
}

int talos_version_latest(const char *versions, const char *broken, TalosVersion *ret) {
        _cleanup_json_ json_object *all = NULL, *bad = NULL;
        TalosVersion best = {};
        bool any = false;
        int r;

        r = parse_array(versions, &all);
        if (r >= 0 && broken)
                r = parse_array(broken, &bad);
        for (size_t i = 0; r >= 0 && i < json_object_array_length(all); i++) {
                const char *s = strempty(json_object_get_string(json_object_array_get_idx(all, i)));
                TalosVersion v;

                if (talos_version_parse(s, &v) < 0 || v.pre || array_contains(bad, s))
                        continue;
                if (!any || talos_version_compare(v, best) > 0)
                        best = v;
                any = true;
        }
        if (r < 0)
                return r;
        if (!any)
                return -ENOENT;
        *ret = best;
        return 0;
}

/* What a set of GPUs asks of one driver. */
typedef struct Needs {
        bool proprietary, open_only, production; /* production: the newer tier */
} Needs;

static const char *add_need(Needs *n, GpuArch a, TalosVersion v) {
        bool before_1_10 = v.major == 1 && v.minor < 10, before_1_12 = v.major == 1 && v.minor < 12;

        switch (a) {
        case GPU_ARCH_MAXWELL:
        case GPU_ARCH_PASCAL:
        case GPU_ARCH_VOLTA:
                n->proprietary = true;
                return NULL;
        case GPU_ARCH_TURING:
        case GPU_ARCH_AMPERE:
        case GPU_ARCH_HOPPER:
        case GPU_ARCH_ADA:
                return NULL; /* either kind of modules */
        case GPU_ARCH_BLACKWELL:
        case GPU_ARCH_RUBIN:
                if (before_1_10)
                        return "a Blackwell GPU needs Talos 1.10 or later, whose driver is the first that knows it";
                n->open_only = true;
                n->production = n->production || before_1_12;
                return NULL;
        case GPU_ARCH_OLDER:
                return "a Kepler GPU, or an older one, is driven by no image of Talos";
        default:
                return "a GPU whose device id is of no known generation: give --schematic with the extensions that it needs";
        }
}

/* The long-term tier is a driver that all generations from Maxwell on know; the newer one leaves out those
 * before Turing. Until 1.7 there was one tier, without a name. */
static int add_pair(char ***l, TalosVersion v, Needs n) {
        const char *tier = v.major == 1 && v.minor < 8 ? "" : n.production ? "-production" : "-lts";
        int r;

        r = strv_extendf(l, PREFIX "%s%s",
                         n.proprietary ? "nonfree-kmod-nvidia" : "nvidia-open-gpu-kernel-modules", tier);
        return r < 0 ? r : strv_extendf(l, PREFIX "nvidia-container-toolkit%s", tier);
}

int talos_extensions(TalosVersion v, const GpuArch *archs, size_t n_archs, char ***ret,
                     const char **ret_reason) {
        _cleanup_strv_ char **l = NULL;
        const char *reason = NULL;
        Needs n = {};
        int r;

        for (size_t i = 0; i < n_archs && !reason; i++)
                reason = add_need(&n, archs[i], v);
        if (!reason && n.proprietary && n.open_only)
                reason = "GPUs before Turing need NVIDIA's proprietary modules, Blackwell the open ones: an image "
                         "has one of the two";
        if (reason) {
                *ret_reason = reason;
                return -EOPNOTSUPP;
        }
        r = n_archs > 0 ? add_pair(&l, v, n) : 0;
        if (r >= 0)
                r = strv_extend(&l, PREFIX "qemu-guest-agent");
        if (r < 0)
                return r;
        *ret = TAKE_PTR(l);
        return 0;
}

static bool offers(json_object *array, const char *name) {
        for (size_t i = 0; i < json_object_array_length(array); i++) {
                json_object *value;

                if (json_object_object_get_ex(json_object_array_get_idx(array, i), "name", &value) &&
                    streq(strempty(json_object_get_string(value)), name))
                        return true;
        }
        return false;
}

int talos_extensions_check(const char *answer, char *const *names, const char **ret_missing) {
        _cleanup_json_ json_object *array = NULL;
        int r;

        r = parse_array(answer, &array);
        if (r < 0)
                return r;
        for (size_t i = 0; i < json_object_array_length(array); i++)
                if (!json_object_is_type(json_object_array_get_idx(array, i), json_type_object))
                        return -EBADMSG;
        STRV_FOREACH(name, names) {
                if (offers(array, *name))
                        continue;
                *ret_missing = *name;
                return -ENOENT;
        }
        return 0;
}

int talos_schematic(char *const *extensions, char **ret) {
        _cleanup_json_ json_object *o = json_object_new_object();
        json_object *customization = json_object_new_object(), *inner = json_object_new_object();
        int r, q;

        r = json_add(inner, "officialExtensions", json_new_list((const char *const *) extensions));
        q = json_add(customization, "systemExtensions", inner);
        if (json_add(o, "customization", customization) < 0 || r < 0 || q < 0)
                return -ENOMEM;
        *ret = strdup(json_object_to_json_string_ext(o, JSON_C_TO_STRING_NOSLASHESCAPE));
        return *ret ? 0 : -ENOMEM;
}

bool talos_is_schematic(const char *s) {
        return strlen(s) == 64 && strspn(s, "0123456789abcdef") == 64;
}

int talos_schematic_id(const char *answer, char **ret) {
        _cleanup_json_ json_object *o = json_tokener_parse(answer);
        json_object *id;
        const char *s;

        if (!json_object_is_type(o, json_type_object) || !json_object_object_get_ex(o, "id", &id))
                return -EBADMSG;
        s = strempty(json_object_get_string(id));
        if (!talos_is_schematic(s))
                return -EBADMSG;
        *ret = strdup(s);
        return *ret ? 0 : -ENOMEM;
}

int talos_image_url(const char *factory, const char *schematic, TalosVersion v, const char *arch,
                    char **ret) {
        char version[TALOS_VERSION_MAX];

        return str_printf(ret, "%s/image/%s/%s/nocloud-%s.raw.xz", factory, schematic,
                          talos_version_format(v, version), arch);
}

#define MODULES \
        "{\"name\":\"nvidia\"},{\"name\":\"nvidia_uvm\"},{\"name\":\"nvidia_drm\"},{\"name\":\"nvidia_modeset\"}"
#define KERNEL "\"kernel\":{\"modules\":[" MODULES "]}"

/* Talos' own pages ask for the second setting up to 1.12. It lowers a guard, so no other version gets it. */
const char *talos_gpu_patch(const char *version) {
        static const TalosVersion does_without = { .major = 1, .minor = 13, .pre = true };
        TalosVersion v;

        return version && talos_version_parse(version, &v) >= 0 && talos_version_compare(v, does_without) < 0
                        ? "{\"machine\":{" KERNEL ",\"sysctls\":{\"net.core.bpf_jit_harden\":\"1\"}}}"
                        : "{\"machine\":{" KERNEL "}}";
}

/* CUDA needs this one, and nothing else has its name. */
bool talos_config_has_gpu(const char *config) {
        return strstr(config, "nvidia_uvm");
}

int talos_commands(const char *name, const char *address, const char *patch, char **ret) {
        const char *where = address ?: "ADDRESS";

        return str_printf(ret,
                          "  talosctl gen config %s https://%s:6443 --install-disk /dev/vda\n"
                          "  talosctl apply-config --insecure --nodes %s --file controlplane.yaml%s%s%s\n"
                          "  talosctl bootstrap --nodes %s --endpoints %s --talosconfig talosconfig\n",
                          name, where, where, patch ? " --config-patch '" : "", strempty(patch),
                          patch ? "'" : "", where, where);
}
