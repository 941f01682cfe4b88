/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Gpupick: which GPUs are meant, and whether they may go. What shares an IOMMU group goes together, and so
 * does a board with NVSwitches. */

#include "fs.h"
#include "gpuarch.h"
#include "gpulease.h"
#include "gpumove.h"
#include "virtgpus.h"
#include "vmtaken.h"

/* PCI_CLASS_DISPLAY_3D of pci_ids.h, with its programming interface. */
enum { CLASS_3D = 0x030200 };

static bool has_own(const Move *m, const GpuState *g) {
        for (size_t i = 0; i < g->n_functions; i++)
                if (strv_contains(m->own, g->functions[i]->name))
                        return true;
        return false;
}

/* Nobody has it, and nobody uses it, or is going to be waited for or stopped. */
static bool is_sensible(const Move *m, const GpuState *g) {
        bool waits = vmctl_has(m->c, OPT_WHEN_IDLE) || vmctl_has(m->c, OPT_STOP_UNITS);
        _cleanup_free_ char *machine = NULL;

        if (g->refused || g->stuck || g->machine || has_own(m, g) ||
            gpulease_find(m->phase.root, g->gpu->name, &machine) != 0)
                return false;
        return g->owner == GPU_OWNER_FREE || g->owner == GPU_OWNER_NOBODY ||
                        (g->owner == GPU_OWNER_HOST && g->looked && (g->holders.n == 0 || waits));
}

/* What somebody may want to choose from. */
static void list_choices(const Move *m) {
        for (size_t i = 0; i < m->states.n; i++) {
                const GpuState *g = &m->states.list[i];
                _cleanup_free_ char *owner = NULL;

                if (gpustate_describe_owner(g, &owner) < 0)
                        return;
                log_error("  %s %s: %s%s%s", g->gpu->name, strempty(g->name),
                          g->machine                      ? "of machine "
                                          : has_own(m, g) ? "its own"
                                                          : owner,
                          strempty(g->machine), g->refused ? ", not for machines" : "");
        }
}

static int pick_sensible(Move *m) {
        const GpuState *found = NULL;
        size_t n = 0;

        for (size_t i = 0; i < m->states.n; i++)
                if (is_sensible(m, &m->states.list[i])) {
                        found = &m->states.list[i];
                        n++;
                }
        if (n == 1)
                return move_add(m, found->gpu, found);
        log_error(m->states.n == 0         ? "This machine has no NVIDIA GPU"
                                  : n == 0 ? "No GPU is free or idle, of these:"
                                           : "Which GPU? More than one could be given to '%s':",
                  m->vm.name);
        list_choices(m);
        return n == 0 ? -EBUSY : -EINVAL;
}

/* Those in the IOMMU group of one that goes. */
static int add_groups(Move *m) {
        for (size_t i = 0; i < m->n; i++) {
                const GpuState *g = m->cards[i].state;

                for (size_t k = 0; g && k < m->states.n; k++) {
                        const GpuState *other = &m->states.list[k];
                        bool same = other->gpu->iommu_group >= 0 &&
                                        other->gpu->iommu_group == g->gpu->iommu_group;

                        if (same && !move_has(m, other->gpu->name) && move_add(m, other->gpu, other) < 0)
                                return -ENOMEM;
                }
        }
        return 0;
}

/* What sysfs tells of a board: its GPUs have no display, and are of the generation that its switches are
 * made for. The ids: 1af1 for A100, 22a3 for H100 and H200 (pci.ids). */
static bool joins(const PciDevice *sw, const PciDevice *gpu) {
        const GpuArch arch = sw->device == 0x1af1 ? GPU_ARCH_AMPERE
                        : sw->device == 0x22a3    ? GPU_ARCH_HOPPER
                                                  : GPU_ARCH_UNKNOWN;

        return gpu->class == CLASS_3D &&
                        (arch == GPU_ARCH_UNKNOWN || arch == gpu_arch_from_device_id(gpu->device));
}

static bool joins_any(const Move *m, const PciDevice *sw) {
        for (size_t i = 0; i < m->n; i++)
                if (m->cards[i].state && joins(sw, m->cards[i].state->gpu))
                        return true;
        return false;
}

/* A GPU of the switch's board that is not among the cards. For a detach: of those that the machine has, which
 * may be a part of the board only, if an attach was cut. */
static const GpuState *find_left_behind(const Move *m, const PciDevice *sw, bool attach) {
        for (size_t i = 0; i < m->states.n; i++) {
                const GpuState *g = &m->states.list[i];

                if (joins(sw, g->gpu) && !move_has(m, g->gpu->name) && (attach || has_own(m, g)))
                        return g;
        }
        return NULL;
}

static int tell_board(const Move *m, const PciDevice *sw, const char *what, const char *which) {
        return log_full_errno(
                        LOG_ERR, EOPNOTSUPP,
                        "GPU %s is on a board with NVSwitches (%s), over which its GPUs are one: a machine can use all of "
                        "them together, with all switches, or none. %s %s",
                        m->cards[0].gpu, sw->name, what, which);
}

/* A switch that the machine gets, or gives back, goes with the board. */
static int add_switches(Move *m, bool attach) {
        const PciBus *bus = &m->states.bus;

        for (size_t i = 0; i < bus->n; i++) {
                const PciDevice *d = &bus->devices[i];
                const GpuState *left;

                if (!pci_is_nvswitch(d) || !joins_any(m, d) || (!attach && !strv_contains(m->own, d->name)))
                        continue;
                left = find_left_behind(m, d, attach);
                if (left)
                        return tell_board(m, d, "Name all GPUs of the board, also", left->gpu->name);
                if (attach && !streq_ptr(d->driver, "vfio-pci"))
                        return tell_board(m, d, "Bind the switches to vfio-pci first, also", d->name);
                if (move_add(m, d, NULL) < 0)
                        return -ENOMEM;
        }
        return 0;
}

