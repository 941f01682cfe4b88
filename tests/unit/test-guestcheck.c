/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "guestcheck.h"
#include "tests/tap.h"

#define ADDRESSES "\t0\t0\t0\t0\t0\t0\t0\t0\t0\t0\t0\t0\t0\t0\t"

static const Finding *find(const Findings *l, const char *check, size_t k) {
        for (size_t i = 0; i < l->n; i++)
                if (strcmp(l->items[i].check, check) == 0 && k-- == 0)
                        return &l->items[i];
        return NULL;
}

/* What is well, to be broken by each test. */
static GuestFacts well(GuestGpu *gpu, GuestPci *pci) {
        *gpu = (GuestGpu){ "0000:01:00.0", 0x10de, 0x2684, true };
        *pci = (GuestPci){ 0x10de, 0x2684, (char *) "nvidia" };
        return (GuestFacts){ .name = (char *) "x",
                             .state = VM_RUNNING,
                             .agent = true,
                             .address = (char *) "192.0.2.9",
                             .answers = true,
                             .gpus = gpu,
                             .n_gpus = 1,
                             .pci = pci,
                             .n_pci = 1,
                             .smi = true,
                             .smi_text = (char *) "GPU 0: NVIDIA (UUID: GPU-1)\n",
                             .init = GUEST_INIT_DONE };
}

static void expect(const GuestFacts *f, const char *check, FindingLevel level, const char *object,
                   const char *text) {
        _cleanup_(findings_done) Findings l = {};
        const Finding *x;

        ASSERT_EQ(guestcheck(f, &l), 0);
        x = find(&l, check, 0);
        ASSERT(x);
        ASSERT_STREQ(x->text, text);
        ASSERT_STREQ(x->object, object);
        ASSERT_EQ(x->level, level);
        ASSERT_EQ(findings_worst(&l)->level, level);
}

/* As a user reads it who waits. */
static void expect_waiting(const GuestFacts *f, const char *text) {
        _cleanup_(findings_done) Findings l = {};
        _cleanup_free_ char *said = NULL;

        ASSERT_EQ(guestcheck(f, &l), 0);
        ASSERT(guestcheck_unready(&l)->level != FINDING_OK);
        ASSERT_EQ(guestcheck_describe(f, guestcheck_unready(&l), &said), 0);
        ASSERT_STREQ(said, text);
}

TEST(a_machine_that_is_well) {
        _cleanup_(findings_done) Findings l = {};
        GuestGpu gpu;
        GuestPci pci;
        GuestFacts f = well(&gpu, &pci);

        ASSERT_EQ(guestcheck(&f, &l), 0);
        ASSERT_EQ(l.n, 7);
        ASSERT_EQ(findings_count(&l, FINDING_OK), 7);
        ASSERT_EQ(guestcheck_unready(&l)->level, FINDING_OK);
        ASSERT_STREQ(find(&l, "driver", 0)->text, "works in the guest: nvidia-smi lists it");
}

TEST(one_that_does_not_run_has_nothing_else) {
        _cleanup_(findings_done) Findings l = {};
        GuestGpu gpu;
        GuestPci pci;
        GuestFacts f = well(&gpu, &pci);

        f.state = VM_OFF;
        ASSERT_EQ(guestcheck(&f, &l), 0);
        ASSERT_EQ(l.n, 1);
        ASSERT_EQ(l.items[0].level, FINDING_FAIL);
        ASSERT_STREQ(l.items[0].remedy, "'vmctl start x' starts it");
        f.state = VM_PAUSED;
        expect(&f, "state", FINDING_FAIL, "x", "is paused");
        expect_waiting(&f, "is paused");
        f.state = VM_STOPPING;
        expect(&f, "state", FINDING_FAIL, "x", "is stopping");
}

TEST(an_agent_is_needed_where_nothing_else_answers) {
        GuestGpu gpu;
        GuestPci pci;
        GuestFacts f = well(&gpu, &pci);

        f.agent = false;
        f.agent_error = (char *) "it is not connected";
        f.n_gpus = 0;
        expect(&f, "agent", FINDING_WARN, "x", "has no agent that answers: it is not connected");
        expect_waiting(&f, "runs and its ssh answers; it has no agent that answers: it is not connected");
        f.answers = false;
        expect(&f, "ssh", FINDING_FAIL, "x", "does not answer by ssh at 192.0.2.9");
        expect_waiting(&f, "runs; it has no agent that answers: it is not connected");
        f.talos = true;
        expect(&f, "api", FINDING_FAIL, "x", "does not answer by its API at 192.0.2.9");
}

