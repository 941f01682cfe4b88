/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "strv.h"
#include "tests/tap.h"
#include "vmplan.h"

#define UUID "f3a1c2d4-0f5e-4b7a-9c3d-1e2f3a4b5c6d"

static VmGpu gpus[] = {
        { .name = "0000:01:00.0",
          .functions = { { 0, 1, 0, 0 }, { 0, 1, 0, 1 } },
          .n_functions = 2,
          .used_by = (char *) "talos-01" },
        { .name = "0000:02:00.0",
          .functions = { { 0, 2, 0, 0 } },
          .n_functions = 1,
          .refused = (char *) "its group has the root disk" },
        { .name = "0000:03:00.0", .functions = { { 0, 3, 0, 0 } }, .n_functions = 1 },
        { .name = "0000:04:00.0", .functions = { { 0, 4, 0, 0 } }, .n_functions = 1 },
};
static char *names[] = { (char *) "talos-01", (char *) "talos-03", NULL };
static char *addresses[] = { (char *) "192.0.2.7/24", NULL };
static char *macs[] = { (char *) "52:54:00:00:00:01", NULL };

static char *dns[] = { (char *) "192.0.2.53", (char *) "2001:db8::53", NULL };

static VmHost host(void) {
        return (VmHost){
                .cpus = 16,
                .memory = 64 * 1024 * 1024,
                .available = 60 * 1024 * 1024,
                .disk_free = UINT64_C(500) << 30,
                .kvm = true,
                .network = NETWORK_BRIDGED,
                .bridge = (char *) "br0",
                .gateway = (char *) "192.0.2.1",
                .dns = dns,
                .gpus = gpus,
                .n_gpus = ELEMENTSOF(gpus),
                .names = names,
                .addresses = addresses,
                .macs = macs,
        };
}

static VmPlan plan(const VmHost *h, const VmWish *w) {
        _cleanup_free_ char *said = NULL;
        VmPlan p = {};
        int r = vmplan_make(h, w, UUID, &p, &said);

        if (r < 0)
                tap_stop(EXIT_FAILURE, __LINE__, "%d: %s", r, strna(said));
        return p;
}

static void refused(const VmHost *h, const VmWish *w, int error, const char *words) {
        _cleanup_free_ char *said = NULL;
        VmPlan p;

        ASSERT_EQ(vmplan_make(h, w, UUID, &p, &said), error);
        if (!said || !strstr(said, words))
                tap_stop(EXIT_FAILURE, __LINE__, "'%s' lacks '%s'", strna(said), words);
}

TEST(nothing_asked_for) {
        const VmHost h = host();
        const VmWish w = { .kind = "talos" };
        _cleanup_(vmplan_done) VmPlan p = plan(&h, &w);

        ASSERT_STREQ(p.name, "talos-02");
        ASSERT_EQ(p.cpus, 8);
        ASSERT_EQ(p.memory, 32 * 1024 * 1024);
        ASSERT_EQ(p.disk, UINT64_C(50) << 30);
        ASSERT_EQ(p.n_gpus, 1);
        ASSERT_STREQ(p.gpus[0]->name, "0000:03:00.0");
        ASSERT_STREQ(p.bridge, "br0");
        ASSERT(!p.network && !p.address && !p.gateway && !p.warning);
        ASSERT(strncmp(p.mac, "52:54:00:", 9) == 0);
        ASSERT_STREQ(p.uuid, UUID);
        for (size_t i = 0; i < p.n_choices; i++)
                ASSERT(p.choices[i].what && p.choices[i].value && p.choices[i].why);
        ASSERT_STREQ(p.choices[0].why, "the lowest that is free");
}

TEST(the_lowest_address_that_nobody_has) {
        char *offers[] = { (char *) "192.0.2.7/24", (char *) "192.0.2.9/24", NULL };
        char *all[] = { (char *) "192.0.2.9", (char *) "192.0.2.7/24", NULL };
        VmHost h = host();
        const VmWish w = { .kind = "debian" }, asked = { .kind = "debian", .ip = "192.0.2.8/24" },
                     elsewhere = { .kind = "debian", .network = "lan" };
        VmPlan p;

        h.offers = offers;
        p = plan(&h, &w);
        ASSERT_STREQ(p.address, "192.0.2.9/24"); /* the other one was claimed meanwhile */
        ASSERT_STREQ(p.gateway, "192.0.2.1");
        vmplan_done(&p);
        p = plan(&h, &asked);
        ASSERT_STREQ(p.address, "192.0.2.8/24");
        vmplan_done(&p);
        p = plan(&h, &elsewhere);
        ASSERT(!p.address);
        vmplan_done(&p);
        h.addresses = all;
        p = plan(&h, &w);
        ASSERT(!p.address && !p.gateway);
        vmplan_done(&p);
        h.addresses = addresses;
        h.gateway = NULL;
        p = plan(&h, &w);
        ASSERT(!p.address);
        vmplan_done(&p);
}

