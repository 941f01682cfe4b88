/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Declared machines: what stands in a file and its drop-ins, and what is wrong with them. */

#include "fs.h"
#include "strv.h"
#include "tests/tap.h"
#include "vmfile.h"

static VmFile file;
static char **told;

static void note(const char *path, unsigned line, const char *text, void *userdata) {
        ASSERT_EQ(strv_extendf(&told, "%s:%u: %s", path, line, text), 0);
}

static void start(const char *name) {
        vmfile_done(&file);
        strv_free(told);
        told = NULL;
        file.name = strdup(name);
        ASSERT(file.name);
}

static void parse(const char *path, const char *text) {
        ASSERT_EQ(vmfile_parse(&file, path, text, strlen(text), note, NULL), 0);
}

static void check(void) {
        ASSERT_EQ(vmfile_check(&file, note, NULL), 0);
        ASSERT_EQ(file.n_problems, strv_length(told));
}

TEST(each_key_is_of_one_section_and_one_option) {
        for (VmKey a = 0; a < _VMKEY_MAX; a++) {
                ASSERT(vmkey_rows[a].section && vmkey_rows[a].name);
                for (VmKey b = 0; b < a; b++) {
                        ASSERT(!streq(vmkey_rows[a].name, vmkey_rows[b].name));
                        ASSERT(!vmkey_rows[a].option ||
                               !streq_ptr(vmkey_rows[a].option, vmkey_rows[b].option));
                }
        }
}

TEST(the_last_one_counts_and_lists_grow) {
        start("llm-01");
        parse("/a",
              "[Vm]\nKind=debian\nKind=ubuntu\nCpus=4\n[Gpu]\nGpu=01:00.0 \"02:00.0\"\n"
              "[Guest]\nSshKey=ssh-ed25519 AAAA me\n");
        parse("/b",
              "[Gpu]\nGpu=03:00.0\n[Guest]\nSshKey=/k.pub\n[Vm]\nCpus=\nPin=yes\n[Install]\nWantedBy=x.target");
        check();
        ASSERT_EQ(strv_length(told), 0);
        ASSERT_STREQ(vmfile_value(&file, VMKEY_KIND), "ubuntu");
        ASSERT(!vmfile_value(&file, VMKEY_CPUS));
        ASSERT(vmfile_flag(&file, VMKEY_PIN));
        ASSERT(!vmfile_flag(&file, VMKEY_SERVER));
        ASSERT_EQ(strv_length(file.values[VMKEY_GPU]), 3);
        ASSERT_STREQ(file.values[VMKEY_GPU][1], "02:00.0");
        ASSERT_EQ(strv_length(file.values[VMKEY_SSH_KEY]), 2);
        ASSERT_STREQ(file.values[VMKEY_SSH_KEY][0], "ssh-ed25519 AAAA me");
        ASSERT_STREQ(vmfile_place(&file, VMKEY_KIND).file, "/a");
        ASSERT_EQ(vmfile_place(&file, VMKEY_KIND).line, 3);
        ASSERT_STREQ(vmfile_place(&file, VMKEY_WANTED_BY).file, "/b");
        ASSERT(!vmfile_place(&file, VMKEY_MAC).file);
}

TEST(an_empty_one_takes_back) {
        start("a");
        parse("/a",
              "[Vm]\nKind=debian\n[Gpu]\nGpu=none\nGpu=\nGpu=1\n[Guest]\nSshKey=a\nSshKey=\nSshKey=b\n");
        check();
        ASSERT_EQ(strv_length(told), 0);
        ASSERT_EQ(strv_length(file.values[VMKEY_GPU]), 1);
        ASSERT_EQ(strv_length(file.values[VMKEY_SSH_KEY]), 1);
}

static void asks(const char *text, const char *wish, uint64_t sec) {
        _cleanup_free_ char *got = NULL;

        start("a");
        parse("/a", text);
        check();
        ASSERT_EQ(strv_length(told), 0);
        ASSERT_EQ(vmfile_gpu_wish(&file, &got), wish ? 1 : 0);
        ASSERT_STREQ(strna(got), strna(wish));
        ASSERT_EQ(vmfile_patience(&file), sec * USEC_PER_SEC);
}

TEST(gpus_that_are_asked_for_and_waited_for) {
        asks("[Vm]\nKind=debian\n[Gpu]\nGpu=2 x RTX 4090\nWhenIdle=yes\n", "2 x RTX 4090", 600);
        asks("[Vm]\nKind=debian\n[Gpu]\nGpu=any\nWhenIdle=5min\n", "1", 300);
        asks("[Vm]\nKind=debian\n[Gpu]\nGpu=01:00.0\nWhenIdle=no\n", NULL, 0);
        asks("[Vm]\nKind=debian\n[Gpu]\nGpu=none\n", NULL, 0);
}

