/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "earlyrule.h"
#include "earlymatch.h"
#include "fs.h"
#include "module.h"
#include "strv.h"

/* Where each line of the table jumps to. */
#define TO_GPU      "GOTO=\"gpuvm_vfio_gpu\"\n"
#define TO_FUNCTION "GOTO=\"gpuvm_vfio_function\"\n"
#define TO_POWER    "GOTO=\"gpuvm_vfio_power\"\n"
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

/* What gives the function to a VFIO driver. Without MODALIAS nothing is loaded for it (80-drivers.rules); a
 * twin brings its own event. */
#define GIVE_TO(driver) \
        "ATTR{driver_override}=\"" driver "\", ENV{MODALIAS}=\"\", RUN{builtin}+=\"kmod load " driver "\""

static const char rule_actions[] =
                TO_END "\nLABEL=\"gpuvm_vfio_gpu\"\n"
                       "TAG+=\"systemd\", ENV{SYSTEMD_WANTS}+=\"gpuvm-vfio@$kernel.service\"\n"
                       "LABEL=\"gpuvm_vfio_function\"\n";

/* The fallback is left to the unit: only the kernel that runs knows what it has, and the one that made this
 * rule is another perhaps. A driver that is not there has nothing to bind, so the function waits without one,
 * out of reach of the host's: for the root file system, if only the initramfs lacks the module, else for its
 * GPU's unit, which gives it to the best driver that there is. To name vfio-pci here as well would take the
 * better one away where it comes later. */
static const char rule_variants[] =
                "# These have a VFIO driver of their own. Where a kernel lacks it they wait without a driver\n"
                "# until gpuvm-vfio@.service gives them to vfio-pci.\n";

static const char rule_tail[] = GIVE_TO(MODULE_VFIO) "\n";

static const char rule_power[] =
                "# vfio-pci lets an idle GPU sleep: not without power, from where some never come back.\n"
                "TEST==\"d3cold_allowed\", ATTR{d3cold_allowed}=\"0\"\n"
                "LABEL=\"gpuvm_vfio_end\"\n";