TEST(an_address_is_the_same_however_it_is_written) {
        char *taken[] = { (char *) "2001:db8::7", (char *) "192.0.2.7/24", NULL };
        VmHost h = host();

        h.addresses = taken;
        refused(&h, &(VmWish){ .kind = "debian", .ip = "2001:DB8:0:0::7/64" }, -EEXIST, "belongs to another");
        refused(&h, &(VmWish){ .kind = "debian", .ip = "192.0.2.7/32" }, -EEXIST, "belongs to another");
}

/* wish: its address and gateway, as they come to be. */
static void gets(const VmHost *h, const VmWish *wish, const char *address, const char *gateway) {
        VmWish w = *wish;
        VmPlan p;

        w.kind = "debian";
        p = plan(h, &w);
        ASSERT_STREQ(strna(p.address), strna(address));
        ASSERT_STREQ(strna(p.gateway), strna(gateway));
        vmplan_done(&p);
}

TEST(an_address_has_the_prefix_length_of_its_network) {
        char *networks[] = { (char *) "192.0.2.2/24", (char *) "2001:db8::2/64", NULL };
        VmHost h = host();

        h.networks = networks;
        h.gateway6 = (char *) "fe80::1";
        gets(&h, &(VmWish){ .ip = "192.0.2.8" }, "192.0.2.8/24", "192.0.2.1");
        gets(&h, &(VmWish){ .ip = "2001:db8::8" }, "2001:db8::8/64", "fe80::1");
        gets(&h, &(VmWish){ .ip = "192.0.2.8/25" }, "192.0.2.8/25", "192.0.2.1");
        refused(&h, &(VmWish){ .kind = "debian", .ip = "198.51.100.8" }, -EINVAL, "as 198.51.100.8/24");
        refused(&h, &(VmWish){ .kind = "debian", .ip = "2001:db8:1::8" }, -EINVAL, "as 2001:db8:1::8/64");
        refused(&h, &(VmWish){ .kind = "debian", .ip = "192.0.2.8", .network = "lan" }, -EINVAL,
                "as 192.0.2.8/24");
        refused(&h, &(VmWish){ .kind = "debian", .ip = "192.0.2.7" }, -EEXIST, "belongs to another");
}

TEST(a_gateway_is_of_the_address_s_family) {
        char *offers[] = { (char *) "2001:db8::9/64", (char *) "192.0.2.9/24", NULL };
        VmHost h = host();

        refused(&h, &(VmWish){ .kind = "debian", .ip = "2001:db8::8/64" }, -EINVAL, "no gateway of IPv6");
        refused(&h, &(VmWish){ .kind = "debian", .ip = "2001:db8::8/64", .gateway = "192.0.2.1" }, -EINVAL,
                "no gateway for 2001:db8::8/64");
        refused(&h, &(VmWish){ .kind = "debian", .ip = "192.0.2.8/24", .gateway = "fe80::1" }, -EINVAL,
                "no gateway for 192.0.2.8/24");
        gets(&h, &(VmWish){ .ip = "2001:db8::8/64", .gateway = "2001:db8::1" }, "2001:db8::8/64",
             "2001:db8::1");
        h.offers = offers;
        gets(&h, &(VmWish){}, "192.0.2.9/24", "192.0.2.1");
        h.gateway = NULL;
        h.gateway6 = (char *) "2001:db8::1";
        refused(&h, &(VmWish){ .kind = "debian", .ip = "192.0.2.8/24" }, -EINVAL, "no gateway of IPv4");
        gets(&h, &(VmWish){}, "2001:db8::9/64", "2001:db8::1");
}

