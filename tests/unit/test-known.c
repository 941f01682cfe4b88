/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which card a section is about, after cards were put in, moved, replaced and taken out. */

#include "known.h"
#include "strv.h"
#include "tests/tree.h"

#define SLOT_1 "pci-0000:00:01.0/00.0"
#define SLOT_2 "pci-0000:00:02.0/00.0"
#define SLOT_3 "pci-0000:00:03.0/00.0"

enum { RTX4090 = 0x2684, RTX3090 = 0x2204 };

static PciDevice devices[3];
static PciBus bus = { devices, 0 };
static ConfGpu sections[3];
static Conf conf = { .vfio = true, .gpus = sections };
static Known known;
static char **notes, **refusals;

static void put(uint8_t number, const char *path, uint16_t device) {
        PciDevice *d = &devices[bus.n++];

        *d = (PciDevice){ .bdf = { 0, number, 0, 0 },
                          .vendor = 0x10de,
                          .device = device,
                          .subsystem_vendor = 0x1458,
                          .class = 0x030000,
                          .path = (char *) path };
        (void) bdf_format(d->bdf, d->name);
}

/* "ADDRESS ID PATH SECTION" lines. */
static void record(const char *lines) {
        _cleanup_free_ char *text = NULL;

        ASSERT_EQ(str_printf(&text, "gpuvm-gpus 1\n%send\n", lines), 0);
        known_done(&known);
        ASSERT_EQ(known_parse(text, strlen(text), &known), 0);
}

static void exclusive(const char *name) {
        sections[conf.n_gpus++] = (ConfGpu){ .path = (char *) name, .mode = GPU_EXCLUSIVE, .mode_set = true };
}

static void resolve(size_t n_notes, size_t n_refusals) {
        strv_free(notes);
        strv_free(refusals);
        ASSERT_EQ(known_resolve(&known, &bus, &conf, &notes, &refusals), 0);
        ASSERT_EQ(strv_length(notes), n_notes);
        ASSERT_EQ(strv_length(refusals), n_refusals);
}

#define A_IN_1 "0000:01:00.0 10de:2684 1458:0000 " SLOT_1 " 0000:01:00.0\n"
#define TWIN_2 "0000:02:00.0 10de:2684 1458:0000 " SLOT_2 " -\n"

TEST(what_is_not_known_means_what_it_says) {
        put(1, SLOT_1, RTX4090);
        exclusive("0000:01:00.0");
        resolve(0, 0);
        ASSERT(!sections[0].card);
        ASSERT(conf_gpu(&conf, "0000:01:00.0", SLOT_1) == &sections[0]);
}

TEST(still_there) {
        put(1, SLOT_1, RTX4090);
        exclusive("0000:01:00.0");
        record(A_IN_1);
        resolve(0, 0);
        ASSERT_STREQ(sections[0].card, SLOT_1);
}

/* Another card took its address, of the same kind even. */
TEST(numbered_anew) {
        put(1, SLOT_2, RTX4090);
        put(2, SLOT_1, RTX4090);
        exclusive("0000:01:00.0");
        record(A_IN_1);
        resolve(1, 0);
        ASSERT(strstr(notes[0],
                      "[Gpu 0000:01:00.0] has the address 0000:02:00.0 now: write [Gpu " SLOT_1 "]"));
        ASSERT(conf_gpu(&conf, "0000:02:00.0", SLOT_1) == &sections[0]);
        ASSERT(!conf_gpu(&conf, "0000:01:00.0", SLOT_2));
}

TEST(moved_to_an_empty_slot) {
        put(3, SLOT_3, RTX4090);
        exclusive("0000:01:00.0");
        record(A_IN_1);
        resolve(1, 0);
        ASSERT(strstr(notes[0],
                      "moved from slot " SLOT_1 " and is 0000:03:00.0 now: write [Gpu " SLOT_3 "]"));
        ASSERT(conf_gpu(&conf, "0000:03:00.0", SLOT_3) == &sections[0]);
}