bool early_exclusive(const Conf *c, const PciDevice *d) {
        const ConfGpu *own = conf_gpu(c, d->name, strempty(d->path));

        if (!pci_is_nvidia_gpu(d) && !(pci_is_display(d) && own && own->mode_set))
                return false;
        return conf_gpu_mode(c, d->name, strempty(d->path)) == GPU_EXCLUSIVE;
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

/* How the table knows a function. */
static int identify(const PciDevice *d, char **ret) {
        _cleanup_free_ char *match = NULL;
        int r;

        r = earlymatch_function(d, false, &match);
        return r < 0 ? r
                     : str_printf(ret, "%s, " IDS, match, (unsigned) d->vendor, (unsigned) d->device,
                                  (unsigned) d->subsystem_vendor, (unsigned) d->subsystem_device);
}

static int add_function(char ***text, const PciDevice *d, bool gpu) {
        _cleanup_free_ char *known = NULL;
        int r;

        r = identify(d, &known);
        return r < 0 ? r : strv_extendf(text, "%s%s", known, gpu ? TO_GPU : TO_FUNCTION);
}

static bool is_there(const Conf *c, const PciBus *bus, const ConfGpu *g) {
        for (size_t i = 0; i < bus->n; i++)
                if (conf_gpu(c, bus->devices[i].name, strempty(bus->devices[i].path)) == g)
                        return true;
        return false;
}

#define EXPECTED_IDS "%s, KERNEL==\"*.0\", " IDS TO_GPU
#define EXPECTED_ANY "%s, ATTR{class}==\"0x03????\", " TO_GPU

/* One that was here before is known by its ids; of another it is enough that it shows pictures. Neither is
 * taken when it has become the console. */
static int add_expected(char ***text, const ConfGpu *g, const char *slot) {
        int r;

        r = strv_extendf(text, "%s, " CONSOLE TO_END, slot);
        if (r >= 0 && g->vendor != 0)
                r = strv_extendf(text, EXPECTED_IDS, slot, (unsigned) g->vendor, (unsigned) g->device,
                                 (unsigned) g->subsystem_vendor, (unsigned) g->subsystem_device);
        else if (r >= 0)
                r = strv_extendf(text, EXPECTED_ANY, slot);
        return r < 0 ? r : strv_extendf(text, "%s, " COMPANIONS TO_FUNCTION, slot);
}

#define STAYS "%s, " TO_END

/* Sections in that mode for cards that are not there: what is done when they come. */
static int add_absent(char ***text, const Conf *c, const PciBus *bus, GpuMode mode) {
        int r = 0;

        for (size_t i = 0; i < c->n_gpus && r >= 0; i++) {
                const ConfGpu *g = &c->gpus[i];
                _cleanup_free_ char *slot = NULL;

                if (!g->mode_set || g->mode != mode || is_there(c, bus, g))
                        continue;
                r = earlymatch_section(g->path, &slot);
                if (r >= 0 && slot)
                        r = mode == GPU_EXCLUSIVE ? add_expected(text, g, slot)
                                                  : strv_extendf(text, STAYS, slot);
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
                r = earlymatch_function(&bus->devices[i], true, &match);
                if (r >= 0)
                        r = strv_extendf(text, STAYS, match);
        }
        if (r >= 0)
                r = add_absent(text, c, bus, GPU_FLEXIBLE);
        return r < 0 ? r : strv_extend(text, rule_newcomers);
}

static bool same_ids(const PciDevice *a, const PciDevice *b) {
        return a->vendor == b->vendor && a->device == b->device &&
                        a->subsystem_vendor == b->subsystem_vendor &&
                        a->subsystem_device == b->subsystem_device;
}

/* Those that VFIO has a driver of their own for, each sort of card once. */
static int add_variants(char ***text, const PciBus *bus, const uint8_t *marks, char *const *drivers,
                        char ***modules) {
        int r = 0, n = 0;

        for (size_t i = 0; drivers && i < bus->n && r >= 0; i++) {
                const PciDevice *d = &bus->devices[i];
                size_t first = 0;

                if (!(marks[i] & FUNCTION) || streq(drivers[i], MODULE_VFIO))
                        continue;
                while (!(marks[first] & FUNCTION) || !same_ids(&bus->devices[first], d))
                        first++;
                if (first < i)
                        continue;
                r = n++ > 0 ? 0 : strv_extend(text, rule_variants);
                if (r >= 0)
                        r = strv_extendf(text, IDS GIVE_TO("%s") ", " TO_POWER, (unsigned) d->vendor,
                                         (unsigned) d->device, (unsigned) d->subsystem_vendor,
                                         (unsigned) d->subsystem_device, drivers[i], drivers[i]);
                if (r >= 0 && !strv_contains(*modules, drivers[i]))
                        r = strv_extend(modules, drivers[i]);
        }
        return r < 0 ? r : n;
}

/* What is done for those that the table is about. */
static int add_actions(char ***text, const PciBus *bus, const uint8_t *marks, char *const *drivers,
                       char ***modules) {
        int r, variants = 0;

        r = strv_extend(modules, MODULE_VFIO);
        if (r >= 0)
                r = strv_extend(text, rule_actions);
        if (r >= 0)
                r = variants = add_variants(text, bus, marks, drivers, modules);
        if (r >= 0)
                r = strv_extend(text, rule_tail);
        if (r >= 0 && variants > 0)
                r = strv_extend(text, "LABEL=\"gpuvm_vfio_power\"\n");
        return r < 0 ? r : strv_extend(text, rule_power);
}

void early_rule_done(EarlyRule *r) {
        free(r->text);
        strv_free(r->modules);
        strv_free(r->left_out);
        *r = (EarlyRule){};
}

int early_rule(const Conf *c, const PciBus *bus, const IommuKeep *keep, size_t n_keep, char *const *drivers,
               EarlyRule *ret) {
        _cleanup_free_ uint8_t *marks = calloc(bus->n + 1, 1);
        _cleanup_strv_ char **text = NULL, **left_out = NULL, **absent = NULL, **modules = NULL;
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
                r = add_actions(&text, bus, marks, drivers, &modules);
        if (r < 0)
                return r;
        ret->text = strv_join(text, "");
        if (!ret->text)
                return -ENOMEM;
        ret->modules = TAKE_PTR(modules);
        ret->left_out = TAKE_PTR(left_out);
        return 0;
}

/* Whether the slot, as one of the rule's lines may know it, has a line that takes the card, or one that
 * leaves it to the host. */
static int look_up_slot(const char *rule, const PciDevice *d, bool *taken, bool *stays) {
        _cleanup_free_ char *slot = NULL, *ids = NULL, *any = NULL, *end = NULL;
        int r;

        r = earlymatch_function(d, true, &slot);
        if (r >= 0)
                r = str_printf(&ids, EXPECTED_IDS, slot, (unsigned) d->vendor, (unsigned) d->device,
                               (unsigned) d->subsystem_vendor, (unsigned) d->subsystem_device);
        if (r >= 0)
                r = str_printf(&any, EXPECTED_ANY, slot);
        if (r >= 0)
                r = str_printf(&end, STAYS, slot);
        if (r < 0)
                return r;
        *taken = *taken || strstr(rule, ids) || strstr(rule, any);
        *stays = *stays || strstr(rule, end);
        return 0;
}

int early_rule_means(const char *rule, const PciDevice *gpu) {
        PciDevice by_address = *gpu;
        _cleanup_free_ char *known = NULL;
        bool taken = false, stays = false;
        int r;

        r = identify(gpu, &known);
        if (r < 0 || strstr(rule, known))
                return r < 0 ? r : 1;
        if (gpu->boot_vga)
                return 0;
        r = look_up_slot(rule, gpu, &taken, &stays);
        /* Sections know slots by address as well. */
        by_address.devpath = NULL;
        if (r >= 0)
                r = look_up_slot(rule, &by_address, &taken, &stays);
        if (r < 0 || taken)
                return r < 0 ? r : 1;
        return !stays && pci_is_nvidia_gpu(gpu) && strstr(rule, rule_newcomers);
}
