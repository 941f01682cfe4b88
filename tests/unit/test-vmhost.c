/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fs.h"
#include "tests/netrecord.h"
#include "tests/tree.h"
#include "vmhost.h"

TEST(lists_of_cpus) {
        ASSERT_EQ(vmhost_count_cpus("0"), 1);
        ASSERT_EQ(vmhost_count_cpus("0-15"), 16);
        ASSERT_EQ(vmhost_count_cpus("0-3,8,10-11"), 7);
        ASSERT_EQ(vmhost_count_cpus(""), 0);
        ASSERT_EQ(vmhost_count_cpus("all"), 0);
        ASSERT_EQ(vmhost_count_cpus("5-3"), 0);
        ASSERT_EQ(vmhost_count_cpus("0-99999999999"), 0);
}

TEST(lines_of_meminfo) {
        static const char text[] =
                        "MemTotal:       65536 kB\nMemFree:           12 kB\nMemAvailable:   32768 kB\n";

        ASSERT_EQ(vmhost_meminfo(text, "MemTotal"), 65536);
        ASSERT_EQ(vmhost_meminfo(text, "MemAvailable"), 32768);
        ASSERT_EQ(vmhost_meminfo(text, "Mem"), 0);
        ASSERT_EQ(vmhost_meminfo(text, "SwapTotal"), 0);
}

/* A recorded machine, read with the standard settings. */
static VmHost recorded(const char *name) {
        _cleanup_free_ char *path = NULL;
        _cleanup_(conf_done) Conf c = {};
        _cleanup_close_ int root = -EBADF;
        VmHost h = {};

        ASSERT_EQ(str_printf(&path, "%s/tests/hosts/%s", getenv("GPUVM_SOURCE") ?: ".", name), 0);
        root = fs_open_root(path);
        if (root < 0)
                SKIP("no recorded machine %s", name);
        ASSERT_EQ(conf_init(&c), 0);
        ASSERT_EQ(vmhost_read(root, &c, true, &h), 0);
        return h;
}

TEST(a_card_goes_with_its_audio) {
        _cleanup_(vmhost_done) VmHost h = recorded("intel-one-gpu");
        char *const theirs[] = { h.gpus[0].name, NULL };

        ASSERT_EQ(h.n_gpus, 1);
        ASSERT_EQ(h.gpus[0].n_functions, 2);
        ASSERT_EQ(h.gpus[0].functions[1].function, 1);
        ASSERT(h.gpus[0].arch != GPU_ARCH_UNKNOWN);
        ASSERT(!h.gpus[0].used_by && !h.gpus[0].busy && !h.gpus[0].asleep);
        ASSERT_EQ(vmhost_mark_used(&h, NULL, "talos-01"), 0);
        ASSERT(!h.gpus[0].used_by);
        ASSERT_EQ(vmhost_mark_used(&h, theirs, "talos-01"), 0);
        ASSERT_STREQ(h.gpus[0].used_by, "talos-01");
}

TEST(a_card_of_one_that_is_off_then_is_shared) {
        _cleanup_(vmhost_done) VmHost h = recorded("intel-one-gpu");
        char *const theirs[] = { h.gpus[0].name, NULL }, *const apart[] = { (char *) "two", NULL };

        h.apart = apart;
        ASSERT_EQ(vmhost_mark_used(&h, theirs, "two"), 0);
        ASSERT_STREQ(h.gpus[0].shared, "two");
        ASSERT(!h.gpus[0].used_by);
        ASSERT_EQ(vmhost_mark_used(&h, theirs, "one"), 0);
        ASSERT_STREQ(h.gpus[0].used_by, "one");
}

