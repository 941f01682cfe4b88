/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "seed.h"
#include "tests/tap.h"

static void *make(const Seed *s, size_t *size) {
        void *image = NULL;
        int r = seed_make(s, &image, size);

        if (r == -ENOPKG)
                SKIP("libarchive is not installed");
        ASSERT_EQ(r, 0);
        return image;
}

TEST(an_image_by_its_label_with_the_files_in_it) {
        const Seed s = { .meta_data = "{\"instance-id\":\"one\"}",
                         .user_data = "#cloud-config\n{}",
                         .network_config = "{\"version\":2}" };
        size_t size;
        _cleanup_free_ char *image = make(&s, &size);

        ASSERT(size >= 40960 && size % 2048 == 0 && size <= 1024 * 1024);
        ASSERT(memcmp(image + 32768, "\001CD001", 6) == 0); /* the primary volume descriptor, ECMA-119 8.4 */
        ASSERT(memcmp(image + 32768 + 40, "CIDATA ", 7) == 0);
        ASSERT(memmem(image, size, s.user_data, strlen(s.user_data)));
        ASSERT(memmem(image, size, s.network_config, strlen(s.network_config)));
        ASSERT(memmem(image, size, "m\0e\0t\0a\0-\0d\0a\0t\0a", 17)); /* Joliet's name of it */
        ASSERT(memmem(image, size, "meta-data", 9));                  /* and Rock Ridge's */
}

TEST(what_is_not_given_is_not_in_it) {
        const Seed s = { .meta_data = "{}" };
        size_t size;
        _cleanup_free_ char *image = make(&s, &size);

        ASSERT(memmem(image, size, "meta-data", 9));
        ASSERT(!memmem(image, size, "user-data", 9));
}

TEST(large_ones_fit_and_too_large_ones_do_not) {
        _cleanup_free_ char *text = malloc(SEED_SIZE_MAX + 1), *image = NULL;
        Seed s = { .meta_data = "{}", .user_data = text };
        size_t size;
        void *other = NULL;

        ASSERT(text);
        memset(text, 'a', SEED_SIZE_MAX);
        text[SEED_SIZE_MAX] = '\0';
        ASSERT_EQ(seed_make(&s, &other, &size), -EFBIG);
        text[4 * 1024 * 1024] = '\0';
        image = make(&s, &size);
        ASSERT(size > 4 * 1024 * 1024);
}
