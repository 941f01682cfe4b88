/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fs.h"
#include "tests/guest.h"
#include "vmseed.h"

#define SEED "/srv/test-seed.iso"

/* With such a file of the machine's, and a seed. */
static bool has_work(const char *lines) {
        Metadata m = { .kind = (char *) "worker", .seed = (char *) SEED };
        _cleanup_(vmseed_done) VmSeed s = {};

        tree_put("/etc/gpuvm/vms/test.vm", lines);
        ASSERT_EQ(vmseed_init(&s, tree_root, "test", &m), 0);
        ASSERT_EQ(vmseed_wait_usec(&s), s.path ? 0 : UINT64_MAX);
        return s.path;
}

TEST(secrets_are_taken_away_and_nothing_else) {
        (void) tree_new();
        ASSERT(!has_work("[Vm]\nKind=worker\n[Guest]\nJoin=/root/join\n")); /* there is no seed any more */
        tree_put("/srv/test-seed.iso", "secret");
        ASSERT(has_work("[Vm]\nKind=worker\n[Guest]\nJoin=/root/join\n"));
        ASSERT(has_work("[Vm]\nKind=talos\n[Talos]\nMachineConfig=/root/worker.yaml\n"));
        ASSERT(has_work("[Vm]\nKind=llm\n[Llm]\nApiKeyFile=/root/key\n"));
        ASSERT(has_work("[Vm]\nKind=llm\n[Llm]\nHfTokenFile=/root/token\n"));
        ASSERT(!has_work("[Vm]\nKind=llm\n"));
        ASSERT(!has_work("[Vm]\nKind=debian\n[Guest]\nUserData=/root/user-data\n"));
}

TEST(the_guest_decides_when) {
        Metadata talos = { .kind = (char *) "talos", .seed = (char *) SEED };
        _cleanup_(virt_closep) Virt *v = connect_to_guest();
        _cleanup_(vmseed_done) VmSeed s = {};

        tree_put("/agent", "");
        tree_put("/srv/test-seed.iso", "secret");
        tree_put("/etc/gpuvm/vms/test.vm", "[Vm]\nKind=talos\n[Talos]\nMachineConfig=/root/worker.yaml\n");
        ASSERT_EQ(vmseed_init(&s, tree_root, "test", &talos), 0);
        s.talos = false;
        ASSERT_EQ(vmseed_look(&s, v), 0); /* cloud-init has not begun */
        ASSERT(vmseed_wait_usec(&s) > 0);
        s.talos = true;
        ASSERT_EQ(vmseed_look(&s, v), 0); /* it is not time */
        s.next_usec = 0;
        ASSERT_EQ(vmseed_look(&s, v), -ENXIO); /* no pool has it, and it stays in the drive */
        ASSERT_EQ(fs_exists(tree_root, SEED), 1);
        s.next_usec = 0;
        ASSERT_EQ(fs_remove(tree_root, SEED), 1);
        ASSERT_EQ(vmseed_look(&s, v), 1); /* somebody was quicker */
        ASSERT_EQ(vmseed_wait_usec(&s), UINT64_MAX);
}
