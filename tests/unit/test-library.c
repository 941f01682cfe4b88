/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "library.h"
#include "tests/tap.h"

#define LIBM "libm.so.6"

TEST(loads_once) {
        double (*cube)(double) = NULL, (*down)(double) = NULL;
        const LibraryFunction functions[] = { { "cbrt", &cube }, { "floor", &down } };
        _cleanup_free_ char *file = NULL;
        void *library = NULL;

        ASSERT_EQ(library_load(LIBM, functions, 2, &library), 1);
        ASSERT(library);
        ASSERT(cube && down && cube(27) > 2.99 && down(2.5) < 2.01);
        file = library_file((uintptr_t) cube);
        ASSERT(file && strstr(file, "/libm"));
        cube = NULL;
        ASSERT_EQ(library_load(LIBM, functions, 2, &library), 0);
        ASSERT(!cube);
}

TEST(says_what_is_missing) {
        double (*cube)(double) = NULL, (*none)(double) = NULL;
        const LibraryFunction functions[] = { { "cbrt", &cube }, { "no_such_function", &none } };
        void *library = NULL;

        ASSERT_EQ(library_load("libnosuchlibrary.so.0", functions, 1, &library), -ENOPKG);
        ASSERT_EQ(library_load(NULL, functions, 1, &library), -ENOPKG);
        ASSERT_EQ(library_load(LIBM, functions, 2, &library), -ENOSYS);
        ASSERT(!library);
        ASSERT(!none);
}
