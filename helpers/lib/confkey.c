/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <limits.h>

#include "cmdline.h"
#include "confkey.h"
#include "confvalid.h"
#include "ini.h"
#include "nearest.h"
#include "parse.h"
#include "strv.h"

enum {
        ADDRESSES_MAX = 64,
};

#define SEC_MAX_USEC (24 * 60 * 60 * USEC_PER_SEC) /* who waits longer has been forgotten */

/* From bold to careful: see confkey_set_safe(). */
static const char *const reboot_names
                [] = { [REBOOT_AUTO] = "auto", [REBOOT_ASK] = "ask", [REBOOT_NEVER] = "never", NULL };
static const char *const gpu_names[] = { [GPU_FLEXIBLE] = "flexible", [GPU_EXCLUSIVE] = "exclusive", NULL };
static const char *const update_names
                [] = { [UPDATE_NO] = "no", [UPDATE_SECURITY] = "security", [UPDATE_YES] = "yes", NULL };
static const char *const container_names
                [] = { [CONTAINER_AUTO] = "auto", [CONTAINER_YES] = "yes", [CONTAINER_NO] = "no", NULL };
static const char *const persistence_names[] = { [PERSISTENCE_KEEP] = "keep",
                                                 [PERSISTENCE_YES] = "yes",
                                                 [PERSISTENCE_NO] = "no",
                                                 NULL };
static const char *const network_names[] = { [NETWORK_AUTO] = "auto",
                                             [NETWORK_BRIDGED] = "bridged",
                                             [NETWORK_ROUTED] = "routed",
                                             [NETWORK_NAT] = "nat",
                                             NULL };

const char *reboot_mode_to_string(RebootMode m) {
        return (size_t) m < ELEMENTSOF(reboot_names) ? reboot_names[m] : NULL;
}

const char *gpu_mode_to_string(GpuMode m) {
        return (size_t) m < ELEMENTSOF(gpu_names) ? gpu_names[m] : NULL;
}

const char *update_mode_to_string(UpdateMode m) {
        return (size_t) m < ELEMENTSOF(update_names) ? update_names[m] : NULL;
}

const char *network_mode_to_string(NetworkMode m) {
        return (size_t) m < ELEMENTSOF(network_names) ? network_names[m] : NULL;
}

#define BOOLEAN_WORDS "yes or no"
#define A_WORD        "letters, digits and .+-_"
#define A_CLOCKS      "two clocks in MHz like 5001,1590: memory, graphics"
#define A_URL         "an https URL without a slash at its end"

#define FIELD(f) offsetof(Conf, f)

