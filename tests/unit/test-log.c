/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <sys/stat.h>

#include "log.h"
#include "tests/tap.h"

static char seen[4096];

static bool keep(int level, const char *text, const char *const *fields) {
        (void) snprintf(seen, sizeof(seen), "%d|%s|%s", level, text, fields && fields[0] ? fields[0] : "");
        return true;
}

TEST(a_newline_cannot_forge_a_line) {
        log_setup("test");
        log_add_sink(keep);
        log_fields(LOG_INFO, (const char *const[]){ "GPUVM_PCI=0000:01:00.0", NULL }, "%s",
                   "x\n<0>FAKE\x1b[2J");
        ASSERT_STREQ(seen, "6|x\\x0a<0>FAKE\\x1b[2J|GPUVM_PCI=0000:01:00.0");
}

TEST(a_long_line_is_cut_not_lost) {
        char *big = malloc(1 << 20);

        ASSERT(big);
        memset(big, 'a', (1 << 20) - 1);
        big[(1 << 20) - 1] = '\0';
        log_setup("test");
        log_add_sink(keep);
        log_info("%s", big);
        ASSERT(strlen(seen) > 2000 && strlen(seen) < 2100);
        free(big);
}

TEST(errors_come_back_negative_and_keep_errno) {
        log_setup("test");
        log_add_sink(keep);
        errno = EAGAIN;
        ASSERT_EQ(log_error_errno(-ENOENT, "Cannot open '%s': %m", "/x"), -ENOENT);
        ASSERT_STREQ(seen, "3|Cannot open '/x': No such file or directory|");
        ASSERT_EQ(errno, EAGAIN);
}

TEST(the_level_is_a_limit) {
        ASSERT_EQ(setenv("GPUVM_LOG_LEVEL", "warning", true), 0);
        log_setup("test");
        log_add_sink(keep);
        log_info("not this");
        ASSERT_STREQ(seen, "");
        log_warning("this");
        ASSERT_STREQ(seen, "4|this|");
        ASSERT_EQ(setenv("GPUVM_LOG_LEVEL", "nonsense", true), 0);
        log_setup("test");
        ASSERT_EQ(log_max_level(), LOG_WARNING);
}

/* What systemd connects to stderr carries syslog levels, a terminal does not. */
TEST(stderr_gets_a_prefix_only_for_the_journal) {
        char stream[64], line[128] = "";
        struct stat st;
        int p[2];

        ASSERT_EQ(pipe(p), 0);
        ASSERT(dup2(p[1], STDERR_FILENO) == STDERR_FILENO);
        log_setup("test");
        log_notice("plain");
        ASSERT(read(p[0], line, sizeof(line) - 1) > 0);
        ASSERT_STREQ(line, "test: plain\n");

        ASSERT_EQ(fstat(STDERR_FILENO, &st), 0);
        (void) snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long) st.st_dev,
                        (unsigned long long) st.st_ino);
        ASSERT_EQ(setenv("JOURNAL_STREAM", stream, true), 0);
        log_setup("test");
        memset(line, 0, sizeof(line));
        log_notice("journal");
        ASSERT(read(p[0], line, sizeof(line) - 1) > 0);
        ASSERT_STREQ(line, "<5>journal\n");
}
