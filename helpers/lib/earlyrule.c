/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "earlyrule.h"
#include "fs.h"
#include "strv.h"

#define ANY_DIGIT "[0-9a-f]"
#define ANY_BUS   ANY_DIGIT ANY_DIGIT

/* Where each line of the table jumps to. */
#define TO_GPU      "GOTO=\"gpuvm_vfio_gpu\"\n"
#define TO_FUNCTION "GOTO=\"gpuvm_vfio_function\"\n"
#define TO_END      "GOTO=\"gpuvm_vfio_end\"\n"

/* Those that NVIDIA's cards have: audio, USB, UCSI. */
#define COMPANIONS "KERNEL==\"*.[1-7]\", ATTR{class}==\"0x0403??|0x0c03??|0x0c80??\", "
#define CONSOLE    "ATTR{boot_vga}==\"1\", "

static const char rule_head[] =
                "# Written by gpuvm for the GPUs that belong to VMs alone; 'gpuvm-undo vfio' takes it back.\n"
                "ACTION!=\"add\", " TO_END "SUBSYSTEM!=\"pci\", " TO_END
                "# Without the IOMMU the host keeps its drivers.\n"
                "TEST!=\"iommu_group\", " TO_END
                "# Virtual functions of SR-IOV share slot and function with others.\n"
                "TEST==\"physfn\", " TO_END
                "# The rescue switch; every spelling of 'no' that gpuvm itself takes.\n"
                "IMPORT{cmdline}=\"gpuvm.bootstrap\"\n"
                "ENV{gpuvm.bootstrap}==\"0|[Nn]|[Nn][Oo]|[Ff]|[Ff][Aa][Ll][Ss][Ee]|[Oo][Ff][Ff]\", " TO_END
                "\n# These cards in these slots, however the buses are numbered.\n";

/* The kernel has named no driver for a
 * card that it found just now (pci_bus_add_device() matches after the uevent), so a new one is never touched
 * by another driver unless one is loaded that claims it. */
static const char rule_newcomers[] =
                "\n# Mode=exclusive for all: NVIDIA's cards that are put in later, but never one with the console.\n"
                "ATTR{vendor}!=\"0x10de\", " TO_END CONSOLE TO_END
                "ATTR{class}==\"0x0300??|0x0302??\", " TO_GPU COMPANIONS TO_FUNCTION;

/* Without MODALIAS nothing is loaded for the function (80-drivers.rules); a twin brings its own event. */
static const char rule_tail[] = TO_END
                "\nLABEL=\"gpuvm_vfio_gpu\"\n"
                "TAG+=\"systemd\", ENV{SYSTEMD_WANTS}+=\"gpuvm-vfio@$kernel.service\"\n"
                "LABEL=\"gpuvm_vfio_function\"\n"
                "ATTR{driver_override}=\"vfio-pci\", ENV{MODALIAS}=\"\", RUN{builtin}+=\"kmod load vfio-pci\"\n"
                "# vfio-pci lets an idle GPU sleep: not without power, from where some never come back.\n"
                "TEST==\"d3cold_allowed\", ATTR{d3cold_allowed}=\"0\"\n"
                "LABEL=\"gpuvm_vfio_end\"\n";

bool early_exclusive(const Conf *c, const PciDevice *d) {
        const ConfGpu *own = conf_gpu(c, d->name, strempty(d->path));

        if (!pci_is_nvidia_gpu(d) && !(pci_is_display(d) && own && own->mode_set))
                return false;
        return conf_gpu_mode(c, d->name, strempty(d->path)) == GPU_EXCLUSIVE;
}

/* One hop below the root bus. In a domain of its own (first: that of the first hop) nothing but slot and
 * function is firm. */
static int match_hop(Bdf b, Bdf first, bool whole_slot, char **ret) {
        char function[] = "[0-7]", domain[9];
        _cleanup_free_ char *free_domain = NULL;
        _cleanup_strv_ char **digits = NULL;
        int r = 0;

        (void) snprintf(domain, sizeof(domain), "%04x", (unsigned) b.domain);
        for (size_t i = 0; b.domain != first.domain && i < strlen(domain) && r >= 0; i++)
                r = strv_extend(&digits, ANY_DIGIT);
        if (digits && r >= 0) {
                free_domain = strv_join(digits, "");
                r = free_domain ? 0 : -ENOMEM;
        }
        if (!whole_slot)
                (void) snprintf(function, sizeof(function), "%x", (unsigned) (b.function & 7));
        if (r >= 0)
                r = str_printf(ret, "/%s:" ANY_BUS ":%02x.%s", free_domain ?: domain, (unsigned) b.slot,
                               function);
        return r;
}