/* Each with the line that it is in, and what was meant. */
TEST(what_is_wrong) {
        static const struct {
                const char *text, *said;
        } cases[] = {
                { "Kind=debian\n", "/a:1: Assignment 'Kind=' before the first section" },
                { "[Vm]\nKind=Debian\n",
                  "/a:2: Bad value 'Debian' for Kind=: expected talos, ubuntu, debian, llm or worker" },
                { "[Vm]\nKnid=debian\n",
                  "/a:2: Unknown key 'Knid' in section [Vm], did you mean 'Kind=' of [Vm]?" },
                { "[Vm]\nColour=red\n", "/a:2: Unknown key 'Colour' in section [Vm]" },
                { "[Vm]\nKind=debian\nMac=x\n",
                  "/a:3: Unknown key 'Mac' in section [Vm], did you mean 'Mac=' of [Network]?" },
                { "[Networks]\n", "/a:1: Unknown section [Networks], did you mean [Network]?" },
                { "[Colours]\nRed=1\n", "/a:1: Unknown section [Colours]" },
                { "[Vm]\nFirmware=BIOS\n", "/a:2: Bad value 'BIOS' for Firmware=: expected uefi or bios" },
                { "[Vm]\nReady=ssh\n",
                  "/a:2: Bad value 'ssh' for Ready=: expected started, agent, address, gpu or engines" },
                { "[Vm]\nKind=debian\nReadySec=2h\n",
                  "/a:3: Bad value '2h' for ReadySec=: expected a time like 90 or 5min, 30 min at most" },
                { "[Vm]\nKind=debian\nWatchdogSec=0\n",
                  "/a:3: Bad value '0' for WatchdogSec=: expected a time like 90 or 5min, 30 min at most" },
                { "[Vm]\nKind=debian\n[Gpu]\nGpu=01:00.0 2\n",
                  "/a:4: Bad value for Gpu=: Either GPUs by address or path, or how many of which model" },
                { "[Vm]\nKind=debian\n[Gpu]\nGpu=RTX 4090\nRom=off\n",
                  "/a:5: Rom= is for one card, which Gpu= has to name" },
                { "[Vm]\nKind=debian\n[Gpu]\nWhenIdle=maybe\n",
                  "/a:4: Bad value 'maybe' for WhenIdle=: expected yes, no or a time like 5min, 30 min at most" },
                { "[Vm]\nKind=debian\n[Gpu]\nGpu=\"a\n", "/a:4: A quote without its end in Gpu=" },
                { "[Vm]\nKind=llm\n[Llm]\nModelStore=/srv/my models\n",
                  "/a:4: '/srv/my models' in ModelStore= is no absolute path of a directory, of letters, digits and ._-+@ alone" },
                { "[Vm]\nKind=llm\n[Llm]\nModelStore=/srv/%i\n",
                  "/a:4: '/srv/%i' in ModelStore= is no absolute path of a directory, of letters, digits and ._-+@ alone" },
                { "[Vm]\nKind=llm\n[Llm]\nModelStore=srv\n",
                  "/a:4: 'srv' in ModelStore= is no absolute path of a directory, of letters, digits and ._-+@ alone" },
                { "[Vm]\nKind=llm\n[Llm]\nModelStore=/srv/../models\n",
                  "/a:4: '/srv/../models' in ModelStore= is no absolute path of a directory, of letters, digits and ._-+@ alone" },
                { "[Vm]\nKind=ubuntu\nReady=engines\n",
                  "/a:3: Ready=engines is for machines of the kind llm" },
                { "[Vm]\nKind=llm\nReady=engines\n[Guest]\nUserData=/etc/data\n",
                  "/a:3: Ready=engines beside UserData=, which sets up engines that nobody here knows" },
                { "[Vm]\nKind=debian\n[Install]\nWantedBy=.target\n",
                  "/a:4: '.target' in WantedBy= is no unit like multi-user.target" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                start("a");
                parse("/a", cases[i].text);
                check();
                ASSERT_EQ(strv_length(told), 1);
                ASSERT_STREQ(told[0], cases[i].said);
        }
        start("a");
        parse("/a", "");
        check();
        ASSERT_STREQ(told[0], "/a:0: No Kind= in [Vm]: talos, ubuntu, debian, llm or worker");
}

TEST(names_that_units_and_guests_can_have) {
        static const char *const good[] = { "a", "llm-01", "A9" };
        static const char *const bad[] = { "", "-a", "a-", "a.b", "a b", "a_b", "a%n", "\xc3\xa4" };
        _cleanup_free_ char *longest = NULL;

        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                start(good[i]);
                parse("/a", "[Vm]\nKind=debian\n");
                check();
                ASSERT_EQ(strv_length(told), 0);
        }
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                start(bad[i]);
                parse("/a", "[Vm]\nKind=debian\n");
                check();
                ASSERT_EQ(strv_length(told), 1);
        }
        ASSERT(str_printf(&longest, "%064d", 1) >= 0);
        start(longest + 1);
        parse("/a", "[Vm]\nKind=debian\n");
        check();
        ASSERT_EQ(strv_length(told), 0);
        start(longest);
        parse("/a", "[Vm]\nKind=debian\n");
        check();
        ASSERT_EQ(strv_length(told), 1);
}
