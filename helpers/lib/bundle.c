/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fnmatch.h>

#include "bundle.h"
#include "bundletext.h"
#include "fs.h"
#include "memstream.h"
#include "strv.h"

enum { LINKS_MAX = 40, CONFIG_HEADER = 64, FIRST_USER = 1000, NOBODY = 65534 };

typedef struct Source {
        const char *pattern; /* "*" in a component is any name; "a|b" in the last one is each of them */
        BundleFilter filter; /* NULL: that it is there is all that counts */
} Source;

/* In the order of the rooms that read them. */
static const Source sources[] = {
        /* facts, kernel, osrelease, cmdline, conf */
        { "/etc/os-release", bundle_text },
        { "/usr/lib/os-release", bundle_text },
        { "/etc/gpuvm.conf", bundle_conf },
        { "/etc/gpuvm.conf.d/*.conf", bundle_conf },
        { "/run/gpuvm.conf.d/*.conf", bundle_conf },
        { "/usr/lib/gpuvm.conf.d/*.conf", bundle_conf },
        { "/proc/cmdline", bundle_cmdline },
        { "/proc/cpuinfo", bundle_cpuinfo },
        { "/proc/meminfo", bundle_meminfo },
        { "/proc/modules", bundle_modules },
        { "/proc/fb|consoles", bundle_text },
        { "/proc/sys/kernel/osrelease|arch", bundle_text },
        { "/proc/xen/capabilities", bundle_text },
        { "/run/systemd/container", bundle_text },
        { "/run/host/container-manager", bundle_text },
        { "/.dockerenv", NULL },
        { "/run/.containerenv", NULL },
        { "/sys/class/dmi/id/sys_vendor|product_name", bundle_text },
        { "/sys/firmware/efi", NULL },
        { "/sys/firmware/efi/efivars/SecureBoot-*", bundle_bytes },
        { "/sys/firmware/efi/efivars/MokListRT-*", bundle_mok_list },
        { "/var/lib/dkms/mok.pub", bundle_mok },
        { "/var/lib/shim-signed/mok/MOK.der", bundle_mok },
        { "/sys/firmware/acpi/tables/*", NULL },
        { "/boot/vmlinuz-*", NULL },
        { "/boot/initrd.img-*", NULL },
        { "/boot/config-*", bundle_kernel_config },
        { "/boot/grub/grub.cfg", bundle_grub },
        { "/lib/modules/*/config", bundle_kernel_config },
        { "/lib/modules/*/modules.dep|modules.builtin", bundle_module_list },
        { "/dev/kvm", NULL },
        { "/dev/net/tun", NULL },
        { "/dev/vhost-net", NULL },
        { "/usr/bin/qemu-system-x86_64|qemu-system-aarch64|genisoimage|mkisofs|xorriso|nvidia-smi|nvidia-uninstall",
          NULL },
        { "/usr/bin/dockerd|podman|containerd|crio", NULL },
        { "/usr/share/OVMF/OVMF_CODE*", NULL },
        { "/usr/share/AAVMF/AAVMF_CODE*", NULL },
        { "/sys/fs/cgroup/cgroup.controllers", bundle_text },
        /* packages */
        { "/var/lib/dpkg/status", bundle_dpkg },
        { "/var/lib/dpkg/updates/*", NULL },
        { "/etc/apt/sources.list", bundle_apt },
        { "/etc/apt/sources.list.d/*.list", bundle_apt },
        { "/etc/apt/sources.list.d/*.sources", bundle_apt },
        /* pci, iommu, keep, claims */
        { "/sys/bus/pci/devices/*/class|vendor|device|subsystem_vendor|subsystem_device|resource|boot_vga|numa_node|"
          "reset_method|modalias",
          bundle_text },
        { "/sys/bus/pci/devices/*/driver|iommu_group|physfn", NULL },
        { "/sys/bus/pci/devices/*/config", bundle_pci_config },
        { "/sys/kernel/iommu_groups/*/devices/*", NULL },
        { "/proc/1/mountinfo", bundle_mounts },
        { "/proc/self/mountinfo", bundle_mounts },
        { "/proc/swaps", bundle_swaps },
        { "/sys/class/block/*/dm/name", bundle_text },
        { "/sys/class/block/*/slaves/*", NULL },
        { "/sys/class/block/*", NULL },
        { "/sys/dev/block/*", NULL },
        { "/sys/devices/virtual/nvme-subsystem/*/nvme*", NULL },
        { "/sys/fs/btrfs/*/devices/*", NULL },
        { "/sys/class/tty/ttyS*", NULL },
        { "/sys/class/tty/hvc*", NULL },
        { "/sys/class/tty/ttyAMA*", NULL },
        { "/etc/driverctl.d/*", bundle_text },
        { "/etc/modprobe.d/*.conf", bundle_modprobe },
        { "/run/modprobe.d/*.conf", bundle_modprobe },
        { "/usr/local/lib/modprobe.d/*.conf", bundle_modprobe },
        /* NVIDIA's driver */
        { "/proc/driver/nvidia/version", bundle_driver_version },
        { "/sys/module/nvidia|nvidia_current/version", bundle_text },
        { "/usr/lib/x86_64-linux-gnu/libcuda.so.1", NULL },
        { "/usr/lib/aarch64-linux-gnu/libcuda.so.1", NULL },
        { "/usr/lib/x86_64-linux-gnu/nvidia/current/libcuda.so.1", NULL },
        { "/usr/lib/aarch64-linux-gnu/nvidia/current/libcuda.so.1", NULL },
        { "/usr/lib64/libcuda.so.1", NULL },
        { "/usr/lib/libcuda.so.1", NULL },
        { "/usr/local/lib/libcuda.so.1", NULL },
        { "/usr/local/nvidia/lib64/libcuda.so.1", NULL },
        /* the network */
        { "/etc/netplan/*", NULL },
        { "/run/systemd/netif/links/*", NULL },
        { "/run/NetworkManager/*", NULL },
        { "/run/network/*", NULL },
        { "/proc/1/net/route", bundle_route },
        { "/proc/self/net/route", bundle_route },
        { "/proc/1/net/ipv6_route", bundle_route6 },
        { "/proc/self/net/ipv6_route", bundle_route6 },
        { "/proc/sys/net/ipv4/ip_forward", bundle_text },
        { "/proc/sys/net/bridge/bridge-nf-call-iptables|bridge-nf-call-ip6tables", bundle_text },
        { "/sys/class/net/*/operstate|uevent", bundle_text },
        { "/sys/class/net/*/bridge", NULL },
        { "/sys/class/net/*/brif/*", NULL },
        { "/sys/class/net/*/lower_*", NULL },
        /* what gpuvm wrote */
        { "/run/gpuvm/phases/*.json", bundle_phase },
        { "/run/gpuvm/reboot.d/*", bundle_text },
        { "/run/gpuvm/poisoned/*", bundle_text },
        { "/var/lib/gpuvm/gpus|bridge|bridge.pending|pending", bundle_text },
        { "/var/lib/gpuvm/report.json", NULL },
};

