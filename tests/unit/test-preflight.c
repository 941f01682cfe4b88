/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "preflight.h"
#include "strv.h"
#include "tests/tap.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

/* A machine on which nothing is wrong: each test takes one thing away. */
static PciDevice devices[4];
static Facts facts;
static Conf conf;

static void device(size_t i, const char *name, uint32_t class, uint16_t vendor, int group) {
        PciDevice *d = &devices[i];

        *d = (PciDevice){ .class = class,
                          .vendor = vendor,
                          .device = 0x2684,
                          .iommu_group = group,
                          .numa_node = -1 };
        ASSERT_EQ(bdf_parse(name, &d->bdf), 0);
        (void) bdf_format(d->bdf, d->name);
        d->path = (char *) "pci-0000:00:01.0/00.0";
        d->reset_method = (char *) "flr bus";
        d->bar_size[0] = 16 * MIB;
        d->bar_size[1] = 32 * GIB;
        d->n_placed = 2;
}

static void new_machine(void) {
        device(0, "0000:01:00.0", 0x030000, 0x10de, 14);
        device(1, "0000:01:00.1", 0x040300, 0x10de, 14);
        facts = (Facts){
                .os_id = (char *) "debian",
                .os_version = (char *) "12",
                .os_name = (char *) "Debian GNU/Linux 12",
                .machine = (char *) "x86_64",
                .cpu_vendor = (char *) "GenuineIntel",
                .vmx = true,
                .kvm_device = true,
                .memory = 64 * GIB,
                .release = (char *) "6.1.0-40-amd64",
                .kernel = { .vfio_pci = KERNEL_MODULE,
                            .intel_iommu = KERNEL_BUILTIN,
                            .amd_iommu = KERNEL_BUILTIN },
                .iommu_groups = 15,
                .iommu_firmware = "intel",
                .bus = { devices, 2 },
                .root_type = (char *) "ext4",
                .disks = { { "/", 500 * GIB, 400 * GIB, true },
                           { "/boot", GIB, 700 * MIB, true },
                           { "/var" } },
                .has_dpkg = true,
                .efi = true,
                .secure_boot = 0,
        };
        ASSERT_EQ(strv_extend(&facts.uplinks, "eno1"), 0);
        ASSERT_EQ(conf_init(&conf), 0);
        conf.kvm = conf.vfio = true;
        conf.bridge = conf.nvidia = false;
}

/* The worst finding of a check, as "level: text"; "" if there is none. Stable until the next call. */
static const char *look(const char *check) {
        static char *text;
        Findings l = {};
        int worst = -1;

        ASSERT_EQ(preflight_judge(&facts, &conf, &l), 0);
        free(text);
        text = strdup("");
        for (size_t i = 0; i < l.n; i++) {
                if (strcmp(l.items[i].check, check) != 0 || (int) l.items[i].level <= worst)
                        continue;
                worst = (int) l.items[i].level;
                free(text);
                ASSERT(asprintf(&text, "%s: %s", finding_level_to_string(l.items[i].level), l.items[i].text) >
                       0);
                /* What is wrong has a remedy, but for waiting. */
                ASSERT(worst == FINDING_OK || l.items[i].remedy || strstr(text, "the phases wait"));
        }
        findings_done(&l);
        return text;
}

static size_t count(FindingLevel level) {
        Findings l = {};
        size_t n;

        ASSERT_EQ(preflight_judge(&facts, &conf, &l), 0);
        n = findings_count(&l, level);
        findings_done(&l);
        return n;
}

static void done(void) {
        strv_free(facts.uplinks);
        strv_free(facts.cmdline);
        strv_free(facts.dpkg_broken);
        conf_done(&conf);
}

#define EXPECT(check, want)                                                                                 \
        do {                                                                                                \
                const char *got_ = look(check);                                                             \
                if (*want ? strncmp(got_, want, strlen(want)) != 0 : *got_)                                 \
                        tap_stop(EXIT_FAILURE, __LINE__, "%s is \"%s\", not \"%s...\"", check, got_, want); \
        } while (0)

