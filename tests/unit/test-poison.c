/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "poison.h"
#include "tests/tree.h"

static const PciDevice gpu = {
        .bdf = { 0, 1, 0, 0 },
        .name = "0000:01:00.0",
        .vendor = 0x10de,
        .class = 0x030000,
        .driver = (char *) "nouveau",
        .iommu_group = 12,
};

TEST(reads_what_it_wrote) {
        _cleanup_(poison_done) Poison p = {};
        _cleanup_free_ char *why = NULL;
        int root = tree_new();

        ASSERT_EQ(poison_find(root, &gpu, &p), 0);
        ASSERT_EQ(poison_mark(root, &gpu, "nouveau", "unbinding it", getpid(), 0, "", &why), 0);
        ASSERT(startswith(why, "the kernel did not come back from unbinding it (driver nouveau), since 2"));
        ASSERT_EQ(poison_find(root, &gpu, &p), 1);
        ASSERT_STREQ(p.why, why);
        ASSERT_EQ(p.child, getpid());
        ASSERT(poison_is_stuck(&p));
        ASSERT_EQ(poison_forget(root, &gpu), 1);
        ASSERT_EQ(poison_forget(root, &gpu), 0);
}

TEST(knows_one_process_from_the_next) {
        Poison p = { .child = getpid(), .start = 1 };

        ASSERT(!poison_is_stuck(&p));
        p = (Poison){};
        ASSERT(!poison_is_stuck(&p));
}

TEST(one_that_has_ended_is_not_stuck) {
        _cleanup_(poison_done) Poison p = {};
        _cleanup_free_ char *why = NULL;
        int root = tree_new(), s[2];
        pid_t pid;
        char c;

        ASSERT_EQ(pipe(s), 0);
        pid = fork();
        if (pid == 0)
                _exit(read(s[0], &c, 1) == 1);
        ASSERT_EQ(poison_mark(root, &gpu, "nouveau", "unbinding it", pid, 0, "", &why), 0);
        ASSERT_EQ(poison_find(root, &gpu, &p), 1);
        ASSERT(poison_is_stuck(&p));
        ASSERT_EQ(write(s[1], "", 1), 1);
        for (unsigned i = 0; i < 5000 && poison_is_stuck(&p); i++)
                (void) usleep(1000);
        ASSERT(!poison_is_stuck(&p)); /* a zombie: nobody waited for it */
}

TEST(names_who_has_it_open) {
        _cleanup_free_ char *why = NULL;
        int root = tree_new();

        ASSERT_EQ(poison_mark(root, &gpu, "nouveau", "unbinding it", 0, 0, "viewer has it", &why), 0);
        ASSERT(endswith(why, " UTC; viewer has it"));
}

TEST(nonsense_is_a_mark) {
        _cleanup_(poison_done) Poison p = {};
        int root = tree_new();

        tree_put("/run/gpuvm/poisoned/0000:01:00.0", "");
        ASSERT_EQ(poison_find(root, &gpu, &p), 1);
        ASSERT(!poison_is_stuck(&p));
}

TEST(is_strict) {
        _cleanup_(poison_done) Poison p = {};

        ASSERT_EQ(poison_parse("why\n12 99\n", &p), 0);
        ASSERT_STREQ(p.why, "why");
        ASSERT_EQ(p.child, 12);
        ASSERT_EQ(p.start, 99);
        poison_done(&p);
        ASSERT_EQ(poison_parse("why\n12\n", &p), -EBADMSG);
        ASSERT_EQ(poison_parse("why\n12 99 1\n", &p), -EBADMSG);
        ASSERT_EQ(poison_parse("why\n-1 99\n", &p), -EBADMSG);
        ASSERT_EQ(poison_parse("why\n", &p), -EBADMSG);
        ASSERT_EQ(poison_parse("why\n1 2\nmore\n", &p), -EBADMSG);
}