/* Nothing is leased there, and the host is the way out. */
TEST(a_host_that_routes) {
        char *networks[] = { (char *) "198.51.100.10/32", NULL };
        VmHost h = host();
        VmPlan p;

        h.network = NETWORK_ROUTED;
        h.networks = networks;
        h.gateway = (char *) "198.51.100.10";
        gets(&h, &(VmWish){ .ip = "198.51.100.20" }, "198.51.100.20/32", "198.51.100.10");
        gets(&h, &(VmWish){ .ip = "198.51.100.20/32", .gateway = "203.0.113.1" }, "198.51.100.20/32",
             "203.0.113.1");
        refused(&h, &(VmWish){ .kind = "debian" }, -EINVAL, "--ip=x.x.x.x");
        refused(&h, &(VmWish){ .kind = "debian", .ip = "2001:db8::8/64" }, -EINVAL, "none of IPv6");
        gets(&h, &(VmWish){ .network = "lan" }, NULL, NULL);
        p = plan(&h, &(VmWish){ .kind = "debian", .ip = "198.51.100.20", .mac = "00:50:56:00:ab:cd" });
        ASSERT(strstr(p.warning, "routes 198.51.100.20/32 by its own MAC address"));
        vmplan_done(&p);
}

/* Virtual MAC addresses: what is known of an address is known to the hoster. */
TEST(a_bridged_host_of_single_addresses) {
        static const char both[] = "--mac=00:50:56:xx:xx:xx and --ip=x.x.x.x";
        VmHost h = host();

        h.onlink = true;
        refused(&h, &(VmWish){ .kind = "talos" }, -EINVAL, both);
        refused(&h, &(VmWish){ .kind = "talos", .ip = "203.0.113.7" }, -EINVAL, both);
        refused(&h, &(VmWish){ .kind = "talos", .mac = "00:50:56:00:ab:cd" }, -EINVAL, both);
        gets(&h, &(VmWish){ .ip = "203.0.113.7", .mac = "00:50:56:00:AB:CD" }, "203.0.113.7/32", "192.0.2.1");
        gets(&h, &(VmWish){ .network = "lan" }, NULL, NULL);
}

TEST(names_by_kind) {
        const VmHost h = host();
        const VmWish desktop = { .kind = "ubuntu" }, server = { .kind = "ubuntu", .server = true };
        _cleanup_(vmplan_done) VmPlan p = plan(&h, &desktop), q = plan(&h, &server);

        ASSERT_STREQ(p.name, "ubuntu-desktop-01");
        ASSERT_STREQ(q.name, "ubuntu-01");
}

TEST(all_asked_for) {
        char *const wanted[] = { (char *) "0000:04:00.0", (char *) "0000:03:00.0", NULL };
        const VmHost h = host();
        const VmWish w = { .kind = "debian",
                           .name = "box",
                           .cpus = "4",
                           .memory = "8G",
                           .disk = "100",
                           .ip = "192.0.2.8/24",
                           .gateway = "192.0.2.254",
                           .mac = "52:54:00:0a:0b:0c",
                           .network = "lan",
                           .gpus = wanted };
        _cleanup_(vmplan_done) VmPlan p = plan(&h, &w);

        ASSERT_STREQ(p.name, "box");
        ASSERT_EQ(p.cpus, 4);
        ASSERT_EQ(p.memory, 8 * 1024 * 1024);
        ASSERT_EQ(p.disk, UINT64_C(100) << 30);
        ASSERT_EQ(p.n_gpus, 2);
        ASSERT_STREQ(p.gpus[0]->name, "0000:04:00.0");
        ASSERT_STREQ(p.network, "lan");
        ASSERT(!p.bridge);
        ASSERT_STREQ(p.address, "192.0.2.8/24");
        ASSERT_STREQ(p.gateway, "192.0.2.254");
        ASSERT_STREQ(p.mac, "52:54:00:0a:0b:0c");
        ASSERT_STREQ(p.choices[0].why, "asked for");
        ASSERT_STREQ(p.choices[p.n_choices - 1].what, "dns");
        ASSERT_STREQ(p.choices[p.n_choices - 1].value, "192.0.2.53 2001:db8::53");
}

TEST(small_hosts_get_the_least) {
        const VmWish w = { .kind = "talos", .no_gpu = true };
        VmHost h = host();
        _cleanup_(vmplan_done) VmPlan p = {};

        h.cpus = 2;
        h.memory = 3 * 1024 * 1024;
        h.network = NETWORK_NAT;
        h.bridge = NULL;
        p = plan(&h, &w);
        ASSERT_EQ(p.cpus, 2);
        ASSERT_EQ(p.memory, 2048 * 1024);
        ASSERT_EQ(p.n_gpus, 0);
        ASSERT_STREQ(p.network, "default");
}

