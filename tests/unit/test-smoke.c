/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "smoke.h"
#include "tests/tap.h"

TEST(a_sector_that_boots) {
        uint8_t sector[SMOKE_SECTOR];
        unsigned message;

        smoke_sector("0123456789abcdef", sector);
        ASSERT_EQ(sector[510], 0x55);
        ASSERT_EQ(sector[511], 0xaa);
        /* It is loaded to 0x7c00, and says what is behind its code. */
        message = sector[6] + sector[7] * 256U;
        ASSERT(message > 0x7c00 && message < 0x7c00 + 100);
        ASSERT_STREQ((char *) sector + message - 0x7c00, "gpuvm: this machine works 0123456789abcdef\r\n");
        ASSERT_EQ(sector[message - 0x7c00 - 2], 0xeb); /* the code ends by going on */
}

TEST(where_its_console_is) {
        _cleanup_free_ char *path = NULL;

        ASSERT_EQ(smoke_console("<domain><devices><serial type='pty'><source path='/dev/pts/7'/></serial>"
                                "<serial type='pty'><source path='/dev/pts/8'/></serial></devices></domain>",
                                &path),
                  0);
        ASSERT_STREQ(path, "/dev/pts/7");
        ASSERT_EQ(smoke_console("<domain><devices><serial type='pty'/></devices></domain>", &path), -ENODATA);
        ASSERT_EQ(smoke_console("<domain/>", &path), -ENODATA);
        ASSERT_EQ(smoke_console("<domain", &path), -EBADMSG);
}