/* A component of the path that is no function: "pci10000:e0" below one is the root of another domain. */
static int match_other(const char *name, bool below, char **ret) {
        _cleanup_strv_ char **parts = NULL;
        const char *number = startswith(name, "pci");
        int r;

        /* What would be more than itself in a pattern, or in a rule at all. */
        if (strpbrk(name, "*?[]|\"\\$%"))
                return -EINVAL;
        if (!below || !number)
                return str_printf(ret, "/%s", name);
        r = strv_extend(&parts, "/pci");
        for (const char *c = number; *c && r >= 0; c++)
                r = strv_extend(&parts, *c == ':' ? ":" : ANY_DIGIT);
        if (r < 0)
                return r;
        *ret = strv_join(parts, "");
        return *ret ? 0 : -ENOMEM;
}

/* -EINVAL if the path is none that can be matched. */
static int match_path(const PciDevice *d, bool whole_slot, char **ret) {
        _cleanup_strv_ char **names = NULL, **pattern = NULL;
        _cleanup_free_ char *joined = NULL;
        Bdf first = {}, b;
        bool below = false;
        size_t n;
        int r;

        r = strv_split(strempty(d->devpath), "/", &names);
        n = strv_length(names);
        if (r >= 0 && (n < 2 || !streq(names[n - 1], d->name)))
                return -EINVAL;
        for (size_t i = 0; i < n && r >= 0; i++) {
                _cleanup_free_ char *part = NULL;
                bool last = i + 1 == n;

                if (bdf_parse(names[i], &b) < 0)
                        r = match_other(names[i], below, &part);
                else if (below)
                        r = match_hop(b, first, last && whole_slot, &part);
                else if (last && whole_slot)
                        r = str_printf(&part, "/%04x:%02x:%02x.[0-7]", (unsigned) b.domain, (unsigned) b.bus,
                                       (unsigned) b.slot);
                else
                        r = str_printf(&part, "/%s", names[i]);
                if (r >= 0 && !below && bdf_parse(names[i], &first) >= 0)
                        below = true;
                if (r >= 0)
                        r = strv_extend(&pattern, part);
        }
        if (r < 0)
                return r;
        joined = strv_join(pattern, "");
        return joined ? str_printf(ret, "DEVPATH==\"%s\"", joined) : -ENOMEM;
}

int earlyrule_match(const PciDevice *d, bool whole_slot, char **ret) {
        int r = match_path(d, whole_slot, ret);

        if (r != -EINVAL)
                return r;
        return whole_slot ? str_printf(ret, "KERNEL==\"%.*s[0-7]\"", (int) strlen(d->name) - 1, d->name)
                          : str_printf(ret, "KERNEL==\"%s\"", d->name);
}

/* What of the bus the rule is about, by index: FUNCTION goes to VFIO, GPU gets a unit as well, all of the
 * slot of a KEPT one stays with the host. */
enum { FUNCTION = 1, GPU = 2, KEPT = 4 };

static const IommuKeep *kept_in_slot(const PciBus *bus, const PciDevice *gpu, const IommuKeep *keep,
                                     size_t n_keep, char *const *accept_siblings) {
        for (size_t i = 0; i < bus->n; i++) {
                const PciDevice *d = &bus->devices[i];
                const IommuKeep *k = pci_same_slot(d, gpu) ? iommu_keep_find(keep, n_keep, d, accept_siblings)
                                                           : NULL;

                if (k)
                        return k;
        }
        return NULL;
}