TEST(gpus_by_number_and_model) {
        static char *two[] = { (char *) "2 x RTX 4090", NULL }, *none[] = { (char *) "H100", NULL },
                    *mixed[] = { (char *) "0000:03:00.0", (char *) "2", NULL };
        const VmWish w = { .kind = "talos", .gpus = two };
        VmHost h = host();
        _cleanup_(vmplan_done) VmPlan p = {};

        gpus[0].model = gpus[3].model = (char *) "GeForce RTX 4090";
        p = plan(&h, &w);
        ASSERT_EQ(p.n_gpus, 0);
        ASSERT_STREQ(p.gpu_wish_text, "2 x RTX 4090");
        ASSERT(vmplan_has_gpu(&p));
        ASSERT(vmplan_may_have(&p, &gpus[0]));
        ASSERT(!vmplan_may_have(&p, &gpus[2]));
        refused(&h, &(VmWish){ .kind = "talos", .gpus = none }, -EINVAL, "0 such GPUs");
        refused(&h, &(VmWish){ .kind = "talos", .gpus = mixed }, -EINVAL, "Either GPUs");
        h.available = h.memory / 2;
        refused(&h, &w, -ENOSPC, "not free");
        gpus[0].model = gpus[3].model = NULL;
}

TEST(no_gpu_is_free) {
        const VmWish w = { .kind = "talos" };
        VmHost h = host();
        _cleanup_(vmplan_done) VmPlan p = {};

        h.n_gpus = 2;
        p = plan(&h, &w);
        ASSERT_EQ(p.n_gpus, 0);
}

/* Two cards behind one bridge, and one for itself. */
static char *pair[] = { (char *) "0000:01:00.0", (char *) "0000:01:00.1", (char *) "0000:02:00.0", NULL };
static char *alone[] = { (char *) "0000:03:00.0", NULL };

static VmHost host_with_pair(VmGpu g[static 3]) {
        VmHost h = host();

        g[0] = (VmGpu){ .name = "0000:01:00.0", .members = pair };
        g[1] = (VmGpu){ .name = "0000:02:00.0", .members = pair };
        g[2] = (VmGpu){ .name = "0000:03:00.0", .members = alone };
        h.gpus = g;
        h.n_gpus = 3;
        return h;
}

static const char *gpu_line(const VmPlan *p, bool why) {
        for (size_t i = 0; i < p->n_choices; i++)
                if (streq(p->choices[i].what, "gpu"))
                        return why ? p->choices[i].why : p->choices[i].value;
        return "";
}

TEST(a_group_goes_whole) {
        char *const second[] = { (char *) "0000:02:00.0", NULL }, *const both[] = { pair[2], pair[0], NULL };
        const VmWish any = { .kind = "talos" }, one = { .kind = "talos", .gpus = second },
                     all = { .kind = "talos", .gpus = both };
        _cleanup_(vmplan_done) VmPlan p = {}, named = {}, whole = {};
        VmGpu g[3];
        VmHost h = host_with_pair(g);

        p = plan(&h, &any);
        ASSERT_STREQ(gpu_line(&p, false), "0000:01:00.0 0000:02:00.0");
        ASSERT_STREQ(gpu_line(&p, true), "the first that are free, of one IOMMU group");
        named = plan(&h, &one);
        ASSERT_STREQ(gpu_line(&named, false), "0000:01:00.0 0000:02:00.0");
        ASSERT_STREQ(gpu_line(&named, true), "asked for, with all of the IOMMU group");
        whole = plan(&h, &all);
        ASSERT_EQ(whole.n_gpus, 2);
        ASSERT_STREQ(gpu_line(&whole, true), "asked for");
}

TEST(a_group_in_part_taken_stays) {
        char *const second[] = { (char *) "0000:02:00.0", NULL };
        const VmWish any = { .kind = "talos" }, one = { .kind = "talos", .gpus = second };
        _cleanup_(vmplan_done) VmPlan p = {}, busy = {};
        VmGpu g[3];
        VmHost h = host_with_pair(g);

        g[0].used_by = (char *) "theirs";
        p = plan(&h, &any);
        ASSERT_STREQ(gpu_line(&p, false), "0000:03:00.0");
        refused(&h, &one, -EBUSY,
                "GPU 0000:02:00.0 goes with all of its IOMMU group (0000:01:00.0, 0000:01:00.1, 0000:02:00.0), or "
                "not at all: GPU 0000:01:00.0 belongs to machine 'theirs'");
        g[0].used_by = NULL;
        g[0].busy = (char *) "Xorg (pid 812)";
        busy = plan(&h, &any);
        ASSERT_STREQ(gpu_line(&busy, false), "0000:03:00.0");
        refused(&h, &one, -EBUSY, "GPU 0000:01:00.0 is in use: Xorg (pid 812)");
        g[0].busy = NULL;
        g[0].refused = (char *) "its driver hangs";
        refused(&h, &one, -EBUSY, "GPU 0000:01:00.0 cannot go to a machine: its driver hangs");
}

