/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "parse.h"
#include "tests/tap.h"

TEST(booleans) {
        ASSERT_EQ(parse_boolean("YES"), 1);
        ASSERT_EQ(parse_boolean("off"), 0);
        ASSERT_EQ(parse_boolean(""), -EINVAL);
        ASSERT_EQ(parse_boolean("yess"), -EINVAL);
}

TEST(numbers) {
        uint64_t v = 7;
        unsigned u = 7;

        ASSERT_EQ(parse_u64("18446744073709551615", &v), 0);
        ASSERT_EQ(v == UINT64_MAX, 1);
        ASSERT_EQ(parse_u64("18446744073709551616", &v), -ERANGE);
        ASSERT_EQ(parse_u64("-1", &v), -EINVAL);
        ASSERT_EQ(parse_u64("+1", &v), -EINVAL);
        ASSERT_EQ(parse_u64(" 1", &v), -EINVAL);
        ASSERT_EQ(parse_u64("", &v), -EINVAL);
        ASSERT_EQ(parse_u64("1e9", &v), -EINVAL);
        ASSERT_EQ(parse_uint("5", 4, &u), -ERANGE);
        ASSERT_EQ(u, 7);
        ASSERT_EQ(parse_hex("0x10de", 0xffff, &v), 0);
        ASSERT_EQ(v, 0x10de);
        ASSERT_EQ(parse_hex("10de0", 0xffff, &v), -ERANGE);
        ASSERT_EQ(parse_hex("0x", 0xffff, &v), -EINVAL);
}

TEST(sizes) {
        uint64_t v = 0;

        ASSERT_EQ(parse_size("2k", &v), 0);
        ASSERT_EQ(v, 2048);
        ASSERT_EQ(parse_size("1T", &v), 0);
        ASSERT_EQ(v, 1LL << 40);
        ASSERT_EQ(parse_size("1KB", &v), -EINVAL);
        ASSERT_EQ(parse_size("99999999999999G", &v), -ERANGE);
}

TEST(time_spans) {
        uint64_t v = 0;

        ASSERT_EQ(parse_sec("90", &v), 0);
        ASSERT_EQ(v, 90000000);
        ASSERT_EQ(parse_sec("1min 30s", &v), 0);
        ASSERT_EQ(v, 90000000);
        ASSERT_EQ(parse_sec("100ms", &v), 0);
        ASSERT_EQ(v, 100000);
        ASSERT_EQ(parse_sec("2 h", &v), 0);
        ASSERT_EQ(v, 7200000000);
        ASSERT_EQ(parse_sec("5 parsecs", &v), -EINVAL);
        ASSERT_EQ(parse_sec("", &v), -EINVAL);
        ASSERT_EQ(parse_sec("99999999999999999d", &v), -ERANGE);
}
