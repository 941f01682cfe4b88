/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "facts.h"
#include "strv.h"
#include "tests/tap.h"
#include "tests/tree.h"

#define SECURE_BOOT "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"

static Facts look(int root) {
        Facts f;

        ASSERT_EQ(facts_read(root, &f), 0);
        return f;
}

TEST(an_empty_machine_is_all_unknown) {
        Facts f = look(tree_new());

        ASSERT(!f.os_id);
        ASSERT_STREQ(f.machine, "");
        ASSERT_EQ(f.kernel.vfio_pci, KERNEL_UNKNOWN);
        ASSERT_EQ(f.iommu_groups, 0);
        ASSERT_EQ(f.secure_boot, 0);
        ASSERT_EQ(f.disks[0].total, 0);
        facts_done(&f);
}

TEST(names_and_quotes) {
        int root = tree_new();
        Facts f;

        tree_put("/usr/lib/os-release", "ID=wrong\n");
        tree_put("/etc/os-release",
                 "PRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\nID=debian\nVERSION_ID='13'\n"
                 "ID_LIKE=\n#ID=x\n");
        f = look(root);
        ASSERT_STREQ(f.os_id, "debian");
        ASSERT_STREQ(f.os_version, "13");
        ASSERT_STREQ(f.os_name, "Debian GNU/Linux 13 (trixie)");
        ASSERT_STREQ(f.os_like, "");
        facts_done(&f);
}

TEST(processors) {
        int root = tree_new();
        Facts f;

        tree_put("/proc/cpuinfo",
                 "processor\t: 0\nvendor_id\t: AuthenticAMD\nflags\t\t: fpu vmxoff svm hypervisor\n"
                 "\nprocessor\t: 1\nvendor_id\t: X\nflags\t\t: vmx\n");
        tree_put("/proc/meminfo", "MemTotal:       65853380 kB\nMemFree: 1 kB\n");
        f = look(root);
        ASSERT_STREQ(f.cpu_vendor, "AuthenticAMD");
        ASSERT(f.svm && !f.vmx && f.virtual_machine);
        ASSERT_STREQ(f.machine, "x86_64");
        ASSERT_EQ(f.memory, 65853380LL * 1024);
        facts_done(&f);
        tree_put("/proc/cpuinfo", "processor\t: 0\nCPU implementer\t: 0x41\n");
        f = look(root);
        ASSERT_STREQ(f.machine, "aarch64");
        facts_done(&f);
        tree_put("/proc/sys/kernel/arch", "riscv64\n");
        f = look(root);
        ASSERT_STREQ(f.machine, "riscv64");
        facts_done(&f);
}

TEST(kernel_configuration_of_the_running_kernel) {
        int root = tree_new();
        Facts f;

        tree_put("/proc/sys/kernel/osrelease", "6.1.0-40-cloud-amd64\n");
        tree_put("/boot/config-6.1.0-41-amd64", "CONFIG_AMD_IOMMU=y\n");
        f = look(root);
        ASSERT_EQ(f.kernel.amd_iommu, KERNEL_UNKNOWN);
        facts_done(&f);
        tree_put("/boot/config-6.1.0-40-cloud-amd64",
                 "CONFIG_VFIO_PCI_VGA=y\nCONFIG_VFIO=m\nCONFIG_VFIO_PCI=m\n# CONFIG_AMD_IOMMU is not set\nCONFIG_INTEL_IOMMU=y\n");
        f = look(root);
        ASSERT_EQ(f.kernel.vfio_pci, KERNEL_MODULE);
        ASSERT_EQ(f.kernel.amd_iommu, KERNEL_NO);
        ASSERT_EQ(f.kernel.intel_iommu, KERNEL_BUILTIN);
        facts_done(&f);
}