/* Nobody can tell whether it is in use without waking it: it is no default, and its unit looks. */
TEST(one_that_sleeps_goes_when_named) {
        char *const third[] = { (char *) "0000:03:00.0", NULL };
        const VmWish any = { .kind = "talos" }, one = { .kind = "talos", .gpus = third };
        _cleanup_(vmplan_done) VmPlan p = {}, named = {};
        VmGpu g[3];
        VmHost h = host_with_pair(g);

        g[0].busy = (char *) "Xorg (pid 812)";
        g[2].asleep = true;
        p = plan(&h, &any);
        ASSERT_EQ(p.n_gpus, 0);
        ASSERT_STREQ(gpu_line(&p, true), "none is free");
        named = plan(&h, &one);
        ASSERT_EQ(named.n_gpus, 1);
}

TEST(one_of_a_machine_that_is_off_then) {
        char *const wanted[] = { (char *) "0000:03:00.0", NULL };
        const VmWish w = { .kind = "talos", .gpus = wanted };
        VmHost h = host();
        _cleanup_(vmplan_done) VmPlan p = {};

        gpus[2].shared = (char *) "other";
        gpus[2].busy = (char *) "qemu-system-x86 (7)";
        gpus[2].held = true;
        p = plan(&h, &w);
        ASSERT_EQ(p.n_gpus, 1);
        gpus[2].held = false; /* somebody of the host's */
        refused(&h, &w, -EBUSY, "in use");
        gpus[2].busy = NULL;
        gpus[2].used_by = (char *) "third";
        refused(&h, &w, -EBUSY, "'third'");
        gpus[2].shared = gpus[2].used_by = NULL;
}

TEST(what_cannot_be) {
        char *const used[] = { (char *) "0000:01:00.0", NULL },
                    *const kept[] = { (char *) "0000:02:00.0", NULL },
                    *const absent[] = { (char *) "0000:09:00.0", NULL },
                    *const twice[] = { (char *) "0000:03:00.0", (char *) "0000:03:00.0", NULL };
        VmHost h = host();

        refused(&h, &(VmWish){ .kind = "talos", .name = "talos-01" }, -EEXIST, "already");
        refused(&h, &(VmWish){ .kind = "talos", .name = "a/b" }, -EINVAL, "no name");
        refused(&h, &(VmWish){ .kind = "talos", .cpus = "many" }, -EINVAL, "--cpus");
        refused(&h, &(VmWish){ .kind = "talos", .cpus = "0" }, -EINVAL, "--cpus");
        refused(&h, &(VmWish){ .kind = "talos", .cpus = "17" }, -EINVAL, "16 that the host has");
        refused(&h, &(VmWish){ .kind = "talos", .memory = "much" }, -EINVAL, "--memory");
        refused(&h, &(VmWish){ .kind = "talos", .memory = "60G" }, -ENOSPC, "not free");
        refused(&h, &(VmWish){ .kind = "talos", .disk = "5" }, -EINVAL, "--disk");
        refused(&h, &(VmWish){ .kind = "talos", .gpus = used }, -EBUSY, "talos-01");
        refused(&h, &(VmWish){ .kind = "talos", .gpus = kept }, -EBUSY, "root disk");
        refused(&h, &(VmWish){ .kind = "talos", .gpus = absent }, -EINVAL, "no GPU");
        refused(&h, &(VmWish){ .kind = "talos", .gpus = twice }, -EINVAL, "twice");
        refused(&h, &(VmWish){ .kind = "talos", .gpus = twice, .no_gpu = true }, -EINVAL, "--no-gpu");
        refused(&h, &(VmWish){ .kind = "talos", .mac = "01:00:5e:00:00:01" }, -EINVAL, "MAC");
        refused(&h, &(VmWish){ .kind = "talos", .mac = "52:54:00:00:00:01" }, -EEXIST, "another machine");
        refused(&h, &(VmWish){ .kind = "talos", .ip = "192.0.2.8" }, -EINVAL, "as 192.0.2.8/24");
        refused(&h, &(VmWish){ .kind = "talos", .ip = "192.0.2.800" }, -EINVAL, "no address");
        refused(&h, &(VmWish){ .kind = "talos", .ip = "192.0.2.8/33" }, -EINVAL, "no address");
        refused(&h, &(VmWish){ .kind = "talos", .ip = "192.0.2.7/24" }, -EEXIST, "another machine");
        refused(&h, &(VmWish){ .kind = "talos", .gateway = "192.0.2.1" }, -EINVAL, "--ip");
        refused(&h, &(VmWish){ .kind = "talos", .ip = "192.0.2.8/24", .gateway = "nowhere" }, -EINVAL,
                "no gateway");
}