/* Marks the GPU and what goes with it. Without groups yet: the functions of its slot. */
static int mark(const Conf *c, const PciBus *bus, const PciDevice *gpu, const IommuKeep *keep, size_t n_keep,
                uint8_t *marks, char ***left_out) {
        _cleanup_(iommu_verdict_done) IommuVerdict v = {};
        char *const *accept = conf_gpu_accept_siblings(c, gpu->name, strempty(gpu->path));
        const IommuKeep *k;
        int r;

        r = iommu_group_check(bus, gpu, keep, n_keep, accept, &v);
        if (r < 0 && r != -ENODEV)
                return r;
        k = r < 0 ? kept_in_slot(bus, gpu, keep, n_keep, accept) : NULL;
        if (k || (r >= 0 && !v.viable)) {
                _cleanup_free_ char *what = NULL;

                marks[gpu - bus->devices] |= KEPT;
                if (k && iommu_keep_describe(k, &what) < 0)
                        return -ENOMEM;
                return strv_extendf(left_out, "%s stays with the host: %s%s", gpu->name, k ? "it is " : "",
                                    what ?: v.blocker);
        }
        for (size_t i = 0; r >= 0 && i < v.n_endpoints; i++)
                marks[v.endpoints[i] - bus->devices] |= FUNCTION;
        for (size_t i = 0; r < 0 && i < bus->n; i++)
                if (pci_same_slot(&bus->devices[i], gpu) && !pci_is_bridge(&bus->devices[i]))
                        marks[i] |= FUNCTION;
        marks[gpu - bus->devices] |= FUNCTION | GPU;
        return 0;
}

static int mark_all(const Conf *c, const PciBus *bus, const IommuKeep *keep, size_t n_keep, uint8_t *marks,
                    char ***left_out) {
        int r = 0;

        for (size_t i = 0; i < bus->n && r >= 0; i++)
                if (early_exclusive(c, &bus->devices[i]))
                        r = mark(c, bus, &bus->devices[i], keep, n_keep, marks, left_out);
                else if (pci_is_nvidia_gpu(&bus->devices[i]))
                        marks[i] |= KEPT;
        return r;
}

#define IDS                                                    \
        "ATTR{vendor}==\"0x%04x\", ATTR{device}==\"0x%04x\", " \
        "ATTR{subsystem_vendor}==\"0x%04x\", ATTR{subsystem_device}==\"0x%04x\", "

static int add_function(char ***text, const PciDevice *d, bool gpu) {
        _cleanup_free_ char *match = NULL;
        int r;

        r = earlyrule_match(d, false, &match);
        if (r < 0)
                return r;
        return strv_extendf(text, "%s, " IDS "%s", match, (unsigned) d->vendor, (unsigned) d->device,
                            (unsigned) d->subsystem_vendor, (unsigned) d->subsystem_device,
                            gpu ? TO_GPU : TO_FUNCTION);
}

/* All of the slot that a section names, by address or by path, as if a card was there. NULL if it names none.
 */
static int match_section(const char *name, char **ret) {
        const char *below = startswith(name, "pci-");
        _cleanup_strv_ char **hops = NULL;
        _cleanup_free_ char *devpath = NULL;
        PciDevice d = {};
        Bdf b = {};
        int r;

        r = strv_split(below ?: name, "/", &hops);
        if (r < 0 || !hops)
                return r;
        if (bdf_parse(hops[0], &b) < 0)
                return 0;
        if (below)
                r = str_printf(&devpath, "/devices/pci%04x:%02x/%s", (unsigned) b.domain, (unsigned) b.bus,
                               hops[0]);
        for (size_t i = 1; i < strv_length(hops) && r >= 0; i++) {
                _cleanup_free_ char *above = TAKE_PTR(devpath), *hop = NULL;

                r = str_printf(&hop, "%04x:00:%s", (unsigned) b.domain, hops[i]);
                if (r >= 0 && bdf_parse(hop, &b) < 0)
                        return 0;
                if (r >= 0)
                        r = str_printf(&devpath, "%s/%s", above, hop);
        }
        d.devpath = devpath;
        (void) bdf_format(b, d.name);
        return r < 0 ? r : earlyrule_match(&d, true, ret);
}

static bool is_there(const Conf *c, const PciBus *bus, const ConfGpu *g) {
        for (size_t i = 0; i < bus->n; i++)
                if (conf_gpu(c, bus->devices[i].name, strempty(bus->devices[i].path)) == g)
                        return true;
        return false;
}

