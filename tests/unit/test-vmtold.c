/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is kept of what a machine was asked for, and what comes of it again. */

#include "strv.h"
#include "tests/tap.h"
#include "vmtold.h"

static VmFile file;

static void parse(const char *text) {
        vmfile_done(&file);
        ASSERT_EQ(vmfile_parse(&file, "/a", text, strlen(text), NULL, NULL), 0);
        ASSERT_EQ(file.n_problems, 0);
}

/* Its lines with ';' between. */
static char *lines(const char *text) {
        _cleanup_strv_ char **l = NULL;

        parse(text);
        ASSERT_EQ(vmtold_write(&file, &l), 0);
        return l ? strv_join(l, ";") : strdup("none");
}

TEST(what_no_definition_shows) {
        _cleanup_free_ char *all = lines("[Vm]\nKind=llm\nCpus=4\nImage=/x\n[Guest]\nUser=ada\nSshKey=/a\n"
                                         "SshKey=/b\nPackages=vim curl\nPersistenced=1\nJoin=/j\n"
                                         "[Llm]\nListen=::1\nDriverUpdates=no\nModelStore=/s\n"
                                         "[Talos]\nVersion=v1\nSchematic=s\n");
        _cleanup_free_ char *nothing = lines("[Vm]\nKind=debian\nCpus=4\n");

        ASSERT_STREQ(all,
                     "Image=/x;SshKey=/a;SshKey=/b;Packages=vim;Packages=curl;Persistenced=yes;"
                     "Listen=::1;Schematic=s");
        ASSERT_STREQ(nothing, "");
}

TEST(the_last_of_several_that_are_one) {
        _cleanup_strv_ char **l = NULL;

        parse("[Vm]\nKind=debian\n");
        ASSERT_EQ(vmfile_add(&file, VMKEY_CLOCKS, "1,2"), 0);
        ASSERT_EQ(vmfile_add(&file, VMKEY_CLOCKS, "3,4"), 0);
        ASSERT_EQ(vmtold_write(&file, &l), 0);
        ASSERT_EQ(strv_length(l), 1);
        ASSERT_STREQ(l[0], "Clocks=3,4");
}

/* Then nothing is kept: half of it would look as if the rest had not been asked for. */
TEST(what_a_definition_cannot_hold) {
        static const char *const values[] = { "/a\xff", "/a\nb", "/a\001" };

        for (size_t i = 0; i < ELEMENTSOF(values); i++) {
                char **l = NULL;

                parse("[Vm]\nKind=debian\n[Guest]\nPackages=vim\n");
                ASSERT_EQ(vmfile_add(&file, VMKEY_USER_DATA, values[i]), 0);
                ASSERT_EQ(vmtold_write(&file, &l), 0);
                ASSERT(!l);
        }
}

TEST(and_back) {
        char *const told[] = { (char *) "Packages=vim=1", (char *) "Packages=curl", (char *) "Cpus=4",
                               (char *) "Colour=red",     (char *) "Idle",          (char *) "Listen=",
                               (char *) "Swap=4G\n5G",    (char *) "Image=/x",      NULL };
        _cleanup_(vmfile_done) VmFile f = {};

        ASSERT_EQ(vmtold_read(told, &f), 0);
        ASSERT_EQ(strv_length(f.values[VMKEY_PACKAGES]), 2);
        ASSERT_STREQ(f.values[VMKEY_PACKAGES][0], "vim=1");
        ASSERT_STREQ(vmfile_value(&f, VMKEY_IMAGE), "/x");
        ASSERT(!f.values[VMKEY_CPUS] && !f.values[VMKEY_IDLE] && !f.values[VMKEY_LISTEN] &&
               !f.values[VMKEY_SWAP]);
        ASSERT_EQ(vmtold_read(NULL, &f), 0);
}