const ConfKey conf_keys[] = {
        { "Bootstrap", "Enabled", "gpuvm.bootstrap", CONFKEY_BOOLEAN, FIELD(enabled), "yes", "no",
          BOOLEAN_WORDS },
        { "Bootstrap", "Nvidia", "gpuvm.nvidia", CONFKEY_BOOLEAN, FIELD(nvidia), "yes", NULL, BOOLEAN_WORDS },
        { "Bootstrap", "Kvm", "gpuvm.kvm", CONFKEY_BOOLEAN, FIELD(kvm), "yes", NULL, BOOLEAN_WORDS },
        { "Bootstrap", "Vfio", "gpuvm.vfio", CONFKEY_BOOLEAN, FIELD(vfio), "yes", NULL, BOOLEAN_WORDS },
        { "Bootstrap", "Bridge", "gpuvm.bridge", CONFKEY_BOOLEAN, FIELD(bridge), "yes", NULL, BOOLEAN_WORDS },
        { "Bootstrap", "UpdateSystem", "gpuvm.update-system", CONFKEY_ENUM, FIELD(update_system), "no", NULL,
          "no, security or yes", update_names },
        { "Bootstrap", "Reboot", "gpuvm.reboot", CONFKEY_ENUM, FIELD(reboot), "auto", "ask",
          "auto, ask or never", reboot_names },
        { "Bootstrap", "RebootDelaySec", NULL, CONFKEY_SEC, FIELD(reboot_delay_usec), "1min", NULL,
          "a time up to one day" },
        { "Bootstrap", "User", NULL, CONFKEY_STRING, FIELD(user), "", NULL, "a user name",
          .valid = confvalid_user },
        { "Bootstrap", "OverrideIommuOff", "gpuvm.override-iommu-off", CONFKEY_BOOLEAN,
          FIELD(override_iommu_off), "no", "no", BOOLEAN_WORDS },

        { "Gpu", "Mode", "gpuvm.gpu-mode", CONFKEY_ENUM, FIELD(gpu_mode), "flexible", NULL,
          "flexible or exclusive", gpu_names },
        { "Gpu", "IdleWaitSec", NULL, CONFKEY_SEC, FIELD(idle_wait_usec), "0", NULL, "a time up to one day" },
        { "Gpu", "AcceptSiblings", NULL, CONFKEY_ADDRESSES, FIELD(accept_siblings), "", NULL,
          "PCI addresses like 0000:01:00.0" },
        { "Gpu", "DriverSource", NULL, CONFKEY_STRING, FIELD(driver_source), "", NULL, A_WORD,
          .valid = confvalid_word },
        { "Gpu", "DriverBranch", NULL, CONFKEY_STRING, FIELD(driver_branch), "", NULL, A_WORD,
          .valid = confvalid_word },
        { "Gpu", "CudaToolkit", NULL, CONFKEY_STRING, FIELD(cuda_toolkit), "", NULL, A_WORD,
          .valid = confvalid_word },
        { "Gpu", "ContainerToolkit", NULL, CONFKEY_ENUM, FIELD(container_toolkit), "auto", NULL,
          "auto, yes or no", container_names },
        { "Gpu", "Persistence", NULL, CONFKEY_ENUM, FIELD(persistence), "keep", NULL, "keep, yes or no",
          persistence_names },
        { "Gpu", "ApplicationClocks", NULL, CONFKEY_STRING, FIELD(application_clocks), "", NULL, A_CLOCKS,
          .valid = confvalid_clocks },

        { "Network", "Bridge", NULL, CONFKEY_STRING, FIELD(bridge_name), "br0", NULL,
          "the name of a network interface", .valid = confvalid_interface },
        { "Network", "Uplink", NULL, CONFKEY_STRING, FIELD(uplink), "", NULL,
          "the name of a network interface", .valid = confvalid_interface },
        { "Network", "Subnet", NULL, CONFKEY_STRING, FIELD(subnet), "", NULL, "a network like 192.0.2.0/24",
          .valid = confvalid_subnet },
        { "Network", "Mode", NULL, CONFKEY_ENUM, FIELD(network_mode), "auto", NULL,
          "auto, bridged, routed or nat", network_names },
        { "Network", "IpRange", NULL, CONFKEY_STRING, FIELD(ip_range), "", NULL,
          "a range like 192.0.2.10-192.0.2.99", .valid = confvalid_range },
        { "Network", "RevertSec", NULL, CONFKEY_SEC, FIELD(revert_usec), "90", NULL, "a time up to one day" },
        { "Network", "GuestToHost", NULL, CONFKEY_STRING, FIELD(guest_to_host), "all", NULL,
          "all, none, or ports like tcp/22 udp/5000-5010", .valid = confvalid_ports },

        { "Storage", "Pool", NULL, CONFKEY_STRING, FIELD(pool), "gpuvm", NULL, A_WORD,
          .valid = confvalid_word },
        { "Storage", "PoolPath", NULL, CONFKEY_STRING, FIELD(pool_path), "/var/lib/libvirt/images/gpuvm",
          NULL, "an absolute path without '..', '%' and backslashes", .valid = confvalid_path },

        { "Image", "TalosUrl", NULL, CONFKEY_STRING, FIELD(talos_url), "https://factory.talos.dev", NULL,
          A_URL, .valid = confvalid_url },
        { "Image", "UbuntuUrl", NULL, CONFKEY_STRING, FIELD(ubuntu_url), "https://cloud-images.ubuntu.com",
          NULL, A_URL, .valid = confvalid_url },
        { "Image", "DebianUrl", NULL, CONFKEY_STRING, FIELD(debian_url),
          "https://cloud.debian.org/images/cloud", NULL, A_URL, .valid = confvalid_url },
        { "Image", "MaxSize", NULL, CONFKEY_STRING, FIELD(image_max), "16G", NULL,
          "a size from 1G to 1T, such as 16G", .valid = confvalid_image_size },
        { "Image", "StallSec", NULL, CONFKEY_SEC, FIELD(stall_usec), "15", NULL, "a time up to one day" },
        {},
};

static const ConfKey gpu_keys[] = {
        { CONFKEY_GPU_SECTION, "Mode", NULL, CONFKEY_ENUM, offsetof(ConfGpu, mode), "flexible", NULL,
          "flexible or exclusive", gpu_names },
        { CONFKEY_GPU_SECTION, "AcceptSiblings", NULL, CONFKEY_ADDRESSES, offsetof(ConfGpu, accept_siblings),
          "", NULL, "PCI addresses like 0000:01:00.0" },
        { CONFKEY_GPU_SECTION, "ApplicationClocks", NULL, CONFKEY_STRING,
          offsetof(ConfGpu, application_clocks), "", NULL, A_CLOCKS, .valid = confvalid_clocks },
        {},
};

static const ConfKey *keys_of(const char *section) {
        return streq(section, CONFKEY_GPU_SECTION) ? gpu_keys : conf_keys;
}

const ConfKey *confkey_find(const char *section, const char *name) {
        for (const ConfKey *k = keys_of(section); k->name; k++)
                if (streq(k->section, section) && streq(k->name, name))
                        return k;
        return NULL;
}

/* What of the row is compared with the name, or NULL. */
static const char *candidate(const ConfKey *k, const char *name, const char *section) {
        if (section)
                return k->name;
        return startswith(name, "gpuvm.") ? k->option : k->section;
}