TEST(moved_and_another_kind_in_its_place) {
        put(1, SLOT_1, RTX3090);
        put(3, SLOT_3, RTX4090);
        exclusive("0000:01:00.0");
        record(A_IN_1);
        resolve(1, 0);
        ASSERT_STREQ(sections[0].card, SLOT_3);
        ASSERT(!conf_gpu(&conf, "0000:01:00.0", SLOT_1));
}

TEST(a_twin_that_was_there_is_not_taken) {
        put(2, SLOT_2, RTX4090);
        exclusive("0000:01:00.0");
        record(A_IN_1 TWIN_2);
        resolve(1, 0);
        ASSERT(strstr(notes[0], "is not in this machine now"));
        ASSERT_STREQ(sections[0].card, "");
}

TEST(a_twin_that_has_its_section_is_not_taken) {
        put(2, SLOT_2, RTX4090);
        exclusive("0000:01:00.0");
        exclusive(SLOT_2);
        record(A_IN_1);
        resolve(1, 0);
        ASSERT_STREQ(sections[0].card, "");
        ASSERT(conf_gpu(&conf, "0000:02:00.0", SLOT_2) == &sections[1]);
}

TEST(two_that_it_may_be) {
        put(2, SLOT_2, RTX4090);
        put(3, SLOT_3, RTX4090);
        exclusive("0000:01:00.0");
        record(A_IN_1);
        resolve(0, 1);
        ASSERT(strstr(refusals[0], "[Gpu 0000:01:00.0] was about the GPU 10de:2684"));
        ASSERT(strstr(refusals[0], "0000:02:00.0 (" SLOT_2 ") and 0000:03:00.0 (" SLOT_3 ") may be it"));
        ASSERT_STREQ(sections[0].card, "");
}

TEST(two_that_may_have_moved) {
        put(3, SLOT_3, RTX4090);
        exclusive("0000:01:00.0");
        exclusive(SLOT_2);
        record(A_IN_1 "0000:02:00.0 10de:2684 1458:0000 " SLOT_2 " " SLOT_2 "\n");
        resolve(0, 2);
        ASSERT_STREQ(sections[0].card, "");
        ASSERT_STREQ(sections[1].card, "");
}

TEST(replaced) {
        put(1, SLOT_1, RTX3090);
        exclusive("0000:01:00.0");
        record(A_IN_1);
        resolve(0, 1);
        ASSERT(strstr(refusals[0], "and 0000:01:00.0 is another card"));
        /* The same address in another slot. */
        free(sections[0].card);
        sections[0].card = NULL;
        devices[0].path = (char *) SLOT_3;
        resolve(0, 1);
        ASSERT(!conf_gpu(&conf, "0000:01:00.0", SLOT_3));
}

/* A section that says what holds anyway. */
TEST(replaced_and_all_the_same) {
        put(1, SLOT_1, RTX3090);
        exclusive("0000:01:00.0");
        conf.gpu_mode = GPU_EXCLUSIVE;
        record(A_IN_1);
        resolve(1, 0);
        ASSERT_EQ(conf_gpu_mode(&conf, "0000:01:00.0", SLOT_1), GPU_EXCLUSIVE);
        sections[0].mode = GPU_FLEXIBLE;
        resolve(0, 1);
}

/* The subsystem tells cards of the same chip apart. */
TEST(another_maker) {
        put(3, SLOT_3, RTX4090);
        devices[0].subsystem_vendor = 0x1043;
        exclusive("0000:01:00.0");
        record(A_IN_1);
        resolve(1, 0);
        ASSERT_STREQ(sections[0].card, "");
}

TEST(taken_out) {
        exclusive("0000:01:00.0");
        record(A_IN_1);
        resolve(1, 0);
        ASSERT_STREQ(sections[0].card, "");
        ASSERT_EQ(sections[0].vendor, 0x10de);
        ASSERT_EQ(sections[0].device, 0x2684);
        ASSERT_EQ(sections[0].subsystem_vendor, 0x1458);
}