TEST(an_address_is_needed) {
        GuestGpu gpu;
        GuestPci pci;
        GuestFacts f = well(&gpu, &pci);

        f.answers = false;
        expect(&f, "ssh", FINDING_WARN, "x", "does not answer by ssh at 192.0.2.9");
        f.address = NULL;
        expect(&f, "address", FINDING_FAIL, "x", "has no address that is known");
        expect_waiting(&f, "runs and its agent answers; it has no address that is known");
}

TEST(a_gpu_that_is_not_seen) {
        GuestGpu gpu;
        GuestPci pci;
        GuestFacts f = well(&gpu, &pci);

        pci.device = 0x2204;
        expect(&f, "gpu", FINDING_FAIL, "0000:01:00.0", "is not seen in the guest");
        f.answers = false;
        expect_waiting(&f, "runs and its agent answers; GPU 0000:01:00.0 is not seen in the guest");
        f.answers = true;
        f.pci = NULL;
        f.n_pci = 0;
        f.pci_error = (char *) "no agent answers";
        expect(&f, "gpu", FINDING_WARN, "0000:01:00.0", "was not looked for in the guest: no agent answers");
        f.agent = false;
        expect_waiting(&f,
                       "runs and its ssh answers; GPU 0000:01:00.0 was not looked for in the guest: no agent answers");
        f.agent = true;
        gpu.vendor = gpu.device = 0;
        expect(&f, "gpu", FINDING_WARN, "0000:01:00.0",
               "was not looked for in the guest: what it is is not known here");
        gpu.attached = false;
        expect(&f, "gpu", FINDING_FAIL, "0000:01:00.0", "is not with the machine, which runs without it");
}

TEST(twins_are_counted) {
        GuestGpu gpu, twins[2];
        GuestPci pci, both[2];
        GuestFacts f = well(&gpu, &pci);
        _cleanup_(findings_done) Findings one = {}, two = {};

        twins[0] = twins[1] = gpu;
        strcpy(twins[1].name, "0000:02:00.0");
        both[0] = both[1] = pci;
        f.gpus = twins;
        f.n_gpus = 2;
        ASSERT_EQ(guestcheck(&f, &one), 0);
        ASSERT_EQ(find(&one, "gpu", 0)->level, FINDING_OK);
        ASSERT_EQ(find(&one, "gpu", 1)->level, FINDING_FAIL);
        f.pci = both;
        f.n_pci = 2;
        f.smi_text = (char *) "GPU 0: a\nGPU 1: b\n";
        ASSERT_EQ(guestcheck(&f, &two), 0);
        ASSERT_EQ(findings_worst(&two)->level, FINDING_OK);
}

TEST(a_driver_that_does_not_work) {
        GuestGpu gpu;
        GuestPci pci;
        GuestFacts f = well(&gpu, &pci);

        f.smi_text = (char *) "";
        expect(&f, "driver", FINDING_FAIL, "0000:01:00.0",
               "may not work in the guest: nvidia-smi lists 0 of 1 GPUs");
        f.smi_status = 9;
        f.smi_text = (char *) "NVIDIA-SMI has failed\nmore\n";
        expect(&f, "driver", FINDING_FAIL, "0000:01:00.0",
               "does not work in the guest, nvidia-smi says: NVIDIA-SMI has failed");
        f.smi_status = -ETIMEDOUT;
        expect(&f, "driver", FINDING_FAIL, "0000:01:00.0",
               "hangs in the guest: nvidia-smi does not come back");
        pci.driver = (char *) "";
        expect(&f, "driver", FINDING_WARN, "0000:01:00.0", "has no driver in the guest");
}

/* It is ready before its first boot has come to an end: a desktop takes that a quarter of an hour. */
TEST(readiness_does_not_wait_for_packages) {
        _cleanup_(findings_done) Findings l = {};
        GuestGpu gpu;
        GuestPci pci;
        GuestFacts f = well(&gpu, &pci);

        f.init = GUEST_INIT_RUNS;
        f.init_text = (char *) "modules-final";
        pci.driver = (char *) "";
        ASSERT_EQ(guestcheck(&f, &l), 0);
        ASSERT_EQ(findings_worst(&l)->level, FINDING_WARN);
        ASSERT_STREQ(find(&l, "cloud-init", 0)->text, "is still being set up: modules-final");
        ASSERT_EQ(guestcheck_unready(&l)->level, FINDING_OK);
}