const char *confkey_nearest(const char *name, const char *section) {
        static char text[64];
        const ConfKey *near = NULL;
        _cleanup_free_ char *word = strndup(name, strcspn(name, "="));
        unsigned best = UINT_MAX;

        if (!word || strlen(word) > NEAREST_MAX)
                return NULL;
        for (int round = 0; round < 2; round++)
                for (const ConfKey *k = round == 0 ? conf_keys : gpu_keys; k->name; k++) {
                        const char *c = candidate(k, name, section);
                        bool home = !section || streq(k->section, section);
                        unsigned d = c ? 2 * nearest_distance(word, c) + !home : UINT_MAX;

                        if (d < best) {
                                best = d;
                                near = k;
                        }
                }
        if (!near || best > 2 * (strlen(word) / 3) + 1)
                return NULL;
        if (section && !streq(near->section, section))
                (void) snprintf(text, sizeof(text), "%s= of [%s]", near->name, near->section);
        else
                (void) snprintf(text, sizeof(text), "%s", candidate(near, name, section));
        return text;
}

int confkey_gpu_path(const char *s, char **ret) {
        int r = confvalid_address(s, ret);

        if (r != -EINVAL)
                return r;
        if (!confvalid_gpu_path(s))
                return -EINVAL;
        *ret = strdup(s);
        return *ret ? 0 : -ENOMEM;
}

static int set_addresses(char ***field, const char *value) {
        _cleanup_strv_ char **words = NULL, **all = NULL;
        int r;

        r = ini_split_words(value, &words);
        STRV_FOREACH(old, *field)
                if (r >= 0)
                        r = strv_extend(&all, *old);
        STRV_FOREACH(w, words) {
                _cleanup_free_ char *address = NULL;

                if (r >= 0)
                        r = confvalid_address(*w, &address);
                if (r >= 0 && !strv_contains(all, address))
                        r = strv_extend(&all, address);
        }
        if (r >= 0 && strv_length(all) > ADDRESSES_MAX)
                r = -EINVAL;
        if (r < 0)
                return r;
        strv_free(*field);
        *field = TAKE_PTR(all);
        return 0;
}

static int set_enum(const ConfKey *k, unsigned *field, const char *value) {
        for (unsigned i = 0; k->names[i]; i++)
                if (streq(k->names[i], value)) {
                        *field = i;
                        return 0;
                }
        return -EINVAL;
}

static int set_sec(uint64_t *field, const char *value) {
        uint64_t usec;
        int r;

        r = parse_sec(value, &usec);
        if (r < 0 || usec > SEC_MAX_USEC)
                return -EINVAL;
        *field = usec;
        return 0;
}

int confkey_set(const ConfKey *k, void *field, const char *value) {
        int r;

        if (!*value) {
                if (k->type == CONFKEY_STRING || k->type == CONFKEY_ADDRESSES)
                        confkey_free(k, field);
                if (!*k->fallback)
                        return 0;
                value = k->fallback;
        }
        switch (k->type) {
        case CONFKEY_BOOLEAN:
                r = parse_boolean(value);
                if (r >= 0)
                        *(bool *) field = r;
                return MIN(r, 0);
        case CONFKEY_ENUM:
                return set_enum(k, field, value);
        case CONFKEY_SEC:
                return set_sec(field, value);
        case CONFKEY_STRING:
                return k->valid(value) ? free_and_strdup(field, value) : -EINVAL;
        case CONFKEY_ADDRESSES:
                return set_addresses(field, value);
        }
        return -EINVAL;
}

const char *confkey_set_safe(const ConfKey *k, void *field) {
        unsigned safe;

        if (!k->safe)
                return NULL;
        if (k->type == CONFKEY_BOOLEAN) {
                *(bool *) field = parse_boolean(k->safe) > 0;
                return k->safe;
        }
        assert(k->type == CONFKEY_ENUM);
        if (set_enum(k, &safe, k->safe) >= 0 && *(unsigned *) field < safe)
                *(unsigned *) field = safe;
        return k->names[*(unsigned *) field];
}

void confkey_free(const ConfKey *k, void *field) {
        if (k->type == CONFKEY_STRING) {
                free(*(char **) field);
                *(char **) field = NULL;
        } else if (k->type == CONFKEY_ADDRESSES) {
                strv_free(*(char ***) field);
                *(char ***) field = NULL;
        }
}

static void print_sec(uint64_t usec, FILE *f) {
        bool whole = usec % USEC_PER_SEC == 0;

        fprintf(f, "%llu%s", (unsigned long long) (whole ? usec / USEC_PER_SEC : usec), whole ? "s" : "us");
}

void confkey_print(const ConfKey *k, const void *field, FILE *f) {
        fprintf(f, "%s=", k->name);
        switch (k->type) {
        case CONFKEY_BOOLEAN:
                fputs(*(const bool *) field ? "yes" : "no", f);
                break;
        case CONFKEY_ENUM:
                fputs(k->names[*(const unsigned *) field], f);
                break;
        case CONFKEY_SEC:
                print_sec(*(const uint64_t *) field, f);
                break;
        case CONFKEY_STRING:
                fputs(strempty(*(char *const *) field), f);
                break;
        case CONFKEY_ADDRESSES:
                STRV_FOREACH(s, *(char **const *) field)
                        fprintf(f, "%s%s", s == *(char **const *) field ? "" : " ", *s);
                break;
        }
        fputc('\n', f);
}
