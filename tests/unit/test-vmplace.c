/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "strv.h"
#include "tests/tap.h"
#include "tests/tree.h"
#include "vmplace.h"

#define GIB UINT64_C(1048576) /* in KiB */

/* Two processors of four cores with two threads each. */
static VmNode nodes[] = {
        { .id = 0, .cpus = (char *) "0-3,8-11", .free_kib = 20 * GIB, .free_2m = 1024 },
        { .id = 1, .cpus = (char *) "4-7,12-15", .free_kib = 60 * GIB, .free_2m = 4096, .free_1g = 8 },
};
static char *cores[] = { (char *) "0,8",  (char *) "1,9",  (char *) "2,10",
                         (char *) "3,11", (char *) "4,12", (char *) "5,13",
                         (char *) "6,14", (char *) "7,15", NULL };

static VmTopology two_nodes(void) {
        return (VmTopology){ .nodes = nodes, .n_nodes = 2, .cores = cores };
}

static VmPlace place(const VmTopology *t, VmPlaceWish w) {
        _cleanup_free_ char *said = NULL;
        VmPlace p = {};
        int r = vmplace_make(t, &w, &p, &said);

        if (r < 0)
                tap_stop(EXIT_FAILURE, __LINE__, "%d: %s", r, strna(said));
        return p;
}

static void refused(const VmTopology *t, VmPlaceWish w, int error, const char *words) {
        _cleanup_free_ char *said = NULL;
        VmPlace p;

        ASSERT_EQ(vmplace_make(t, &w, &p, &said), error);
        if (!said || !strstr(said, words))
                tap_stop(EXIT_FAILURE, __LINE__, "'%s' lacks '%s'", strna(said), words);
}

TEST(near_its_gpu_where_it_fits) {
        const VmTopology t = two_nodes();
        _cleanup_(vmplace_done) VmPlace p =
                        place(&t, (VmPlaceWish){ .cpus = 8, .memory_kib = 32 * GIB, .node = 1 });

        ASSERT_EQ(p.node, 1);
        ASSERT_STREQ(p.cpus, "4-7,12-15");
        ASSERT(!p.pins);
        ASSERT_STREQ(p.why, "where its GPU is");
}

TEST(anywhere_where_it_does_not) {
        const VmTopology t = two_nodes(), one = { .nodes = nodes, .n_nodes = 1, .cores = cores };
        VmPlace p = place(&t, (VmPlaceWish){ .cpus = 4, .memory_kib = 21 * GIB, .node = 0 });

        ASSERT(p.node == -1 && !p.cpus && strstr(p.why, "memory"));
        p = place(&t, (VmPlaceWish){ .cpus = 9, .memory_kib = GIB, .node = 0 });
        ASSERT(p.node == -1 && !p.cpus && strstr(p.why, "CPUs"));
        p = place(&t, (VmPlaceWish){ .cpus = 4, .memory_kib = GIB, .node = -1 });
        ASSERT(p.node == -1 && !p.cpus && !p.why);
        p = place(&one, (VmPlaceWish){ .cpus = 4, .memory_kib = GIB, .node = 0 });
        ASSERT(p.node == -1 && !p.cpus && !p.why);
}

TEST(pages) {
        const VmTopology t = two_nodes(), none = {};
        _cleanup_(vmplace_done) VmPlace p =
                        place(&t,
                              (VmPlaceWish){ .cpus = 4, .memory_kib = 8 * GIB, .page_kib = GIB, .node = 1 });
        VmPlace q = place(&t,
                          (VmPlaceWish){ .cpus = 4, .memory_kib = 10 * GIB, .page_kib = 2048, .node = 1 });

        ASSERT_EQ(p.node, 1);
        /* Both nodes have enough together, the one of the GPU has not. */
        ASSERT(q.node == -1 && strstr(q.why, "memory"));
        refused(&t, (VmPlaceWish){ .cpus = 4, .memory_kib = 9 * GIB, .page_kib = GIB, .node = -1 }, -ENOSPC,
                "needs 9 hugepages of 1G, and 8 are free");
        refused(&t, (VmPlaceWish){ .cpus = 4, .memory_kib = GIB + 4, .page_kib = GIB, .node = -1 }, -EINVAL,
                "no whole number");
        refused(&none, (VmPlaceWish){ .cpus = 4, .memory_kib = GIB, .page_kib = 2048, .node = -1 }, -ENOSPC,
                "0 are free");
}