typedef struct Bundle {
        int root;
        Scrub *scrub;
        Tar tar;
} Bundle;

/* Without the slash at its front, and scrubbed: an interface may be named by its MAC address. What cannot be
 * a name in a tar is left out. */
static int add(Bundle *b, const char *path, TarKind kind, const void *data, size_t size) {
        _cleanup_free_ char *name = NULL;
        int r = scrub_text(b->scrub, path, &name);

        if (r >= 0)
                r = tar_add(&b->tar, name + 1, kind, data, size);
        return r == -EINVAL ? 0 : r;
}

static int add_link(Bundle *b, const char *path, const char *target) {
        _cleanup_free_ char *name = NULL;
        int r = scrub_text(b->scrub, target, &name);

        return r < 0 ? r : add(b, path, TAR_LINK, name, strlen(name));
}

/* What vanishes, or may not be read, is left out. */
static int add_file(Bundle *b, const char *path, const Source *s) {
        const size_t max = s->filter == bundle_pci_config ? CONFIG_HEADER : TAR_FILE_MAX;
        _cleanup_(memstream_done) Memstream m = {};
        _cleanup_free_ char *data = NULL, *text = NULL;
        size_t size = 0, written = 0;
        int r;

        r = s->filter == bundle_pci_config ? bundle_read_header(b->root, path, max, &data, &size)
                                           : fs_read(b->root, path, max, &data, &size);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        if (!memstream_open(&m))
                return -ENOMEM;
        r = s->filter(b->root, b->scrub, data, size, m.file);
        if (r >= 0)
                r = memstream_close(&m, &text, &written);
        return r < 0 ? r : add(b, path, TAR_FILE, text, written);
}

static int add_leaf(Bundle *b, const char *path, const Source *s) {
        struct stat st;

        if (fs_stat(b->root, path, &st) < 0)
                return 0;
        if (S_ISDIR(st.st_mode))
                return add(b, path, TAR_DIRECTORY, NULL, 0);
        return s->filter && S_ISREG(st.st_mode) ? add_file(b, path, s) : add(b, path, TAR_FILE, "", 0);
}

static int walk(Bundle *b, const char *at, const char *rest, const Source *s, unsigned links);