TEST(a_good_machine_has_nothing_to_complain_of) {
        new_machine();
        ASSERT_EQ(count(FINDING_FAIL), 0);
        ASSERT_EQ(count(FINDING_WARN), 0);
        EXPECT("gpu",
               "ok: NVIDIA 10de:2684 (Ada), flexible, driver none, IOMMU group 14 with 0000:01:00.1, largest "
               "BAR 32 GiB");
        done();
}

TEST(distributions) {
        static const struct {
                const char *id, *version, *like, *want;
        } releases[] = {
                { "debian", "12", NULL, "ok: " },
                { "debian", "13", NULL, "ok: " },
                { "ubuntu", "24.04", "debian", "ok: " },
                { "debian", "11", NULL, "fail: Debian GNU/Linux 12 is not supported" },
                { "debian", NULL, NULL, "fail: " },
                { "ubuntu", "22.04", "debian", "fail: " },
                { "linuxmint", "22", "ubuntu debian", "fail: " },
                { "fedora", "41", NULL, "fail: Debian GNU/Linux 12 installs packages with dnf" },
                { "nobara", "41", "rhel centos fedora",
                  "fail: Debian GNU/Linux 12 installs packages with dnf" },
                { NULL, NULL, NULL, "fail: " },
        };

        new_machine();
        for (size_t i = 0; i < ELEMENTSOF(releases); i++) {
                facts.os_id = (char *) releases[i].id;
                facts.os_version = (char *) releases[i].version;
                facts.os_like = (char *) releases[i].like;
                EXPECT("distribution", releases[i].want);
        }
        facts.os_id = (char *) "debian";
        facts.os_version = (char *) "12";
        facts.proxmox = true;
        EXPECT("distribution", "fail: Proxmox VE");
        done();
}

TEST(architectures) {
        new_machine();
        facts.machine = (char *) "riscv64";
        EXPECT("architecture", "fail: The processor architecture riscv64");
        facts.machine = (char *) "aarch64";
        EXPECT("architecture", "ok: aarch64");
        done();
}

TEST(roots_that_do_not_last) {
        new_machine();
        facts.root_type = (char *) "overlay";
        EXPECT("root", "fail: The root file system is overlay");
        facts.container = (char *) "docker";
        EXPECT("root", "warn: ");
        facts.root_type = (char *) "btrfs";
        EXPECT("root", "");
        done();
}

TEST(virtualisation_off_is_a_failure_on_metal_only) {
        new_machine();
        facts.kvm_device = false;
        EXPECT("kvm", "warn: KVM is not loaded");
        facts.vmx = false;
        EXPECT("kvm", "fail: The processor offers no virtualisation (no vmx");
        facts.cpu_vendor = (char *) "AuthenticAMD";
        EXPECT("kvm", "fail: The processor offers no virtualisation (no svm");
        facts.virtual_machine = true;
        EXPECT("kvm", "warn: ");
        facts.virtual_machine = false;
        facts.container = (char *) "systemd-nspawn";
        EXPECT("kvm", "warn: ");
        facts.container = NULL;
        conf.kvm = false;
        EXPECT("kvm", "");
        done();
}

TEST(other_hypervisors) {
        new_machine();
        facts.other_hypervisor = (char *) "vboxdrv";
        EXPECT("hypervisor", "warn: VirtualBox's module vboxdrv");
        facts.other_hypervisor = (char *) "vmmon";
        EXPECT("hypervisor", "warn: VMware's module vmmon");
        facts.xen_dom0 = true;
        EXPECT("machine", "fail: Xen");
        done();
}

TEST(space_and_memory) {
        new_machine();
        facts.memory = 2 * GIB;
        EXPECT("memory", "warn: 2048 MiB");
        facts.disks[0].free = 1 * GIB;
        EXPECT("disk", "fail: 1024 MiB are free");
        facts.qemu = true;
        EXPECT("disk", "warn: 1024 MiB are free");
        facts.disks[0].free = 400 * GIB;
        facts.disks[1].free = 90 * MIB;
        EXPECT("disk", "warn: 90 MiB are free: a new initramfs");
        facts.disks[1].own = false; /* then it is the root's */
        EXPECT("disk", "ok: ");
        done();
}

