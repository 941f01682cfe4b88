/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "bundle.h"
#include "checkup.h"
#include "child.h"
#include "kvmcheck.h"
#include "strv.h"
#include "tests/tree.h"

#define GPU     "/sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0"
#define EFIVARS "/sys/firmware/efi/efivars/"

static const char well_evidence[] =
                "{\"root\": true, \"synchronized\": true, \"libvirt\": {\"error\": 0, \"version\": 9000000,"
                " \"running\": 1, \"pool\": {\"active\": true, \"autostart\": true}, \"network\": {\"active\":"
                " true, \"autostart\": true}}, \"storage\": {\"disks\": [{\"path\": \"/\", \"total\":"
                " 500000000000, \"free\": 400000000000}], \"images\": 2, \"damaged\": []}, \"gpus\": {\"list\":"
                " [{\"address\": \"0000:01:00.0\", \"owner\": \"host, idle\", \"looked\": true, \"held\": 0}]}}";

static void put_packages(int root) {
        _cleanup_strv_ char **names = NULL;
        _cleanup_free_ char *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);

        ASSERT_EQ(kvmcheck_packages("x86_64", NULL, &names), 0);
        STRV_FOREACH(n, names)
                fprintf(f, "Package: %s\nStatus: install ok installed\nVersion: 1\nArchitecture: amd64\n\n",
                        *n);
        ASSERT_EQ(fclose(f), 0);
        tree_put("/var/lib/dpkg/status", text);
}

/* The recorded desktop, set up: nothing is wrong with it. */
static int new_host(void) {
        const char *source = getenv("GPUVM_SOURCE");
        _cleanup_close_ int host = fs_open_root(NULL);
        _cleanup_free_ char *from = NULL;
        int root = tree_new();

        ASSERT(asprintf(&from, "%s/tests/hosts/intel-one-gpu/.", source ?: ".") > 0);
        ASSERT_EQ(child_run(&(const Child){
                                  .argv = (const char *const[]){ "/bin/cp", "-a", from, tree_path, NULL },
                                  .root = host,
                                  .timeout_usec = 60 * USEC_PER_SEC }),
                  0);
        put_packages(root);
        tree_put("/etc/gpuvm.conf", "[Gpu]\nAcceptSiblings=0000:01:00.0\n");
        tree_put("/usr/bin/qemu-system-x86_64", "");
        tree_put("/usr/share/OVMF/OVMF_CODE_4M.fd", "");
        tree_put("/var/lib/gpuvm/report.json", "{}");
        tree_put("/sys/module/nvidia/version", "580.95.05\n");
        tree_link("/usr/lib/x86_64-linux-gnu/libcuda.so.1", "libcuda.so.580.95.05");
        tree_put("/run/gpuvm/phases/bridge.json", "{\"mode\": \"bridged\", \"bridge\": \"br0\"}");
        tree_put("/sys/class/net/br0/bridge/bridge_id", "");
        tree_put("/sys/class/net/br0/brif/enp3s0/port_id", "");
        tree_put(EVIDENCE_PATH, well_evidence);
        return root;
}

static void look(int root, Checkup *u) {
        _cleanup_(evidence_done) Evidence e = {};
        _cleanup_(conf_done) Conf c = {};

        ASSERT_EQ(conf_load(root, NULL, NULL, &c), 0);
        ASSERT_EQ(evidence_read(root, &c, &e), 0);
        ASSERT_EQ(checkup_run(root, &c, &e, u), 0);
}