/* One that was here before is known by its ids; of another it is enough that it shows pictures. Neither is
 * taken when it has become the console. */
static int add_expected(char ***text, const ConfGpu *g, const char *slot) {
        int r;

        r = strv_extendf(text, "%s, " CONSOLE TO_END, slot);
        if (r >= 0 && g->vendor != 0)
                r = strv_extendf(text, "%s, KERNEL==\"*.0\", " IDS TO_GPU, slot, (unsigned) g->vendor,
                                 (unsigned) g->device, (unsigned) g->subsystem_vendor,
                                 (unsigned) g->subsystem_device);
        else if (r >= 0)
                r = strv_extendf(text, "%s, ATTR{class}==\"0x03????\", " TO_GPU, slot);
        return r < 0 ? r : strv_extendf(text, "%s, " COMPANIONS TO_FUNCTION, slot);
}

/* Sections in that mode for cards that are not there: what is done when they come. */
static int add_absent(char ***text, const Conf *c, const PciBus *bus, GpuMode mode) {
        int r = 0;

        for (size_t i = 0; i < c->n_gpus && r >= 0; i++) {
                const ConfGpu *g = &c->gpus[i];
                _cleanup_free_ char *slot = NULL;

                if (!g->mode_set || g->mode != mode || is_there(c, bus, g))
                        continue;
                r = match_section(g->path, &slot);
                if (r >= 0 && slot)
                        r = mode == GPU_EXCLUSIVE ? add_expected(text, g, slot)
                                                  : strv_extendf(text, "%s, " TO_END, slot);
        }
        return r;
}

static int add_slots(char ***text, char *const *lines) {
        _cleanup_free_ char *joined = strv_join(lines, "");

        return joined ? strv_extendf(text,
                                     "\n# Cards that are not here now, and have sections of their own.\n%s",
                                     joined)
                      : -ENOMEM;
}

/* What the generic lines must not take, and they. */
static int add_newcomers(char ***text, const Conf *c, const PciBus *bus, const uint8_t *marks) {
        int r;

        r = strv_extend(text, "\n# These stay with the host, and so does what is put into their slots.\n");
        for (size_t i = 0; i < bus->n && r >= 0; i++) {
                _cleanup_free_ char *match = NULL;

                if (!(marks[i] & KEPT))
                        continue;
                r = earlyrule_match(&bus->devices[i], true, &match);
                if (r >= 0)
                        r = strv_extendf(text, "%s, " TO_END, match);
        }
        if (r >= 0)
                r = add_absent(text, c, bus, GPU_FLEXIBLE);
        return r < 0 ? r : strv_extend(text, rule_newcomers);
}

int early_rule(const Conf *c, const PciBus *bus, const IommuKeep *keep, size_t n_keep, char **ret,
               char ***ret_left_out) {
        _cleanup_free_ uint8_t *marks = calloc(bus->n + 1, 1);
        _cleanup_strv_ char **text = NULL, **left_out = NULL, **absent = NULL;
        bool all = c->gpu_mode == GPU_EXCLUSIVE, any;
        int r;

        if (!marks)
                return -ENOMEM;
        r = mark_all(c, bus, keep, n_keep, marks, &left_out);
        if (r >= 0)
                r = add_absent(&absent, c, bus, GPU_EXCLUSIVE);
        any = all || absent;
        for (size_t i = 0; i < bus->n; i++)
                any = any || marks[i] & FUNCTION;
        if (r >= 0 && any)
                r = strv_extend(&text, rule_head);
        for (size_t i = 0; i < bus->n && r >= 0; i++)
                if (marks[i] & FUNCTION)
                        r = add_function(&text, &bus->devices[i], marks[i] & GPU);
        if (r >= 0 && absent)
                r = add_slots(&text, absent);
        if (r >= 0 && all)
                r = add_newcomers(&text, c, bus, marks);
        if (r >= 0 && any)
                r = strv_extend(&text, rule_tail);
        if (r < 0)
                return r;
        *ret = strv_join(text, "");
        if (!*ret)
                return -ENOMEM;
        *ret_left_out = TAKE_PTR(left_out);
        return 0;
}
