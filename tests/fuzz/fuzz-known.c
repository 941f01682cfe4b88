/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The record of GPUs: what is taken comes out as it went in, and whatever it says, a section is about a card
 * of the recorded kind or about none. */

#include "known.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds) {
        if (!holds)
                abort();
}

static PciDevice devices[] = {
        { .bdf = { 0, 1, 0, 0 },
          .name = "0000:01:00.0",
          .vendor = 0x10de,
          .device = 0x2684,
          .class = 0x030000,
          .path = (char *) "pci-0000:00:01.0/00.0" },
        { .bdf = { 0, 2, 0, 0 },
          .name = "0000:02:00.0",
          .vendor = 0x10de,
          .device = 0x2684,
          .class = 0x030000,
          .path = (char *) "pci-0000:00:02.0/00.0" },
        { .bdf = { 0, 3, 0, 0 },
          .name = "0000:03:00.0",
          .vendor = 0x10de,
          .device = 0x2204,
          .class = 0x030000,
          .path = (char *) "pci-0000:00:03.0/00.0" },
};

static void check_resolve(const Known *k) {
        static const PciBus bus = { devices, ELEMENTSOF(devices) };
        _cleanup_strv_ char **notes = NULL, **refusals = NULL;
        ConfGpu sections[] = {
                { .path = (char *) "0000:01:00.0", .mode = GPU_EXCLUSIVE, .mode_set = true },
                { .path = (char *) "pci-0000:00:03.0/00.0", .mode = GPU_EXCLUSIVE, .mode_set = true },
        };
        Conf c = { .gpus = sections, .n_gpus = ELEMENTSOF(sections) };

        check(known_resolve(k, &bus, &c, &notes, &refusals) == 0);
        for (size_t s = 0; s < ELEMENTSOF(sections); s++) {
                bool right = !sections[s].card || !*sections[s].card;

                for (size_t i = 0; i < k->n && !right; i++)
                        for (size_t d = 0; d < ELEMENTSOF(devices); d++)
                                right = right ||
                                                (streq_ptr(k->items[i].section, sections[s].path) &&
                                                 streq(sections[s].card, devices[d].path) &&
                                                 pci_same_kind(&k->items[i].card, &devices[d]));
                check(right);
                free(sections[s].card);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *text = NULL;
        _cleanup_(known_done) Known k = {};

        if (known_parse((const char *) data, size, &k) < 0)
                return 0;
        check(known_format(&k, &text) == 0 && strlen(text) == size && memcmp(text, data, size) == 0);
        check_resolve(&k);
        return 0;
}
