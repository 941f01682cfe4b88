/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A machine each of whose files holds the same bytes: whatever they are, there is a verdict, and each finding
 * of it says something. */

#include <ftw.h>

#include "fs.h"
#include "preflight.h"
#include "strv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DEVICE "/sys/bus/pci/devices/0000:01:00."

static const char *const files[] = {
        "/etc/os-release",
        "/etc/modprobe.d/vfio.conf",
        "/etc/driverctl.d/pci-0000:01:00.0",
        "/boot/config-6.1.0",
        "/proc/cmdline",
        "/proc/consoles",
        "/proc/cpuinfo",
        "/proc/fb",
        "/proc/locks",
        "/proc/meminfo",
        "/proc/modules",
        "/proc/self/mountinfo",
        "/proc/self/net/ipv6_route",
        "/proc/self/net/route",
        "/proc/swaps",
        "/sys/class/net/eno1/uevent",
        DEVICE "0/boot_vga",
        DEVICE "0/reset_method",
        DEVICE "0/resource",
        DEVICE "1/class",
        DEVICE "2/config",
        DEVICE "2/vendor",
};

static char directory[] = "/tmp/gpuvm-fuzz-XXXXXX";

static void check(bool holds) {
        if (!holds)
                abort();
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
        return remove(path);
}

static void remove_machine(void) {
        (void) nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* What has to be right so that the rest is looked at. */
static int new_machine(void) {
        static const struct {
                const char *path, *text;
        } good[] = {
                { "/proc/sys/kernel/osrelease", "6.1.0\n" }, { "/var/lib/dpkg/lock-frontend", "" },
                { DEVICE "0/class", "0x030000\n" },          { DEVICE "0/vendor", "0x10de\n" },
                { DEVICE "0/device", "0x2684\n" },           { DEVICE "1/vendor", "0x10de\n" },
                { DEVICE "1/device", "0x22ba\n" },           { DEVICE "2/class", "0x060400\n" },
                { DEVICE "2/device", "0x0001\n" },
        };
        int root;

        check(mkdtemp(directory));
        (void) atexit(remove_machine);
        root = fs_open_root(directory);
        check(root >= 0);
        for (size_t i = 0; i < ELEMENTSOF(good); i++)
                check(fs_write_atomic(root, good[i].path, good[i].text, strlen(good[i].text), 0644) == 0);
        for (size_t i = 0; i < ELEMENTSOF(files); i++)
                check(fs_write_atomic(root, files[i], "", 0, 0644) == 0);
        return root;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static int root = -1;
        _cleanup_(facts_done) Facts facts = {};
        _cleanup_(findings_done) Findings findings = {};
        _cleanup_(conf_done) Conf conf = {};

        if (root < 0)
                root = new_machine();
        for (size_t i = 0; i < ELEMENTSOF(files); i++) {
                _cleanup_close_ int fd = fs_open(root, files[i], O_WRONLY, 0);

                /* Not O_TRUNC: ext4 flushes a file that was emptied first, 22 of them each time. */
                check(fd >= 0 && write_all(fd, data, size) == 0 && ftruncate(fd, (off_t) size) == 0);
        }
        check(conf_init(&conf) == 0);
        check(facts_read(root, &facts) == 0);
        check(facts.bus.n >= 1);
        check(preflight_judge(&facts, &conf, &findings) == 0);
        check(findings.n > 0);
        for (size_t i = 0; i < findings.n; i++)
                check(*findings.items[i].check && *findings.items[i].text);
        return 0;
}