TEST(packages) {
        new_machine();
        facts.dpkg_interrupted = true;
        EXPECT("packages", "warn: dpkg was interrupted");
        ASSERT_EQ(strv_extend(&facts.dpkg_broken, "libc6"), 0);
        EXPECT("packages", "warn: dpkg was interrupted; half installed: libc6");
        facts.dpkg_busy = 4711;
        EXPECT("packages", "warn: Another package manager is at work (process 4711)");
        facts.dpkg_busy = FACTS_SOMEBODY;
        EXPECT("packages", "warn: Another package manager is at work; the phases wait");
        facts.has_dpkg = false;
        EXPECT("packages", "warn: There is no list");
        done();
}

TEST(networks) {
        new_machine();
        facts.overlay_network = (char *) "vxlan0";
        EXPECT("network", "warn: The default route leaves by an overlay network");
        conf.bridge = true;
        EXPECT("network", "fail: The default route leaves by an overlay network");
        facts.overlay_network = NULL;
        strv_free(facts.uplinks);
        facts.uplinks = NULL;
        EXPECT("network", "warn: There is no default route");
        done();
}

/* What it means for the host's driver is the finding "driver" (nvidiacheck.h). */
TEST(secure_boot_is_told) {
        new_machine();
        facts.secure_boot = 1;
        EXPECT("secure-boot", "ok: on");
        facts.secure_boot = -1;
        EXPECT("secure-boot", "ok: ");
        done();
}

static void command_line(const char *word, const char *word2) {
        strv_free(facts.cmdline);
        facts.cmdline = NULL;
        ASSERT_EQ(strv_extend(&facts.cmdline, "quiet"), 0);
        ASSERT_EQ(strv_extend(&facts.cmdline, word), 0);
        if (word2)
                ASSERT_EQ(strv_extend(&facts.cmdline, word2), 0);
}

TEST(groups_settle_it_whatever_the_command_line_says) {
        new_machine();
        command_line("intel_iommu=off", "iommu=off");
        facts.iommu_firmware = NULL;
        facts.kernel.intel_iommu = KERNEL_NO;
        EXPECT("iommu", "ok: on, with 15 groups");
        done();
}

TEST(no_iommu_in_the_firmware) {
        new_machine();
        facts.iommu_groups = 0;
        facts.iommu_firmware = NULL;
        EXPECT("iommu", "fail: The firmware offers no IOMMU");
        command_line("intel_iommu=on", NULL);
        EXPECT("iommu", "fail: The firmware offers no IOMMU");
        facts.container = (char *) "docker";
        EXPECT("iommu", "warn: ");
        facts.container = NULL;
        conf.vfio = false;
        EXPECT("iommu", "");
        EXPECT("vfio", "ok: ");
        ASSERT_EQ(count(FINDING_FAIL), 0);
        done();
}

TEST(iommu_off_in_the_kernel) {
        new_machine();
        facts.iommu_groups = 0;
        EXPECT("iommu", "ok: off in the kernel; the iommu phase turns it on");
        command_line("intel_iommu=off", NULL);
        EXPECT("iommu", "fail: The administrator turned the IOMMU off: 'intel_iommu=off'");
        conf.override_iommu_off = true;
        EXPECT("iommu", "ok: off by 'intel_iommu=off'; the iommu phase overrides that");
        conf.override_iommu_off = false;
        command_line("intel_iommu=sm_on,off", NULL);
        EXPECT("iommu", "fail: The administrator");
        command_line("intel_iommu=off", "intel_iommu=igfx_off");
        EXPECT("iommu", "fail: The administrator");
        command_line("iommu=off", "intel_iommu=on");
        EXPECT("iommu", "fail: The administrator turned the IOMMU off: 'iommu=off'");
        command_line("intel_iommu=off", "intel_iommu=on");
        EXPECT("iommu", "fail: The kernel found the firmware's IOMMU table and could not start");
        command_line("intel_iommu=on", NULL);
        EXPECT("iommu", "fail: The kernel found the firmware's IOMMU table and could not start");
        command_line("xintel_iommu=off", NULL);
        EXPECT("iommu", "ok: off in the kernel");
        done();
}