TEST(memory_without_a_gpu_need_not_be_free_now) {
        const VmHost h = host();
        const VmWish w = { .kind = "talos", .memory = "62G", .no_gpu = true };
        _cleanup_(vmplan_done) VmPlan p = plan(&h, &w);

        ASSERT_EQ(p.memory, 62 * 1024 * 1024);
}

TEST(a_disk_that_may_outgrow_the_room_is_told) {
        const VmHost h = host();
        const VmWish w = { .kind = "talos", .disk = "1T" };
        _cleanup_(vmplan_done) VmPlan p = plan(&h, &w);

        ASSERT(strstr(p.warning, "1024 GiB"));
}

TEST(near_its_gpu_and_pinned) {
        VmNode nodes[] = {
                { .id = 0, .cpus = (char *) "0-7", .free_kib = UINT64_C(1) << 30 },
                { .id = 1, .cpus = (char *) "8-15", .free_kib = UINT64_C(1) << 30, .free_2m = 4096 }
        };
        char *cores[] = { (char *) "0,1", (char *) "8,9", (char *) "10,11", NULL };
        VmGpu gpu = { .name = "0000:05:00.0",
                      .functions = { { 0, 5, 0, 0 } },
                      .n_functions = 1,
                      .numa_node = 1 };
        VmWish w = { .kind = "talos", .cpus = "4", .memory = "8G", .hugepages = "2M", .pin = true };
        VmHost h = host();
        VmPlan p;

        h.gpus = &gpu;
        h.n_gpus = 1;
        h.topology = (VmTopology){ .nodes = nodes, .n_nodes = 2, .cores = cores };
        p = plan(&h, &w);
        ASSERT_EQ(p.page, 2048);
        ASSERT_EQ(p.place.node, 1);
        ASSERT_EQ(p.place.pins[3], 11);
        vmplan_done(&p);
        w.hugepages = "4M";
        refused(&h, &w, -EINVAL, "'4M'");
        w.hugepages = "2M";
        w.memory = "16G";
        refused(&h, &w, -ENOSPC, "hugepages");
        w.hugepages = NULL;
        w.cpus = "5";
        refused(&h, &w, -ENOSPC, "to be pinned");
}

TEST(what_is_wrong_anywhere) {
        static const VmWish bad[] = {
                { .kind = "talos", .memory = "lots" },
                { .kind = "talos", .cpus = "many" },
                { .kind = "talos", .disk = "5" },
                { .kind = "talos", .ip = "192.0.2.700" },
                { .kind = "talos", .ip = "192.0.2.7", .gateway = "2001:db8::1" },
                { .kind = "talos", .mac = "01:00:00:00:00:00" },
                { .kind = "talos", .name = "a/b" },
                { .kind = "talos", .hugepages = "3M" },
                { .kind = "talos", .gateway = "192.0.2.1" },
        };
        static char *asked[] = { (char *) "0000:0f:00.0", NULL };
        const VmWish good[] = {
                { .kind = "talos" },
                { .kind = "debian", .memory = "900G", .cpus = "512", .disk = "4T", .pin = true },
                { .kind = "debian", .ip = "192.0.2.7" },
                { .kind = "debian", .ip = "2001:db8::7", .gateway = "2001:db8::1" },
                { .kind = "ubuntu", .ip = "192.0.2.7/32", .gpus = asked, .hugepages = "1G", .memory = "64G" },
        };

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                _cleanup_free_ char *said = NULL;

                ASSERT_EQ(vmplan_check(&bad[i], &said), -EINVAL);
                ASSERT(said);
        }
        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                _cleanup_free_ char *said = NULL;
                int r = vmplan_check(&good[i], &said);

                if (r < 0)
                        tap_stop(EXIT_FAILURE, __LINE__, "%zu: %s", i, strna(said));
        }
}
