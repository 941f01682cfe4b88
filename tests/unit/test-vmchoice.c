/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Machines that choose GPUs at once, each by a process of its own: what one has chosen and libvirt does not
 * know of yet is nobody else's. */

#include <sys/mman.h>
#include <sys/wait.h>

#include "metadata.h"
#include "tests/tree.h"
#include "virtvm.h"
#include "vmchoice.h"

enum { MACHINES = 2, ROUNDS = 10 };

/* Of one round, seen by all processes. */
typedef struct Round {
        volatile unsigned done;
        volatile bool go, end;
        struct {
                int result;
                char gpus[64], failure[512];
        } of[MACHINES];
} Round;

static void put_gpu(unsigned i) {
        static const char *const attributes[][2] = { { "vendor", "0x10de\n" },
                                                     { "device", "0x2684\n" },
                                                     { "class", "0x030000\n" },
                                                     { "header_type", "0\n" } };
        char path[128], target[64];

        for (size_t k = 0; k < ELEMENTSOF(attributes); k++) {
                (void) snprintf(path, sizeof(path), "/sys/bus/pci/devices/0000:%02x:00.0/%s", i,
                                attributes[k][0]);
                tree_put(path, attributes[k][1]);
        }
        (void) snprintf(path, sizeof(path), "/sys/bus/pci/devices/0000:%02x:00.0/iommu_group", i);
        (void) snprintf(target, sizeof(target), "../../../../kernel/iommu_groups/%u", i);
        tree_link(path, target);
        (void) snprintf(path, sizeof(path), "/sys/kernel/iommu_groups/%u/devices/0000:%02x:00.0", i, i);
        tree_put(path, "");
}

static int host(unsigned gpus) {
        int root = tree_new();

        for (unsigned i = 1; i <= gpus; i++)
                put_gpu(i);
        ASSERT_EQ(fs_mkdir_p(root, "/proc", 0755), 0);
        return root;
}

static Virt *connect_with(const char *name) {
        _cleanup_free_ char *xml = NULL;
        Virt *v = NULL;

        if (virt_open("test:///default", &v, NULL) < 0)
                return NULL;
        ASSERT(asprintf(&xml,
                        "<domain type='test'><name>%s</name><memory>1024</memory><os><type>hvm</type></os><devices>"
                        "<controller type='pci' index='0' model='pcie-root'/><controller type='pci' index='1' "
                        "model='pcie-root-port'/><controller type='pci' index='2' model='pcie-root-port'/>"
                        "<controller type='pci' index='3' model='pcie-root-port'/></devices></domain>",
                        name) > 0);
        ASSERT_EQ(virtvm_define(v, xml), 0);
        return v;
}

static void wait_for(const volatile bool *what) {
        while (!*what)
                (void) usleep(200);
}

static void note_gpus(const char *xml, char *ret, size_t size) {
        for (const char *at = xml; at && (at = strstr(at, "<source>")); at++) {
                const char *bus = strstr(at, "bus=");

                if (bus && strlen(ret) + 8 < size)
                        (void) snprintf(ret + strlen(ret), 8, "%.4s ", bus + 5);
        }
}

static const char *name_of(unsigned i) {
        return i == 0 ? "one" : "two";
}

/* What it has chosen is leased until all have. */
_noreturn_ static void choose(int root, Round *round, unsigned i, const char *wish) {
        _cleanup_(virt_closep) Virt *v = connect_with(name_of(i));
        const Metadata m = { .kind = (char *) "debian", .gpu_wish = (char *) wish };
        Phase p = { .name = "vm", .root = root, .root_path = tree_path };
        VmChoice choice = {};

        wait_for(&round->go);
        round->of[i].result = vmchoice_make(&p, v, name_of(i), &m, 0, &choice);
        if (p.failure)
                (void) snprintf(round->of[i].failure, sizeof(round->of[i].failure), "%s", p.failure);
        if (choice.xml)
                note_gpus(choice.xml, round->of[i].gpus, sizeof(round->of[i].gpus));
        (void) __atomic_add_fetch(&round->done, 1, __ATOMIC_SEQ_CST);
        wait_for(&round->end);
        _exit(EXIT_SUCCESS);
}

static Round *race(int root, const char *wish) {
        Round *round = mmap(NULL, sizeof(*round), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        pid_t pids[MACHINES];

        ASSERT(round != MAP_FAILED);
        for (unsigned i = 0; i < MACHINES; i++) {
                pids[i] = fork();
                ASSERT(pids[i] >= 0);
                if (pids[i] == 0)
                        choose(root, round, i, wish);
        }
        round->go = true;
        while (round->done < MACHINES)
                (void) usleep(500);
        round->end = true;
        for (unsigned i = 0; i < MACHINES; i++)
                ASSERT_EQ(waitpid(pids[i], NULL, 0), pids[i]);
        return round;
}

static void require_libvirt(void) {
        Virt *v = connect_with("probe");

        if (!v)
                SKIP("libvirt's library is not installed");
        virt_close(v);
}

/* The one who goes without is told of the other. */
static void one_of_them_has(const Round *r, const char *gpus) {
        unsigned winner = r->of[0].result == 0 ? 0 : 1;
        char want[64];

        ASSERT_EQ(r->of[winner].result, 0);
        ASSERT_STREQ(r->of[winner].gpus, gpus);
        ASSERT(r->of[!winner].result < 0);
        ASSERT_STREQ(r->of[!winner].gpus, "");
        (void) snprintf(want, sizeof(want), "on its way to machine '%s'", name_of(winner));
        ASSERT(strstr(r->of[!winner].failure, want));
}

TEST(two_for_one_gpu) {
        int root;

        require_libvirt();
        root = host(1);
        for (unsigned i = 0; i < ROUNDS; i++)
                one_of_them_has(race(root, "1"), "0x01 ");
}

/* Neither has half of what it needs while the other one has the other half. */
TEST(two_for_two_gpus_each) {
        int root;

        require_libvirt();
        root = host(2);
        for (unsigned i = 0; i < ROUNDS; i++)
                one_of_them_has(race(root, "2"), "0x01 0x02 ");
}

TEST(one_for_each) {
        int root;

        require_libvirt();
        root = host(2);
        for (unsigned i = 0; i < ROUNDS; i++) {
                const Round *r = race(root, "1");

                ASSERT_EQ(r->of[0].result, 0);
                ASSERT_EQ(r->of[1].result, 0);
                ASSERT_EQ(strlen(r->of[0].gpus), 5);
                ASSERT_EQ(strlen(r->of[1].gpus), 5);
                ASSERT(!streq(r->of[0].gpus, r->of[1].gpus));
        }
}