/* What is wrong: "iommu=fail(iommu) disk=warn", by cause first. */
static char *verdict(int root) {
        _cleanup_(checkup_done) Checkup u = {};
        _cleanup_strv_ char **words = NULL;

        look(root, &u);
        for (size_t i = 0; i < u.findings.n; i++) {
                const Finding *x = &u.findings.items[i];

                if (x->level < FINDING_WARN)
                        continue;
                ASSERT_EQ(strv_extendf(&words, "%s=%s%s%s%s", x->check, finding_level_to_string(x->level),
                                       x->phase ? "(" : "", strempty(x->phase), x->phase ? ")" : ""),
                          0);
                /* A phase is started by a command, and what is wrong has a way out. */
                ASSERT(!x->phase || strstr(x->fix, x->phase));
                ASSERT(x->remedy || x->fix);
        }
        return strv_join(words, " ");
}

/* The same of the bundle of that host, below another directory. */
static char *bundled(int root) {
        char path[] = "/tmp/gpuvm-bundle-XXXXXX", *result;
        _cleanup_(evidence_done) Evidence e = {};
        _cleanup_(conf_done) Conf c = {};
        _cleanup_(checkup_done) Checkup u = {};
        _cleanup_(tar_done) Tar t = {};
        _cleanup_close_ int other = -EBADF;

        ASSERT_EQ(conf_load(root, NULL, NULL, &c), 0);
        ASSERT_EQ(evidence_read(root, &c, &e), 0);
        ASSERT_EQ(checkup_run(root, &c, &e, &u), 0);
        ASSERT_EQ(bundle_collect(root, "tank-7", &e, &t), 0);
        ASSERT(mkdtemp(path));
        other = fs_open_root(path);
        ASSERT_EQ(tar_unpack(&t, other), 0);
        result = verdict(other);
        ASSERT_EQ(nftw(path, tree_remove, 16, FTW_DEPTH | FTW_PHYS), 0);
        return result;
}

/* text: NULL takes the file or directory away. */
typedef struct Edit {
        const char *path, *text;
} Edit;