TEST(amd_needs_no_word_so_none_would_help) {
        new_machine();
        facts.iommu_groups = 0;
        facts.iommu_firmware = "amd";
        EXPECT("iommu", "fail: The kernel found the firmware's IOMMU table and could not start");
        facts.kernel.amd_iommu = KERNEL_UNKNOWN;
        EXPECT("iommu", "ok: off in the kernel");
        command_line("amd_iommu=off", NULL);
        EXPECT("iommu", "fail: The administrator turned the IOMMU off: 'amd_iommu=off'");
        facts.kernel.amd_iommu = KERNEL_NO;
        EXPECT("iommu", "fail: The running kernel has no driver for this machine's IOMMU (CONFIG_AMD_IOMMU)");
        facts.kernel_swap = true;
        EXPECT("iommu",
               "ok: The running kernel has no driver for this machine's IOMMU (CONFIG_AMD_IOMMU); the "
               "packages phase tries");
        done();
}

TEST(kernels) {
        new_machine();
        facts.release = (char *) "6.1.0-40-cloud-amd64";
        EXPECT("kernel", "warn: This is the kernel for cloud guests");
        facts.kernel.vfio_pci = KERNEL_NO;
        EXPECT("kernel", "fail: The kernel was built without VFIO");
        facts.kernel_swap = true;
        EXPECT("kernel", "ok: The kernel was built without VFIO (CONFIG_VFIO_PCI); the packages phase tries");
        facts.kernel_swap = false;
        facts.release = (char *) "6.18.0";
        facts.kernel.vfio_pci = KERNEL_UNKNOWN;
        EXPECT("kernel", "ok: ");
        done();
}

TEST(no_gpu_fails_unless_vfio_is_left_out) {
        new_machine();
        device(0, "0000:00:02.0", 0x030000, 0x8086, 0);
        facts.bus.n = 1;
        EXPECT("gpu", "fail: There is no NVIDIA GPU");
        EXPECT("display", "ok: 8086:2684, not from NVIDIA");
        facts.container = (char *) "docker";
        EXPECT("gpu", "warn: There is no NVIDIA GPU");
        facts.container = NULL;
        conf.vfio = false;
        EXPECT("gpu", "");
        done();
}

TEST(a_blocked_group_fails_where_the_gpu_is_promised) {
        IommuKeep keep;

        new_machine();
        device(2, "0000:02:00.0", 0x020000, 0x8086, 14);
        facts.bus.n = 3;
        keep = (IommuKeep){ devices[2].bdf, "the network card of the default route (eno1)" };
        facts.keep.items = &keep;
        facts.keep.n = 1;
        EXPECT("gpu",
               "warn: Cannot be given to a VM: IOMMU group 14 also holds 0000:02:00.0, the network card of");
        EXPECT("kept", "ok: stays with the host");
        conf.gpu_mode = GPU_EXCLUSIVE;
        EXPECT("gpu", "fail: Cannot be given to a VM");
        facts.keep.n = 0;
        EXPECT("gpu", "ok: ");
        devices[2].driver = (char *) "igb";
        EXPECT("gpu", "fail: Cannot be given to a VM");
        ASSERT_EQ(strv_extend(&conf.accept_siblings, "0000:02:00.0"), 0);
        EXPECT("gpu", "ok: ");
        done();
}

TEST(before_the_reboot_there_is_no_group_to_judge) {
        new_machine();
        facts.iommu_groups = 0;
        devices[0].iommu_group = devices[1].iommu_group = -1;
        conf.gpu_mode = GPU_EXCLUSIVE;
        EXPECT("gpu", "ok: NVIDIA 10de:2684 (Ada), exclusive, driver none, no IOMMU group yet");
        ASSERT_EQ(count(FINDING_FAIL), 0);
        done();
}

TEST(cards_that_make_trouble) {
        new_machine();
        devices[0].reset_method = (char *) "";
        EXPECT("gpu", "warn: The kernel knows no way to reset it");
        devices[0].reset_method = NULL; /* a kernel that does not say */
        EXPECT("gpu", "ok: ");
        devices[0].boot_vga = true;
        EXPECT("gpu", "ok: ");
        conf.gpu_mode = GPU_EXCLUSIVE;
        EXPECT("gpu", "warn: It shows the host's console (boot display)");
        conf.gpu_mode = GPU_FLEXIBLE;
        facts.framebuffer = (char *) "EFI VGA";
        EXPECT("gpu", "warn: It shows the host's console (EFI VGA)");
        done();
}