TEST(pages_that_are_going_to_be_free) {
        VmTopology t = two_nodes();
        VmPlaceWish w = { .cpus = 4, .memory_kib = 12 * GIB, .page_kib = 2048, .node = 1 };
        VmPlace p;

        refused(&t, w, -ENOSPC, "needs 6144 hugepages of 2M, and 5120 are free");
        t.free_2m = 1024; /* wherever they are: not all of them there */
        p = place(&t, w);
        ASSERT(p.node == -1 && strstr(p.why, "memory"));
        refused(&t, (VmPlaceWish){ .cpus = 4, .memory_kib = 9 * GIB, .page_kib = GIB, .node = -1 }, -ENOSPC,
                "8 are free");
        t.free_1g = 1;
        p = place(&t, (VmPlaceWish){ .cpus = 4, .memory_kib = 9 * GIB, .page_kib = GIB, .node = -1 });
        ASSERT_EQ(p.node, -1);
}

static void pinned(const VmPlace *p, unsigned n, const char *want) {
        _cleanup_strv_ char **l = NULL;
        _cleanup_free_ char *text = NULL;

        for (unsigned i = 0; i < n; i++)
                ASSERT_EQ(strv_extendf(&l, "%u", p->pins[i]), 0);
        text = strv_join(l, ",");
        ASSERT_STREQ(text, want);
}

TEST(a_cpu_for_each) {
        static char *others[] = { (char *) "5,13", (char *) "6", NULL };
        VmTopology t = two_nodes();
        _cleanup_(vmplace_done) VmPlace any = {}, near = {}, beside = {};

        any = place(&t, (VmPlaceWish){ .cpus = 3, .memory_kib = GIB, .node = -1, .pin = true });
        pinned(&any, 3, "1,9,2");
        near = place(&t, (VmPlaceWish){ .cpus = 4, .memory_kib = GIB, .node = 1, .pin = true });
        pinned(&near, 4, "4,12,5,13");
        t.pinned = others;
        beside = place(&t, (VmPlaceWish){ .cpus = 4, .memory_kib = GIB, .node = 1, .pin = true });
        pinned(&beside, 4, "4,12,7,15");
        refused(&t, (VmPlaceWish){ .cpus = 5, .memory_kib = GIB, .node = 1, .pin = true }, -ENOSPC,
                "4 CPUs are free to be pinned where its GPU is, and 5 are wanted");
        refused(&t, (VmPlaceWish){ .cpus = 15, .memory_kib = GIB, .node = -1, .pin = true }, -ENOSPC,
                "10 CPUs are free");
}

TEST(lists) {
        ASSERT(vmplace_has_cpu("0-3,8", 3));
        ASSERT(vmplace_has_cpu("0-3,8", 8));
        ASSERT(!vmplace_has_cpu("0-3,8", 4));
        ASSERT(!vmplace_has_cpu("", 0));
        ASSERT(!vmplace_has_cpu("3-1", 2));
        ASSERT(!vmplace_has_cpu("0-99999999999999999999", 2));
}

TEST(as_the_kernel_tells) {
        _cleanup_(vmtopology_done) VmTopology t = {}, empty = {};
        int root = tree_new();

        ASSERT_EQ(vmplace_read(root, &empty), 0);
        ASSERT(empty.n_nodes == 0 && !empty.cores);
        tree_put("/sys/devices/system/node/online", "0-1\n");
        tree_put("/sys/devices/system/node/node0/cpulist", "0-1\n");
        tree_put("/sys/devices/system/node/node1/cpulist", "2-3\n");
        tree_put("/sys/devices/system/node/node1/meminfo",
                 "Node 1 MemTotal:       4096 kB\nNode 1 MemFree:        1000 kB\nNode 1 Inactive(file):   24 kB\n");
        tree_put("/sys/devices/system/node/node1/hugepages/hugepages-2048kB/free_hugepages", "7\n");
        tree_put("/sys/devices/system/cpu/online", "0-3\n");
        tree_put("/sys/devices/system/cpu/cpu0/topology/thread_siblings_list", "0,2\n");
        tree_put("/sys/devices/system/cpu/cpu2/topology/thread_siblings_list", "0,2\n");
        ASSERT_EQ(vmplace_read(root, &t), 0);
        ASSERT_EQ(t.n_nodes, 2);
        ASSERT_STREQ(t.nodes[0].cpus, "0-1");
        ASSERT_EQ(t.nodes[0].free_kib, 0);
        ASSERT_EQ(t.nodes[1].free_kib, 1024);
        ASSERT_EQ(t.nodes[1].free_2m, 7);
        ASSERT_EQ(strv_length(t.cores), 3);
        ASSERT_STREQ(t.cores[0], "0,2");
        ASSERT_STREQ(t.cores[1], "1");
        ASSERT_STREQ(t.cores[2], "3");
}