static void edit(int root, const Edit *e) {
        char path[512];

        if (e->text) {
                tree_put(e->path, e->text);
                return;
        }
        (void) snprintf(path, sizeof(path), "%s%s", tree_path, e->path);
        ASSERT_EQ(nftw(path, tree_remove, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static char *replaced(const char *text, const char *from, const char *to) {
        const char *at = strstr(text, from);
        char *s;

        ASSERT(at);
        ASSERT(asprintf(&s, "%.*s%s%s", (int) (at - text), text, to, at + strlen(from)) > 0);
        return s;
}

#define NO_GROUPS \
        { "/sys/kernel/iommu_groups", NULL }
#define NO_GROUP \
        { GPU "/iommu_group", NULL }
#define CPU(flags) \
        { "/proc/cpuinfo", "processor\t: 0\nvendor_id\t: GenuineIntel\nflags\t\t: " flags "\n" }
#define CONF(text) \
        { "/etc/gpuvm.conf", text }
#define KERNEL(text) \
        { "/boot/config-6.1.0-40-amd64", text }
#define BAR_128G  "0x0000004000000000 0x0000005fffffffff 0x000000000014220c\n"
#define NO_BAR    "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
#define SMALL_BAR "0x00000000a0000000 0x00000000a0ffffff 0x0000000000040200\n"

TEST(hosts) {
        static const struct {
                const char *name;
                Edit edits[3];
                const char *from, *to; /* in the evidence */
                const char *want;
        } rows[] = {
                { "nothing is wrong", {}, NULL, NULL, "" },
                /* the machine */
                { "another distribution",
                  { { "/etc/os-release", "ID=arch\nPRETTY_NAME=Arch\n" } },
                  NULL,
                  NULL,
                  "system=warn" },
                { "a live system",
                  { { "/proc/self/mountinfo", "1 0 0:30 / / rw - overlay overlay rw\n" } },
                  NULL,
                  NULL,
                  "system=warn" },
                { "VT-x off, and what follows",
                  { CPU("fpu"), { "/dev/kvm", NULL } },
                  NULL,
                  NULL,
                  "processor=fail" },
                { "a container with the device node alone",
                  { CPU("fpu"), { "/run/systemd/container", "docker\n" } },
                  NULL,
                  NULL,
                  "system=warn processor=warn" },
                { "a virtual machine without nesting",
                  { CPU("fpu hypervisor"), { "/dev/kvm", NULL } },
                  NULL,
                  NULL,
                  "system=warn processor=warn" },
                { "a virtual machine with all of it", { CPU("fpu hypervisor vmx") }, NULL, NULL, "" },
                { "KVM is not loaded", { { "/dev/kvm", NULL } }, NULL, NULL, "kvm=warn" },
                { "another hypervisor",
                  { { "/proc/modules", "vboxdrv 1 0 - Live 0x0\n" } },
                  NULL,
                  NULL,
                  "hypervisor=warn" },
                { "little memory",
                  { { "/proc/meminfo", "MemTotal: 2000000 kB\n" } },
                  NULL,
                  NULL,
                  "memory=warn" },
                { "memory that is taken",
                  { { "/proc/meminfo", "MemTotal: 64000000 kB\nMemAvailable: 500000 kB\n" } },
                  NULL,
                  NULL,
                  "memory=warn" },
                /* IOMMU: one cause, one failure */
                { "VT-d off in the firmware, and what follows",
                  { NO_GROUPS, NO_GROUP, { "/sys/firmware/acpi/tables/DMAR", NULL } },
                  NULL,
                  NULL,
                  "firmware=fail" },
                { "off in the kernel", { NO_GROUPS, NO_GROUP }, NULL, NULL, "iommu=fail(iommu)" },
                { "turned off by an administrator",
                  { NO_GROUPS, NO_GROUP, { "/proc/cmdline", "intel_iommu=off" } },
                  NULL,
                  NULL,
                  "iommu=fail" },
                { "that it is asked for did not help",
                  { NO_GROUPS, NO_GROUP, { "/proc/cmdline", "intel_iommu=on" } },
                  NULL,
                  NULL,
                  "iommu=fail" },
                { "a kernel without VFIO",
                  { KERNEL("# CONFIG_VFIO_PCI is not set\nCONFIG_INTEL_IOMMU=y\n") },
                  NULL,
                  NULL,
                  "kernel=fail" },
                { "a kernel without the IOMMU's driver",
                  { KERNEL("CONFIG_VFIO_PCI=m\n# CONFIG_INTEL_IOMMU is not set\n"), NO_GROUPS, NO_GROUP },
                  NULL,
                  NULL,
                  "kernel=fail" },
                /* GPUs */
                { "no GPU, and what follows",
                  { { "/sys/bus/pci/devices/0000:01:00.0", NULL } },
                  NULL,
                  NULL,
                  "gpu=fail" },
                { "no GPU is wanted",
                  { { "/sys/bus/pci/devices/0000:01:00.0", NULL },
                    CONF("[Bootstrap]\nVfio=no\nNvidia=no\n") },
                  NULL,
                  NULL,
                  "" },
                { "the console is on the only GPU", { CONF("") }, NULL, NULL, "vfio=warn" },
                { "an exclusive GPU is with the host",
                  { CONF("[Gpu]\nMode=exclusive\nAcceptSiblings=0000:01:00.0\n") },
                  NULL,
                  NULL,
                  "vfio=fail(vfio) card=warn" },
                { "a section about no GPU",
                  { CONF("[Gpu]\nAcceptSiblings=0000:01:00.0\n[Gpu 0000:77:00.0]\nMode=exclusive\n") },
                  NULL,
                  NULL,
                  "gpu=warn" },
                { "a driver that hangs",
                  { { "/run/gpuvm/poisoned/0000:01:00.0",
                      "the kernel did not come back from unbinding it (driver nvidia), since 1 s\n0 0\n" } },
                  NULL,
                  NULL,
                  "stuck=fail" },
                { "holders that cannot be found out",
                  {},
                  "\"gpus\": {",
                  "\"gpus\": {\"error\": -110, ",
                  "stuck=fail" },
                { "a card that cannot be reset", { { GPU "/reset_method", "\n" } }, NULL, NULL, "card=warn" },
                { "a BAR that UEFI has no room for",
                  { CPU("fpu vmx\naddress sizes\t: 39 bits physical, 48 bits virtual"),
                    { GPU "/resource", SMALL_BAR BAR_128G NO_BAR SMALL_BAR NO_BAR NO_BAR NO_BAR } },
                  NULL,
                  NULL,
                  "card=warn" },
                { "and one that it has",
                  { CPU("fpu vmx\naddress sizes\t: 46 bits physical, 48 bits virtual"),
                    { GPU "/resource", SMALL_BAR BAR_128G NO_BAR SMALL_BAR NO_BAR NO_BAR NO_BAR } },
                  NULL,
                  NULL,
                  "" },
                { "somebody else claims it",
                  { { "/etc/modprobe.d/vfio.conf", "options vfio-pci ids=10de:2684\n" } },
                  NULL,
                  NULL,
                  "claim=warn" },
                { "a driver that is not loaded",
                  { { "/sys/module/nvidia/version", NULL } },
                  NULL,
                  NULL,
                  "driver=warn(nvidia)" },
                { "a driver that was updated",
                  { { "/sys/module/nvidia/version", "570.86.15\n" } },
                  NULL,
                  NULL,
                  "driver=warn" },
                { "a driver that only /proc names",
                  { { "/sys/module/nvidia/version", NULL },
                    { "/proc/driver/nvidia/version",
                      "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build\n" } },
                  NULL,
                  NULL,
                  "" },
                /* the system */
                { "a full disk", {}, "\"free\": 400000000000", "\"free\": 1000000", "disk=warn" },
                { "disks that hang", {}, "\"storage\": {", "\"storage\": {\"error\": -110, ", "disk=fail" },
                { "a clock that nobody keeps",
                  {},
                  "\"synchronized\": true",
                  "\"synchronized\": false",
                  "clock=warn" },
                { "no QEMU, and what follows",
                  { { "/usr/bin/qemu-system-x86_64", NULL } },
                  NULL,
                  NULL,
                  "packages=fail(kvm)" },
                { "no TPM", { { "/var/lib/dpkg/status", "" } }, NULL, NULL, "packages=warn(kvm)" },
                { "dpkg was interrupted",
                  { { "/var/lib/dpkg/updates/0001", "" } },
                  NULL,
                  NULL,
                  "packages=warn" },
                { "libvirt is down, and what follows",
                  {},
                  "\"error\": 0",
                  "\"error\": -111",
                  "libvirt=fail(kvm)" },
                { "libvirt refuses root", {}, "\"error\": 0", "\"error\": -13", "libvirt=fail(kvm)" },
                { "libvirt hangs", {}, "\"error\": 0", "\"error\": -110", "libvirt=fail" },
                { "no pool",
                  {},
                  "\"pool\": {\"active\": true",
                  "\"pool\": {\"active\": false",
                  "storage=fail(storage)" },
                { "a pool that does not come back",
                  {},
                  "\"autostart\": true}, \"network\"",
                  "\"autostart\": false}, \"network\"",
                  "storage=fail(storage)" },
                { "an image that is damaged",
                  {},
                  "\"damaged\": []",
                  "\"damaged\": [\"x.json\"]",
                  "images=warn" },
                /* the network */
                { "no default route", { { "/proc/self/net/route", "" } }, NULL, NULL, "network=warn" },
                { "no bridge, and what follows",
                  { { "/sys/class/net/br0", NULL } },
                  NULL,
                  NULL,
                  "bridge=fail(bridge)" },
                { "a bridge without a port",
                  { { "/sys/class/net/br0/brif", NULL } },
                  NULL,
                  NULL,
                  "bridge=fail(bridge)" },
                { "no forwarding",
                  { { "/run/gpuvm/phases/bridge.json", "{\"mode\": \"routed\", \"bridge\": \"br0\"}" } },
                  NULL,
                  NULL,
                  "forwarding=fail(bridge)" },
                { "a packet filter",
                  {},
                  "\"root\": true",
                  "\"root\": true, \"filter\": false",
                  "forwarding=fail(bridge)" },
                { "a machine that the host does not route to",
                  { { "/run/gpuvm/phases/bridge.json", "{\"mode\": \"routed\", \"bridge\": \"br0\"}" },
                    { "/proc/sys/net/ipv4/ip_forward", "1\n" } },
                  "\"root\": true",
                  "\"root\": true, \"routes\": {\"wanted\": 2, \"gaps\": [{\"machine\": \"web\", \"address\":"
                  " \"192.0.2.20\", \"interface\": \"vnet0\", \"route\": true, \"proxy\": false}]}",
                  "routes=fail" },
                { "all of them routed",
                  { { "/run/gpuvm/phases/bridge.json", "{\"mode\": \"routed\", \"bridge\": \"br0\"}" },
                    { "/proc/sys/net/ipv4/ip_forward", "1\n" } },
                  "\"root\": true",
                  "\"root\": true, \"routes\": {\"wanted\": 2, \"gaps\": []}",
                  "" },
                { "who could not be asked",
                  { { "/run/gpuvm/phases/bridge.json", "{\"mode\": \"routed\", \"bridge\": \"br0\"}" },
                    { "/proc/sys/net/ipv4/ip_forward", "1\n" } },
                  "\"root\": true",
                  "\"root\": true, \"routes\": {\"error\": -110}",
                  "" },
                { "NAT needs libvirt's network",
                  { { "/run/gpuvm/phases/bridge.json", "{\"mode\": \"nat\"}" } },
                  "\"network\": {\"active\": true",
                  "\"network\": {\"active\": false",
                  "vm-network=fail(storage)" },
                { "others need it not",
                  {},
                  "\"network\": {\"active\": true",
                  "\"network\": {\"active\": false",
                  "" },
                /* the bootstrap */
                { "a phase that failed",
                  { { "/run/gpuvm/phases/kvm.json", "{\"result\": \"failed\", \"failure\": \"no\"}" } },
                  NULL,
                  NULL,
                  "bootstrap=warn(kvm)" },
                { "a restart that is needed",
                  { { "/run/gpuvm/reboot.d/iommu", "the IOMMU is off\n" } },
                  NULL,
                  NULL,
                  "bootstrap=warn" },
                { "no bootstrap at all",
                  { { "/var/lib/gpuvm/report.json", NULL } },
                  NULL,
                  NULL,
                  "bootstrap=warn" },
                { "no bootstrap, nor anybody else's work, and what follows",
                  { { "/var/lib/gpuvm/report.json", NULL },
                    { "/usr/bin/qemu-system-x86_64", NULL },
                    { "/sys/module/nvidia/version", NULL } },
                  NULL,
                  NULL,
                  "bootstrap=fail" },
        };
        int root = new_host();

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_free_ char *got = NULL, *evidence = NULL, *again = NULL;

                if (i > 0) {
                        tree_end();
                        strcpy(tree_path + strlen(tree_path) - 6, "XXXXXX");
                        root = new_host();
                }
                for (size_t k = 0; k < ELEMENTSOF(rows[i].edits) && rows[i].edits[k].path; k++)
                        edit(root, &rows[i].edits[k]);
                if (rows[i].from) {
                        evidence = replaced(well_evidence, rows[i].from, rows[i].to);
                        tree_put(EVIDENCE_PATH, evidence);
                }
                got = verdict(root);
                again = bundled(root);
                if (strcmp(again, got) != 0)
                        tap_stop(EXIT_FAILURE, __LINE__, "%s: \"%s\", and bundled \"%s\"", rows[i].name, got,
                                 again);
                if (strcmp(got, rows[i].want) != 0)
                        tap_stop(EXIT_FAILURE, __LINE__, "%s: \"%s\", not \"%s\"", rows[i].name, got,
                                 rows[i].want);
        }
}

/* Each row comes after what it needs, so that one walk is enough. */
TEST(rows_need_earlier_ones) {
        const char *name, *needs, *earlier, *unused;

        for (size_t i = 0; checkup_row(i, &name, &needs); i++) {
                _cleanup_strv_ char **words = NULL;

                ASSERT_EQ(strv_split(needs, " ", &words), 0);
                STRV_FOREACH(w, words) {
                        bool found = false;

                        for (size_t k = 0; k < i && checkup_row(k, &earlier, &unused); k++)
                                found |= strcmp(earlier, *w) == 0;
                        ASSERT(found);
                }
        }
}

static const Finding *find(const Checkup *u, const char *check) {
        for (size_t i = 0; i < u->findings.n; i++)
                if (strcmp(u->findings.items[i].check, check) == 0)
                        return &u->findings.items[i];
        return NULL;
}

TEST(what_follows_names_its_cause) {
        _cleanup_(checkup_done) Checkup u = {};
        int root = new_host();

        edit(root, &(const Edit) NO_GROUPS);
        edit(root, &(const Edit) NO_GROUP);
        edit(root, &(const Edit){ "/sys/firmware/acpi/tables/DMAR", NULL });
        look(root, &u);
        ASSERT_STREQ(find(&u, "iommu")->because, "firmware");
        ASSERT_STREQ(find(&u, "holders")->because, "firmware"); /* by way of iommu and vfio */
        ASSERT_EQ(find(&u, "iommu")->level, FINDING_SKIP);
        ASSERT_EQ(checkup_result(&u), FINDING_FAIL);
        ASSERT(!u.vm_capable);
        ASSERT(!u.gpus);
}

TEST(what_vms_can_have) {
        _cleanup_(checkup_done) Checkup u = {};

        look(new_host(), &u);
        ASSERT(u.vm_capable);
        ASSERT_STREQ(u.gpus[0], "0000:01:00.0");
        ASSERT(!u.gpus[1]);
        ASSERT_EQ(checkup_result(&u), FINDING_OK);
}

TEST(a_record_without_evidence_is_not_judged_by_this_machine) {
        _cleanup_(checkup_done) Checkup u = {};
        int root = new_host();

        edit(root, &(const Edit){ EVIDENCE_PATH, NULL });
        look(root, &u);
        ASSERT_EQ(find(&u, "clock")->level, FINDING_SKIP);
        ASSERT_EQ(find(&u, "disk")->level, FINDING_SKIP);
        ASSERT_EQ(find(&u, "libvirt")->level, FINDING_SKIP);
        ASSERT(u.vm_capable);
}

TEST(evidence_goes_there_and_back) {
        _cleanup_(evidence_done) Evidence a = {}, b = {};
        _cleanup_free_ char *text = NULL, *again = NULL;

        ASSERT_EQ(evidence_parse(well_evidence, &a), 0);
        ASSERT_EQ(a.images, 2);
        ASSERT_EQ(evidence_disk(&a, "/")->free, 400000000000);
        ASSERT_EQ(evidence_set_dpkg(&a, 812), 0);
        ASSERT_EQ(evidence_format(&a, &text), 0);
        ASSERT_EQ(evidence_parse(text, &b), 0);
        ASSERT_EQ(b.dpkg, 812);
        ASSERT_EQ(evidence_format(&b, &again), 0);
        ASSERT_STREQ(again, text);
        ASSERT_STREQ(evidence_gpu(&b, "0000:01:00.0")->owner, "host, idle");
        ASSERT_EQ(evidence_parse("[]", &b), -EBADMSG);
}