/* BARs without an address, or gone; a small one that is placed is room enough. */
TEST(cards_without_room) {
        static const char no_room[] = "warn: The firmware gave it no room";

        new_machine();
        devices[0].unplaced = true;
        EXPECT("gpu", no_room);
        devices[0].unplaced = false;
        EXPECT("gpu", "ok: ");
        devices[0].bar_size[1] = 0;
        devices[0].n_placed = 1;
        EXPECT("gpu", no_room);
        devices[0].bar_size[2] = 4096;
        devices[0].n_placed = 2;
        EXPECT("gpu", "ok: ");
        devices[0].bar_size[3] = 32 * MIB; /* registers and the third: where is the second? */
        EXPECT("gpu", no_room);
        devices[0].bar_size[3] = devices[0].bar_size[2] = 0;
        devices[0].bar_size[4] = 32 * MIB;
        EXPECT("gpu", no_room);
        devices[0].bar_size[2] = 128 * GIB; /* as a Hopper has them */
        EXPECT("gpu", "ok: ");
        done();
}

TEST(an_nvswitch_board_is_told) {
        new_machine();
        device(2, "0000:05:00.0", 0x068000, 0x10de, 20);
        facts.bus.n = 3;
        EXPECT("nvswitch", "warn: NVSwitches (1)");
        done();
}

TEST(claims_count_only_where_they_meet_a_gpu) {
        Claim claims[] = {
                { (char *) "/etc/driverctl.d/pci-0000:01:00.1", (char *) "0000:01:00.1",
                  (char *) "snd_hda_intel" },
                { (char *) "/etc/modprobe.d/vfio.conf", (char *) "8086:1521,10DE:2684", (char *) "vfio-pci" },
                { (char *) "/etc/driverctl.d/pci-0000:09:00.0", (char *) "0000:09:00.0",
                  (char *) "vfio-pci" },
                { (char *) "/etc/modprobe.d/other.conf", (char *) "8086:1521", (char *) "vfio-pci" },
        };

        new_machine();
        facts.claims = (Claims){ claims, 1 };
        EXPECT("claim", "warn: Also binds 0000:01:00.1 to snd_hda_intel");
        facts.claims = (Claims){ claims + 1, 1 };
        EXPECT("claim", "warn: Also binds 8086:1521,10DE:2684 to vfio-pci");
        facts.claims = (Claims){ claims + 2, 2 };
        EXPECT("claim", "");
        done();
}

TEST(a_section_without_its_gpu) {
        ConfGpu sections[] = { { .path = (char *) "0000:01:00.0" },
                               { .path = (char *) "pci-0000:00:01.0/00.0" } };
        ConfGpu lost = { .path = (char *) "0000:41:00.0" };

        new_machine();
        conf.gpus = sections;
        conf.n_gpus = 2;
        EXPECT("gpu", "ok: ");
        conf.gpus = &lost;
        conf.n_gpus = 1;
        EXPECT("gpu", "warn: The configuration has a [Gpu] section for it");
        conf.gpus = NULL;
        conf.n_gpus = 0;
        done();
}

TEST(the_first_of_the_worst_is_told) {
        Findings l = {};

        ASSERT(!findings_worst(&l));
        ASSERT_EQ(findings_add(&l, FINDING_OK, "a", NULL, NULL, "x"), 0);
        ASSERT_EQ(findings_add(&l, FINDING_FAIL, "b", "/", "Do it.", "%d%%", 5), 0);
        ASSERT_EQ(findings_add(&l, FINDING_FAIL, "c", NULL, NULL, "x"), 0);
        ASSERT_STREQ(findings_worst(&l)->check, "b");
        ASSERT_STREQ(findings_worst(&l)->text, "5%");
        ASSERT_EQ(findings_count(&l, FINDING_FAIL), 2);
        findings_done(&l);
}