TEST(secure_boot_is_the_fifth_byte) {
        int root = tree_new();
        Facts f;

        tree_put("/sys/firmware/efi/runtime", "");
        f = look(root);
        ASSERT(f.efi);
        ASSERT_EQ(f.secure_boot, -1);
        facts_done(&f);
        ASSERT_EQ(fs_write_atomic(root, SECURE_BOOT, "\x06\0\0\0\x01", 5, 0644), 0);
        f = look(root);
        ASSERT_EQ(f.secure_boot, 1);
        facts_done(&f);
        ASSERT_EQ(fs_write_atomic(root, SECURE_BOOT, "\x06\0\0\0\0", 5, 0644), 0);
        f = look(root);
        ASSERT_EQ(f.secure_boot, 0);
        facts_done(&f);
}

TEST(surroundings_and_other_hypervisors) {
        int root = tree_new();
        Facts f;

        tree_put("/proc/modules", "vboxdrv_like 1 0 - Live 0x0\nkvm 1 0 - Live 0x0\n");
        f = look(root);
        ASSERT(!f.other_hypervisor);
        ASSERT(!f.container);
        facts_done(&f);
        tree_put("/proc/modules", "vmmon 1 0 - Live 0x0\n");
        tree_put("/run/systemd/container", "lxc\n");
        tree_put("/proc/xen/capabilities", "control_d\n");
        tree_put("/proc/fb", "0 EFI VGA\n");
        f = look(root);
        ASSERT_STREQ(f.other_hypervisor, "vmmon");
        ASSERT_STREQ(f.container, "lxc");
        ASSERT(f.xen_dom0);
        ASSERT_STREQ(f.framebuffer, "EFI VGA");
        facts_done(&f);
        tree_put("/proc/fb", "0 nouveaudrmfb\n");
        f = look(root);
        ASSERT(!f.framebuffer);
        facts_done(&f);
}

TEST(a_busy_and_broken_dpkg) {
        int root = tree_new();
        char *text = NULL;
        struct stat st;
        Facts f;

        tree_put("/var/lib/dpkg/status",
                 "Package: a\nStatus: install ok half-configured\nVersion: 1\n"
                 "Architecture: amd64\n\nPackage: b\nStatus: install ok installed\n"
                 "Version: 1\nArchitecture: amd64\n\n");
        tree_put("/var/lib/dpkg/lock-frontend", "");
        ASSERT_EQ(fs_stat(root, "/var/lib/dpkg/lock-frontend", &st), 0);
        f = look(root);
        ASSERT(f.has_dpkg);
        ASSERT_EQ(f.dpkg_busy, 0);
        ASSERT_EQ(strv_length(f.dpkg_broken), 1);
        ASSERT_STREQ(f.dpkg_broken[0], "a");
        facts_done(&f);
        ASSERT(asprintf(&text, "1: FLOCK  ADVISORY  WRITE 77 00:19:%llu 0 EOF\n", st.st_ino + 1ULL) > 0);
        tree_put("/proc/locks", text);
        free(text);
        f = look(root);
        ASSERT_EQ(f.dpkg_busy, 0);
        facts_done(&f);
        ASSERT(asprintf(&text, "1: POSIX  ADVISORY  WRITE 4711 08:02:%llu 0 EOF\n",
                        (unsigned long long) st.st_ino) > 0);
        tree_put("/proc/locks", text);
        free(text);
        f = look(root);
        ASSERT_EQ(f.dpkg_busy, 4711);
        facts_done(&f);
}

TEST(what_stands_on_disk) {
        int root = tree_new();
        Facts f;

        tree_put("/proc/self/mountinfo",
                 "1 0 0:24 / / rw - overlay overlay rw\n2 1 8:1 / /boot rw - ext4 /dev/sda1 rw\n");
        tree_put("/proc/sys/kernel/arch", "x86_64\n");
        tree_put("/usr/bin/qemu-system-x86_64", "");
        tree_put("/usr/share/OVMF/OVMF_CODE_4M.fd", "");
        tree_put("/usr/share/AAVMF/AAVMF_CODE.fd", "");
        f = look(root);
        ASSERT_STREQ(f.root_type, "overlay");
        ASSERT(f.disks[1].own && !f.disks[2].own);
        ASSERT(f.qemu && f.ovmf && !f.iso_tool);
        facts_done(&f);
        tree_put("/proc/sys/kernel/arch", "aarch64\n");
        f = look(root);
        ASSERT(!f.qemu && f.ovmf);
        facts_done(&f);
}