/* A group's owner is its lowest GPU: it comes first. */
static int compare_cards(const void *a, const void *b) {
        return strcmp(((const Card *) a)->gpu, ((const Card *) b)->gpu);
}

static int sort_cards(Move *m, int r) {
        if (m->n > 1)
                qsort(m->cards, m->n, sizeof(*m->cards), compare_cards);
        return r;
}

int move_pick_for_attach(Move *m, char *const *words) {
        int r = words && *words ? 0 : pick_sensible(m);

        STRV_FOREACH(word, words) {
                GpuState *g;

                if (r < 0)
                        return r;
                r = gpu_find(&m->states, *word, &g);
                if (r >= 0)
                        r = move_has(m, g->gpu->name) ? 0 : move_add(m, g->gpu, g);
        }
        if (r >= 0)
                r = add_groups(m);
        return r < 0 ? r : sort_cards(m, add_switches(m, true));
}

/* All that may be meant: by what it says of itself, what it has, and what was taken for it and never came. */
static int list_own(const Move *m, char ***l) {
        int r = vmtaken_list(m->phase.root, m->vm.name, l);

        STRV_FOREACH(gpu, m->metadata.gpus)
                if (r >= 0 && !strv_contains(*l, *gpu))
                        r = strv_extend(l, *gpu);
        for (size_t i = 0; i < m->states.n && r >= 0; i++) {
                const char *name = m->states.list[i].gpu->name;

                if (strv_contains(m->own, name) && !strv_contains(*l, name))
                        r = strv_extend(l, name);
        }
        return r < 0 ? log_error_errno(r, "Cannot tell which GPUs '%s' has: %m", m->vm.name) : 0;
}

/* One that was pulled out of the host is known by its address alone. */
static const char *find_own(const Move *m, char *const *l, const char *word) {
        GpuState *g;

        if (gpustate_find(&m->states, word, &g) > 0)
                return strv_contains(l, g->gpu->name) ? g->gpu->name : NULL;
        STRV_FOREACH(gpu, l)
                if (strcasecmp(*gpu, word) == 0 || strcasecmp(strchr(*gpu, ':') + 1, word) == 0)
                        return *gpu;
        return NULL;
}

static int pick_own(Move *m, char *const *l, const char *word) {
        const char *gpu = find_own(m, l, word);

        if (!gpu)
                return log_full_errno(LOG_ERR, ENOENT,
                                      "'%s' has no GPU '%s'; 'vmctl info %s' shows what it has", m->vm.name,
                                      word, m->vm.name);
        return move_has(m, gpu) ? 0 : move_add_slot(m, gpu);
}

/* What was taken with another one of its group goes with it. */
static int add_own_groups(Move *m, char *const *l) {
        for (size_t i = 0; i < m->n; i++)
                for (size_t k = 0; m->cards[i].state && k < m->states.n; k++) {
                        const PciDevice *d = m->states.list[k].gpu;

                        if (d->iommu_group >= 0 && d->iommu_group == m->cards[i].state->gpu->iommu_group &&
                            strv_contains(l, d->name) && !move_has(m, d->name) &&
                            move_add_slot(m, d->name) < 0)
                                return -ENOMEM;
                }
        return 0;
}

int move_pick_for_detach(Move *m, char *const *words) {
        _cleanup_strv_ char **l = NULL;
        int r;

        r = list_own(m, &l);
        if (r < 0)
                return r;
        if (!l)
                return log_full_errno(LOG_ERR, ENOENT, "'%s' has no GPU", m->vm.name);
        if ((!words || !*words) && strv_length(l) > 1) {
                log_error("Which GPU? '%s' has more than one:", m->vm.name);
                STRV_FOREACH(gpu, l)
                        log_error("  %s", *gpu);
                return -EINVAL;
        }
        if (!words || !*words)
                r = move_add_slot(m, l[0]);
        STRV_FOREACH(word, words)
                if (r >= 0)
                        r = pick_own(m, l, *word);
        if (r >= 0)
                r = add_own_groups(m, l);
        return r < 0 ? r : sort_cards(m, add_switches(m, false));
}

int move_check(const Move *m) {
        if (m->metadata.gpu_wish)
                return log_full_errno(
                                LOG_ERR, EOPNOTSUPP,
                                "'%s' asks for GPUs by number or model ('%s'), and gets them when it starts. With another Gpu= in its file 'vmctl apply' changes that",
                                m->vm.name, m->metadata.gpu_wish);
        for (size_t i = 0; i < m->n; i++) {
                const GpuState *g = m->cards[i].state;

                if (!g)
                        continue;
                if (streq_ptr(g->machine, VIRTGPUS_BEING_MADE))
                        return log_full_errno(
                                        LOG_ERR, EBUSY,
                                        "GPU %s was chosen by a 'vmctl create' that was cut; the next 'vmctl create' takes that back",
                                        g->gpu->name);
                if (g->machine && (m->runs || !strv_contains(m->apart, g->machine)))
                        return log_full_errno(
                                        LOG_ERR, EBUSY,
                                        "GPU %s belongs to machine '%s', also while that is off. 'vmctl gpu detach %s %s' takes it from there, 'virsh edit' where gpuvm did not make it",
                                        g->gpu->name, g->machine, g->machine, g->gpu->name);
                if (g->stuck)
                        return log_full_errno(LOG_ERR, EBUSY, "GPU %s is stuck: %s", g->gpu->name, g->stuck);
                if (g->refused)
                        return log_full_errno(LOG_ERR, EOPNOTSUPP, "GPU %s cannot be given to a machine: %s",
                                              g->gpu->name, g->refused);
        }
        return 0;
}