/* What answers now may refuse in a moment: cloud-init's config stage restarts it. */
TEST(readiness_waits_for_the_last_restart_of_ssh) {
        _cleanup_(findings_done) Findings l = {};
        GuestGpu gpu;
        GuestPci pci;
        GuestFacts f = well(&gpu, &pci);

        f.init = GUEST_INIT_RUNS;
        f.init_text = (char *) "modules-config";
        expect(&f, "ssh", FINDING_WARN, "x",
               "answers by ssh at 192.0.2.9, which cloud-init may still restart");
        ASSERT_EQ(guestcheck(&f, &l), 0);
        ASSERT_EQ(guestcheck_unready(&l)->level, FINDING_WARN);
        f.talos = true;
        expect(&f, "api", FINDING_OK, "x", "answers by its API at 192.0.2.9");
}

TEST(what_the_guests_kernel_lists) {
        GuestFacts f = {};

        ASSERT_EQ(guestcheck_parse_pci("0000\t80860d57\t0" ADDRESSES "\n0100\t10de2684\t1a" ADDRESSES
                                       "nvidia\n"
                                       "0200\t10de\t0" ADDRESSES "short\n0300\t10de2684\t0\tfew\n",
                                       &f.pci, &f.n_pci),
                  0);
        ASSERT_EQ(f.n_pci, 2);
        ASSERT_EQ(f.pci[0].vendor, 0x8086);
        ASSERT_STREQ(f.pci[0].driver, "");
        ASSERT_EQ(f.pci[1].vendor, 0x10de);
        ASSERT_EQ(f.pci[1].device, 0x2684);
        ASSERT_STREQ(f.pci[1].driver, "nvidia");
        guestfacts_done(&f);
        ASSERT_EQ(guestcheck_parse_pci("", &f.pci, &f.n_pci), 0);
        ASSERT(f.pci && f.n_pci == 0);
        guestfacts_done(&f);
}

static void expect_init(const char *json, int result, GuestInit state, const char *text) {
        GuestInit i = GUEST_INIT_UNKNOWN;
        _cleanup_free_ char *said = NULL;

        ASSERT_EQ(guestcheck_parse_init(json, &i, &said), result);
        ASSERT_EQ(i, state);
        ASSERT_STREQ(strempty(said), text);
}

TEST(how_far_cloud_init_is) {
        expect_init("{\"v1\":{\"init\":{\"errors\":[]},\"modules-final\":{\"errors\":[],\"finished\":1.5},\"stage\":null}}",
                    0, GUEST_INIT_DONE, "");
        expect_init("{\"v1\":{\"modules-final\":{\"finished\":null},\"stage\":\"modules-final\"}}", 0,
                    GUEST_INIT_RUNS, "modules-final");
        expect_init("{\"v1\":{\"stage\":null}}", 0, GUEST_INIT_RUNS, "");
        expect_init("{\"v1\":{\"init\":{\"errors\":[\"a\\u001b[2mb\\nc\"]},\"modules-final\":{\"finished\":1}}}",
                    0, GUEST_INIT_FAILED, "a?[2mb");
        expect_init("{\"v1\":{\"init\":{\"recoverable_errors\":{\"DEPRECATED\":[\"x\"],\"WARNING\":[\"y\"]}},"
                    "\"modules-final\":{\"finished\":1}}}",
                    0, GUEST_INIT_FAILED, "y");
        expect_init("{\"v1\":{\"init\":{\"recoverable_errors\":{\"DEPRECATED\":[\"x\"]}},"
                    "\"modules-final\":{\"finished\":1}}}",
                    0, GUEST_INIT_DONE, "");
        expect_init("{}", -EBADMSG, GUEST_INIT_UNKNOWN, "");
        expect_init("nonsense", -EBADMSG, GUEST_INIT_UNKNOWN, "");
}

/* The cause before what follows from it. */
TEST(a_host_that_does_not_lead_to_it) {
        RouteGap gap = { .machine = (char *) "x", .address = "192.0.2.9", .tap = "vnet0", .route = true };
        _cleanup_(findings_done) Findings l = {};
        GuestGpu gpu;
        GuestPci pci;
        GuestFacts f = well(&gpu, &pci);

        expect(&f, "agent", FINDING_OK, "x", "has an agent that answers");
        f.routes = (VirtRoutes){ .known = true, .wanted = 1, .gaps = &gap, .n = 1 };
        f.agent = f.answers = false;
        expect(&f, "route", FINDING_FAIL, "x",
               "is not reached at 192.0.2.9: the host does not answer for it");
        ASSERT_EQ(guestcheck(&f, &l), 0);
        ASSERT_STREQ(findings_worst(&l)->check, "route");
        ASSERT_STREQ(findings_worst(&l)->fix, "sudo systemctl restart gpuvm-route@vnet0.service");
}