/* Links are kept as they are, and what they lead to is where it is: readers look at both. */
static int follow(Bundle *b, const char *at, const char *path, const char *target, const char *rest,
                  const Source *s, unsigned links) {
        _cleanup_free_ char *further = NULL;
        int r;

        r = add_link(b, path, target);
        if (r < 0 || links >= LINKS_MAX)
                return r;
        r = str_printf(&further, "%s%s%s", target, *rest ? "/" : "", rest);
        return r < 0 ? r : walk(b, *target == '/' ? "" : at, further, s, links + 1);
}

/* One component of a name, which has no link in front of it. */
static int step(Bundle *b, const char *at, const char *name, const char *rest, const Source *s,
                unsigned links) {
        _cleanup_free_ char *path = NULL, *target = NULL;
        int r;

        if (streq(name, "."))
                return walk(b, at, rest, s, links);
        if (streq(name, "..")) {
                const char *end = strrchr(at, '/');

                path = strndup(at, end ? (size_t) (end - at) : 0);
                return path ? walk(b, path, rest, s, links) : -ENOMEM;
        }
        if (str_printf(&path, "%s/%s", at, name) < 0)
                return -ENOMEM;
        r = fs_readlink(b->root, path, &target);
        if (r == -ENOMEM)
                return r;
        if (r >= 0)
                return follow(b, at, path, target, rest, s, links);
        return *rest ? walk(b, path, rest, s, links) : add_leaf(b, path, s);
}

static int step_any(Bundle *b, const char *at, const char *pattern, const char *rest, const Source *s,
                    unsigned links) {
        _cleanup_strv_ char **names = NULL;
        int r;

        r = fs_list(b->root, *at ? at : "/", &names);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        STRV_FOREACH(n, names) {
                r = fnmatch(pattern, *n, 0) == 0 ? step(b, at, *n, rest, s, links) : 0;
                if (r < 0)
                        return r;
        }
        return 0;
}

static int walk(Bundle *b, const char *at, const char *rest, const Source *s, unsigned links) {
        _cleanup_strv_ char **names = NULL;
        _cleanup_free_ char *first = NULL;
        int r;

        rest += strspn(rest, "/");
        if (!*rest)
                return *at ? add_leaf(b, at, s) : 0;
        first = strndup(rest, strcspn(rest, "/"));
        if (!first)
                return -ENOMEM;
        rest += strlen(first);
        rest += strspn(rest, "/");
        if (strchr(first, '*'))
                return step_any(b, at, first, rest, s, links);
        r = strv_split(first, "|", &names);
        STRV_FOREACH(n, names)
                if (r >= 0)
                        r = step(b, at, *n, rest, s, links);
        return r;
}

static int add_evidence(Bundle *b, const Evidence *e) {
        _cleanup_free_ char *text = NULL, *clean = NULL;
        int r;

        r = evidence_format(e, &text);
        if (r >= 0)
                r = scrub_text(b->scrub, text, &clean);
        return r < 0 ? r : add(b, EVIDENCE_PATH, TAR_FILE, clean, strlen(clean));
}

static void bundle_done(Bundle *b) {
        tar_done(&b->tar);
        if (b->scrub)
                scrub_free(b->scrub);
}

/* "NAME:x:UID:...": people, not the system's own accounts (SYS_UID_MAX and UID_MIN of login.defs(5)). */
static int hide_users(Bundle *b) {
        _cleanup_strv_ char **lines = NULL;
        _cleanup_free_ char *text = NULL;
        int r;

        r = fs_read(b->root, "/etc/passwd", TAR_FILE_MAX, &text, NULL);
        if (r >= 0)
                r = strv_split(text, "\n", &lines);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        STRV_FOREACH(line, lines) {
                char *end = strchr(*line, ':'), *uid = end ? strchr(end + 1, ':') : NULL;

                if (!uid || strtoul(uid + 1, NULL, 10) < FIRST_USER || strtoul(uid + 1, NULL, 10) == NOBODY)
                        continue;
                *end = '\0';
                if (scrub_hide_user(b->scrub, *line) < 0)
                        return -ENOMEM;
        }
        return 0;
}

int bundle_collect(int root, const char *hostname, const Evidence *e, Tar *ret) {
        _cleanup_(bundle_done) Bundle b = { .root = root };
        int r;

        r = scrub_new(hostname, &b.scrub);
        if (r >= 0)
                r = hide_users(&b);
        if (r >= 0)
                r = add_evidence(&b, e);
        for (size_t i = 0; i < ELEMENTSOF(sources) && r >= 0; i++)
                r = walk(&b, "", sources[i].pattern, &sources[i], 0);
        if (r < 0)
                return r;
        tar_sort(&b.tar);
        *ret = b.tar;
        b.tar = (Tar){};
        return 0;
}
