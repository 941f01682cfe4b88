/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "account.h"
#include "tests/tree.h"

static int make_root(const char *passwd, const char *group) {
        int root = tree_new();

        tree_put("/etc/passwd", passwd);
        tree_put("/etc/group", group);
        return root;
}

TEST(by_list_by_own_group_or_not) {
        int root = make_root("root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/:/bin/sh\n"
                             "anna:x:1001:110::/:/bin/sh\n",
                             "libvirt:x:109:bob,ann\nkvm:x:110:\nempty:x:111\n");
        uid_t uid = 0;
        gid_t gid = 0;

        ASSERT_EQ(account_find_user(root, "anna", &uid, &gid), 1);
        ASSERT_EQ(uid, 1001);
        ASSERT_EQ(gid, 110);
        ASSERT_EQ(account_find_user(root, "an", &uid, &gid), 0);
        ASSERT_EQ(account_is_member(root, "ann", "libvirt"), 1);
        ASSERT_EQ(account_is_member(root, "ann", "kvm"), 0);
        ASSERT_EQ(account_is_member(root, "anna", "libvirt"), 0);
        ASSERT_EQ(account_is_member(root, "anna", "kvm"), 1);
        ASSERT_EQ(account_is_member(root, "ann", "empty"), 0);
        ASSERT_EQ(account_is_member(root, "ann", "nogroup"), -ENOENT);
        ASSERT_EQ(account_is_member(root, "bob", "libvirt"), -ESRCH);
}

TEST(by_id) {
        int root = make_root("bob\nroot:x:0:0:root:/root:/bin/sh\nann:x:1000:1:0:/:/bin/sh\n"
                             "second:x:1000:1::/:/bin/sh\n",
                             "");
        _cleanup_free_ char *ann = NULL, *who = NULL, *none = NULL;

        ASSERT_EQ(account_find_name(root, 1000, &ann), 1);
        ASSERT_STREQ(ann, "ann");
        ASSERT_EQ(account_find_name(root, 0, &who), 1);
        ASSERT_STREQ(who, "root");
        ASSERT_EQ(account_find_name(root, 100, &none), 0);
        ASSERT_EQ(account_find_name(root, UINT32_MAX, &none), 0);
        ASSERT(!none);
}

TEST(damaged_lines_are_told) {
        int root = make_root("ann:x:one:1000\nbob\ncat:x:1:2\n", "g:x:\n");
        uid_t uid;
        gid_t gid;

        ASSERT_EQ(account_find_user(root, "ann", &uid, &gid), -EBADMSG);
        ASSERT_EQ(account_find_user(root, "bob", &uid, &gid), -EBADMSG);
        ASSERT_EQ(account_is_member(root, "cat", "g"), -EBADMSG);
}