TEST(memory_of_one_that_is_off_then_is_free) {
        VmNode nodes[] = { { .id = 0, .free_kib = 10 }, { .id = 2, .free_2m = 1 } };
        VmHost h = { .memory = 1000, .available = 100, .topology = { .nodes = nodes, .n_nodes = 2 } };

        vmhost_add_free(&h, &(VmMemory){ .kib = 300, .node = -1 });
        ASSERT_EQ(h.available, 400);
        vmhost_add_free(&h, &(VmMemory){ .kib = 200, .node = 0 });
        ASSERT_EQ(h.available, 600);
        ASSERT(nodes[0].free_kib == 210 && nodes[1].free_kib == 0);
        vmhost_add_free(&h, &(VmMemory){ .kib = 8 * 2048, .page_kib = 2048, .node = 2 });
        vmhost_add_free(&h, &(VmMemory){ .kib = 3 * 1048576, .page_kib = 1048576, .node = 0 });
        ASSERT_EQ(h.available, 600); /* pages are nobody else's */
        ASSERT(nodes[1].free_2m == 9 && nodes[0].free_1g == 3 && h.topology.free_2m == 0);
        vmhost_add_free(&h, &(VmMemory){ .kib = 2 * 2048, .page_kib = 2048, .node = -1 });
        ASSERT_EQ(h.topology.free_2m, 2);
        vmhost_add_free(&h, &(VmMemory){ .kib = 1000, .node = -1 });
        ASSERT_EQ(h.available, 1000); /* all that there is */
}

TEST(who_has_its_audio_has_the_card) {
        _cleanup_(vmhost_done) VmHost h = recorded("intel-one-gpu");
        char *const near[] = { (char *) "0000:01:00.1", NULL },
                    *const far[] = { (char *) "0000:00:1f.3", NULL };

        ASSERT_EQ(vmhost_mark_used(&h, far, "theirs"), 0);
        ASSERT(!h.gpus[0].used_by);
        ASSERT_EQ(vmhost_mark_used(&h, near, "theirs"), 0);
        ASSERT_STREQ(h.gpus[0].used_by, "theirs");
}

TEST(a_board_with_switches_is_one) {
        _cleanup_(vmhost_done) VmHost h = recorded("nvswitch-board");

        ASSERT(h.n_gpus > 1);
        ASSERT(strstr(h.gpus[0].refused, "NVSwitches") && strstr(h.gpus[1].refused, "gpu attach"));
}

TEST(without_an_iommu_none_can_go) {
        _cleanup_(vmhost_done) VmHost h = recorded("no-iommu");

        ASSERT(h.n_gpus > 0);
        ASSERT(strstr(h.gpus[0].refused, "IOMMU"));
}

TEST(who_shares_a_group_with_the_network_is_refused) {
        _cleanup_(vmhost_done) VmHost h = recorded("gpu-with-nic");

        ASSERT(h.n_gpus > 0);
        ASSERT(h.gpus[0].refused && *h.gpus[0].refused);
}

/* What a recorded network is to new machines, with eth0 as what gpuvm-bridge has found. */
static void look(const char *record, const char *mode, VmHost *ret) {
        _cleanup_free_ char *data = NULL, *said = NULL;
        _cleanup_(conf_done) Conf c = {};
        int root = tree_new();
        size_t size;

        *ret = (VmHost){};
        data = netrecord_read(record, &size);
        ASSERT_EQ(fs_write_atomic(root, NETSTATE_RECORD, data, size, 0644), 0);
        ASSERT_EQ(str_printf(&said, "{\"mode\":\"%s\",\"bridge\":\"eth0\"}", mode), 0);
        tree_put("/run/gpuvm/phases/bridge.json", said);
        ASSERT_EQ(conf_init(&c), 0);
        ASSERT_EQ(vmhost_read(root, &c, false, ret), 0);
}

TEST(a_bridged_host) {
        VmHost h;

        look("plain", "bridged", &h);
        ASSERT(!h.onlink);
        ASSERT_STREQ(h.gateway, "192.0.2.1");
        ASSERT_STREQ(h.gateway6, "fe80::1");
        ASSERT_STREQ(h.networks[0], "192.0.2.10/24");
        vmhost_done(&h);
}

TEST(a_bridged_host_of_single_addresses) {
        VmHost h;

        look("onlink", "bridged", &h);
        ASSERT(h.onlink);
        ASSERT_STREQ(h.gateway, "198.51.100.1");
        vmhost_done(&h);
}

TEST(a_host_that_routes_is_the_gateway) {
        VmHost h;

        look("onlink", "routed", &h);
        ASSERT(!h.onlink);
        ASSERT_STREQ(h.gateway, "203.0.113.5");
        ASSERT_STREQ(h.networks[0], "203.0.113.5/32");
        vmhost_done(&h);
}