TEST(strict) {
        static const char *const bad[] = {
                "",
                "gpuvm-gpus 1\n",
                "gpuvm-gpus 2\nend\n",
                "gpuvm-gpus 1\nend",
                "gpuvm-gpus 1\nend\nend\n",
                "gpuvm-gpus 1\n" A_IN_1,
                "gpuvm-gpus 1\n0000:01:00.0 10de:2684 1458:0000 " SLOT_1 "\nend\n",
                "gpuvm-gpus 1\n0000:01:00.0 10DE:2684 1458:0000 " SLOT_1 " -\nend\n",
                "gpuvm-gpus 1\n0000:01:00.0 10de:268 1458:00000 " SLOT_1 " -\nend\n",
                "gpuvm-gpus 1\n0000:01:00.0 10de:2684 1458:0000 0000:01:00.0 -\nend\n",
                "gpuvm-gpus 1\n0000:01:00.0 10de:2684 1458:0000 " SLOT_1 " /etc\nend\n",
                "gpuvm-gpus 1\n0000:01:00.0  10de:2684 1458:0000 " SLOT_1 " -\nend\n",
        };
        Known k = {};

        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                ASSERT_EQ(known_parse(bad[i], strlen(bad[i]), &k), -EBADMSG);
        ASSERT_EQ(known_parse("gpuvm-gpus 1\nend\n\0", 18, &k), -EBADMSG);
        ASSERT_EQ(known_parse("gpuvm-gpus 1\nend\n", 17, &k), 0);
        ASSERT_EQ(k.n, 0);
}

static void saved(const char *want) {
        _cleanup_free_ char *text = NULL;

        ASSERT_EQ(fs_read(tree_root, KNOWN_PATH, FS_FILE_MAX, &text, NULL), 0);
        ASSERT_STREQ(text, want);
}

TEST(saved_and_followed) {
        int root = tree_new();

        put(1, SLOT_1, RTX4090);
        put(2, SLOT_2, RTX4090);
        exclusive("0000:01:00.0");
        exclusive("0000:09:00.0");
        ASSERT_EQ(known_save(root, &bus, &conf), 1);
        saved("gpuvm-gpus 1\n" A_IN_1 TWIN_2 "end\n");
        ASSERT_EQ(known_save(root, &bus, &conf), 0);
        /* Away for a while: what was known of it stays. */
        bus.n = 0;
        put(1, SLOT_2, RTX4090);
        record(A_IN_1 TWIN_2);
        resolve(1, 0);
        ASSERT_EQ(known_save(root, &bus, &conf), 1);
        saved("gpuvm-gpus 1\n" A_IN_1 "0000:01:00.0 10de:2684 1458:0000 " SLOT_2 " -\nend\n");
        /* Then back, with another number. */
        bus.n = 0;
        put(1, SLOT_2, RTX4090);
        put(2, SLOT_1, RTX4090);
        resolve(1, 0);
        ASSERT_EQ(known_save(root, &bus, &conf), 1);
        saved("gpuvm-gpus 1\n0000:02:00.0 10de:2684 1458:0000 " SLOT_1 " 0000:01:00.0\n"
              "0000:01:00.0 10de:2684 1458:0000 " SLOT_2 " -\nend\n");
        conf.n_gpus = 0;
        ASSERT_EQ(known_save(root, &bus, &conf), 1);
        ASSERT_EQ(fs_exists(root, KNOWN_PATH), 0);
}

TEST(a_broken_record_is_none) {
        int root = tree_new();

        put(1, SLOT_1, RTX4090);
        exclusive("0000:01:00.0");
        tree_put(KNOWN_PATH, "gpuvm-gpus 1\n" A_IN_1);
        ASSERT_EQ(known_apply(root, &conf, &notes, &refusals), 0);
        ASSERT(!sections[0].card);
        ASSERT_EQ(known_save(root, &bus, &conf), 1);
        saved("gpuvm-gpus 1\n" A_IN_1 "end\n");
}
