/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Earlyrule: the text of the udev rule that gives exclusive GPUs to VFIO before another driver sees them.
 *
 * Pure. The rule is a table of cards, which says for each function of the bus where to jump to, and behind it
 * the few lines that do something. A card is known by where it is, whatever the numbers of the buses on the
 * way, and by its ids: another card in the slot, and the same card in another slot, are not meant. */

#include "conf.h"
#include "iommu.h"

/* True if the configuration gives this device to VMs alone: an NVIDIA GPU by the mode that holds for it,
 * another vendor's display only if the Mode= of its own [Gpu PATH] section says so. */
bool early_exclusive(const Conf *c, const PciDevice *d) _nonnull_all_;

typedef struct EarlyRule {
        char *text;      /* "" if no GPU is exclusive */
        char **modules;  /* what it gives GPUs to: MODULE_VFIO, then variant drivers; NULL for none */
        char **left_out; /* GPUs that stay with the host, and why; NULL for none */
} EarlyRule;
void early_rule_done(EarlyRule *r) _nonnull_all_;

/* The rule for this machine and configuration. Without IOMMU groups (before the reboot that turns them on) a
 * GPU's companions are the functions of its slot. A GPU whose group holds what the host needs is left out.
 * Where the whole host is exclusive, so are NVIDIA's cards that are put in later, and so is a card that is
 * not there and has a section that says so; but never the one with the console. drivers: what
 * module_find_vfio() says of each device of the bus, by its ids known to the rule; NULL: MODULE_VFIO for all.
 */
int early_rule(const Conf *c, const PciBus *bus, const IommuKeep *keep, size_t n_keep, char *const *drivers,
               EarlyRule *ret) _must_check_ __attribute__((nonnull(1, 2, 6)));

/* Returns 1 if a rule that early_rule() has made, for whatever configuration and bus there were then, gives
 * this GPU to VFIO: in the table, as a card that was expected, or as one of those that are put in later. 0 if
 * not, as for all that have become the console since. */
int early_rule_means(const char *rule, const PciDevice *gpu) _must_check_ _nonnull_all_;
