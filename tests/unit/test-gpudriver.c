/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gpudriver.h"
#include "tests/tap.h"

enum {
        KEPLER = 0x1180,
        MAXWELL = 0x17c8,
        PASCAL = 0x1b06,
        VOLTA = 0x1db4,
        TURING = 0x1eb8,
        AMPERE = 0x20b0,
        HOPPER = 0x2330,
        ADA = 0x2684,
        BLACKWELL = 0x2d04,
        RUBIN = 0x3010,
};

static DriverNeed need_of(uint16_t a, uint16_t b) {
        DriverNeed all = {}, n;

        ASSERT_EQ(driver_need(a, &n), 0);
        driver_need_add(&all, &n);
        if (b) {
                ASSERT_EQ(driver_need(b, &n), 0);
                driver_need_add(&all, &n);
        }
        return all;
}

TEST(modules_by_device_id) {
        static const struct {
                uint16_t a, b;
                unsigned branch;
                bool open, fits;
        } rows[] = {
                { MAXWELL, 0, 580, false, true },
                { MAXWELL, 0, 580, true, false },
                { MAXWELL, 0, 590, false, false },
                { PASCAL, 0, 0, false, false },
                { VOLTA, 0, 535, false, true },
                { TURING, 0, 580, true, true },
                { TURING, 0, 580, false, true },
                { TURING, 0, 510, true, false },
                { AMPERE, 0, 0, true, true },
                { HOPPER, 0, 515, true, false },
                { HOPPER, 0, 525, true, true },
                { ADA, 0, 550, false, true },
                { BLACKWELL, 0, 580, true, true },
                { BLACKWELL, 0, 570, true, true },
                { BLACKWELL, 0, 565, true, false },
                { BLACKWELL, 0, 580, false, false },
                { RUBIN, 0, 580, true, false },
                { RUBIN, 0, 0, true, true },
                /* One driver for two generations, if there is one. */
                { PASCAL, AMPERE, 580, false, true },
                { PASCAL, AMPERE, 580, true, false },
                { PASCAL, AMPERE, 595, false, false },
                { ADA, BLACKWELL, 580, true, true },
                { ADA, BLACKWELL, 550, true, false },
                { PASCAL, BLACKWELL, 580, true, false },
                { PASCAL, BLACKWELL, 580, false, false },
                /* Ids that no generation has been given yet. */
                { 0x1a00, 0, 580, false, true },
                { 0x1a00, 0, 580, true, false },
                { 0x2150, 0, 580, true, true },
                { 0x2150, 0, 580, false, false },
                { 0x4000, 0, 0, true, true },
                { 0x4000, 0, 580, true, false },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                DriverNeed n = need_of(rows[i].a, rows[i].b);

                if (driver_fits(&n, rows[i].branch, rows[i].open) != rows[i].fits)
                        tap_stop(EXIT_FAILURE, __LINE__, "row %zu", i);
        }
}

TEST(too_old) {
        DriverNeed n;

        ASSERT_EQ(driver_need(KEPLER, &n), -EOPNOTSUPP);
        ASSERT_EQ(driver_need(0x0040, &n), -EOPNOTSUPP);
}

TEST(oldest_and_newest) {
        DriverNeed n = need_of(AMPERE, PASCAL);

        ASSERT_EQ((int) n.oldest, GPU_ARCH_PASCAL);
        ASSERT_EQ((int) n.newest, GPU_ARCH_AMPERE);
        ASSERT(n.proprietary && !n.open && n.max == 580);
}

TEST(which_modules_are_better) {
        DriverNeed legacy = need_of(PASCAL, AMPERE), turing = need_of(TURING, 0),
                   recent = need_of(BLACKWELL, 0);

        ASSERT(!driver_prefers_open(&legacy, 580));
        ASSERT(!driver_prefers_open(&turing, 535) && !driver_prefers_open(&turing, 550));
        ASSERT(driver_prefers_open(&turing, 560) && driver_prefers_open(&turing, 0));
        ASSERT(driver_prefers_open(&recent, 570));
}

TEST(toolkit_of_a_branch) {
        static const struct {
                uint16_t gpu;
                unsigned branch, major, minor;
        } rows[] = {
                { AMPERE, 535, 12, 2 }, { AMPERE, 570, 12, 8 }, { AMPERE, 575, 12, 9 },
                { AMPERE, 580, 13, 0 }, { AMPERE, 590, 13, 1 }, { AMPERE, 595, 13, 2 },
                { AMPERE, 610, 0, 0 },  { AMPERE, 0, 0, 0 },    { AMPERE, 470, 0, 0 },
                { PASCAL, 580, 12, 9 }, { VOLTA, 570, 12, 8 },  { MAXWELL, 535, 12, 2 },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                DriverNeed n = need_of(rows[i].gpu, 0);
                Cuda c = cuda_for_driver(&n, rows[i].branch);

                if (c.major != rows[i].major || c.minor != rows[i].minor)
                        tap_stop(EXIT_FAILURE, __LINE__, "row %zu: %u.%u", i, c.major, c.minor);
        }
}

TEST(toolkit_that_was_asked_for) {
        static const struct {
                uint16_t gpu;
                unsigned branch;
                Cuda cuda;
                bool fine;
        } rows[] = {
                { PASCAL, 580, { 12, 9 }, true },     { PASCAL, 580, { 12, CUDA_ANY_MINOR }, true },
                { PASCAL, 580, { 13, 0 }, false },    { BLACKWELL, 580, { 12, 8 }, true },
                { BLACKWELL, 580, { 12, 6 }, false }, { BLACKWELL, 580, { 12, CUDA_ANY_MINOR }, true },
                { AMPERE, 580, { 13, 1 }, true },     { AMPERE, 570, { 13, 0 }, false },
                { AMPERE, 520, { 12, 0 }, false },    { AMPERE, 520, { 11, 8 }, true },
                { AMPERE, 0, { 13, 3 }, true },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                DriverNeed n = need_of(rows[i].gpu, 0);

                if (!cuda_objection(&n, rows[i].branch, rows[i].cuda) != rows[i].fine)
                        tap_stop(EXIT_FAILURE, __LINE__, "row %zu", i);
        }
}

TEST(versions_of_the_toolkit) {
        static const char *const bad[] = { "",     "1",     "9-2",  "123",    "12-",   "12.",
                                           "12-x", "12-99", "12_9", "12-9-1", "12-9 ", "cuda" };
        Cuda c;

        ASSERT_EQ(cuda_parse("12-9", &c), 0);
        ASSERT(c.major == 12 && c.minor == 9);
        ASSERT_EQ(cuda_parse("12.8", &c), 0);
        ASSERT(c.major == 12 && c.minor == 8);
        ASSERT_EQ(cuda_parse("13", &c), 0);
        ASSERT(c.major == 13 && c.minor == CUDA_ANY_MINOR);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                if (cuda_parse(bad[i], &c) != -EINVAL)
                        tap_stop(EXIT_FAILURE, __LINE__, "'%s'", bad[i]);
}
