/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Prints machines of each shape, for domain.sh: print-domain CASE [TYPE] */

#include "domain.h"
#include "hostdevs.h"
#include "xml.h"

static const Bdf card[] = { { 0, 0x65, 0, 0 }, { 0, 0x65, 0, 1 } };
static const Bdf turing[] = { { 0, 0x17, 0, 0 }, { 0, 0x17, 0, 1 }, { 0, 0x17, 0, 2 }, { 0, 0x17, 0, 3 } };
static const Bdf vmd[] = { { 0x10000, 0xe1, 0, 0 } };
static const Bdf odd[] = { { 0, 0x81, 0, 2 }, { 0, 0x81, 0, 3 } };

static const DomainDisk system_disk = { "/var/lib/libvirt/images/gpuvm/talos-01.qcow2", "qcow2" };
static const DomainDisk two_disks[] = {
        { "/var/lib/libvirt/images/gpuvm/a&b \"<c>.qcow2", "qcow2" },
        { "/srv/data.raw", "raw" },
};
static const DomainGpu one_gpu = { .functions = card, .n_functions = ELEMENTSOF(card) };
static const DomainGpu many_gpus[] = {
        { .functions = turing, .n_functions = ELEMENTSOF(turing), .rom = DOMAIN_ROM_OFF },
        { .functions = vmd,
          .n_functions = ELEMENTSOF(vmd),
          .rom = DOMAIN_ROM_FILE,
          .rom_file = "/srv/vbios.rom" },
        { .functions = odd, .n_functions = ELEMENTSOF(odd) },
};

#define UUID "f3a1c2d4-0f5e-4b7a-9c3d-1e2f3a4b5c6d"

static const struct {
        const char *name;
        Domain domain;
} cases[] = {
        { "talos",
          { .name = "talos-01",
            .uuid = UUID,
            .kind = "talos",
            .vcpus = 8,
            .memory_kib = 16777216,
            .numa_node = -1,
            .disks = &system_disk,
            .n_disks = 1,
            .network = "default",
            .mac = "52:54:00:3a:4b:5c",
            .gpus = &one_gpu,
            .n_gpus = 1,
            .spare_ports = 4,
            .image = "talos v1.14.2" } },
        { "desktop",
          { .name = "ubuntu-desktop-01",
            .uuid = UUID,
            .kind = "ubuntu",
            .title = "Desk & <chair>",
            .vcpus = 6,
            .memory_kib = 33554432,
            .hugepage_kib = 1048576,
            .numa_node = 1,
            .cpuset = "16-21",
            .disks = two_disks,
            .n_disks = 2,
            .seed = "/var/lib/libvirt/images/gpuvm/ubuntu-desktop-01-seed.iso",
            .bridge = "br0",
            .mac = "52:54:00:01:02:03",
            .gpus = many_gpus,
            .n_gpus = 3,
            .spare_ports = 8,
            .screen = true,
            .serial_log = "/var/log/libvirt/qemu/ubuntu-desktop-01-console.log",
            .address = "203.0.113.7/32",
            .gateway = "203.0.113.1",
            .image = "ubuntu 25.10",
            .user = "ada",
            .told = (char *const[]){ (char *) "Packages=a&b", (char *) "SshKey=<c>", NULL },
            .created = "2026-11-21T20:40:00Z",
            .took_sec = 42 } },
        { "plain",
          { .name = "debian-01",
            .uuid = UUID,
            .kind = "debian",
            .vcpus = 2,
            .memory_kib = 2097152,
            .numa_node = -1,
            .disks = &system_disk,
            .n_disks = 1 } },
        { "pinned",
          { .name = "debian-02",
            .uuid = UUID,
            .kind = "debian",
            .vcpus = 4,
            .memory_kib = 8388608,
            .hugepage_kib = 2048,
            .numa_node = 1,
            .cpuset = "8-15",
            .pins = (const unsigned[]){ 8, 9, 10, 11 },
            .bios = true,
            .disks = &system_disk,
            .n_disks = 1 } },
        { "store",
          { .name = "llm-01",
            .uuid = UUID,
            .kind = "llm",
            .vcpus = 4,
            .memory_kib = 8388608,
            .hugepage_kib = 2048,
            .numa_node = 0,
            .disks = &system_disk,
            .n_disks = 1,
            .store = "/srv/models & more",
            .store_readonly = true,
            .gpus = &one_gpu,
            .n_gpus = 1 } },
        { "stored",
          { .name = "llm-02",
            .uuid = UUID,
            .kind = "llm",
            .vcpus = 4,
            .memory_kib = 8388608,
            .numa_node = -1,
            .disks = &system_disk,
            .n_disks = 1,
            .store = "/srv/models-ro" } },
        { "arm",
          { .arch = DOMAIN_AARCH64,
            .name = "talos-arm",
            .uuid = UUID,
            .kind = "talos",
            .vcpus = 4,
            .memory_kib = 4194304,
            .numa_node = -1,
            .disks = &system_disk,
            .n_disks = 1,
            .seed = "/var/lib/libvirt/images/gpuvm/talos-arm-seed.iso",
            .network = "default",
            .mac = "52:54:00:3a:4b:5d",
            .gpus = &one_gpu,
            .n_gpus = 1,
            .spare_ports = 2 } },
};

static int print_case(const char *name, DomainType type) {
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *xml = NULL;
                Domain d = cases[i].domain;
                int r;

                if (!streq(cases[i].name, name))
                        continue;
                d.type = type;
                r = domain_xml(&d, &xml);
                if (r >= 0)
                        (void) fputs(xml, stdout);
                return r;
        }
        return -ENOENT;
}

/* What contradicts itself is refused. */
static int print_refused(void) {
        static const DomainGpu empty = { .functions = card },
                               blind = { .functions = card, .n_functions = 1, .rom = DOMAIN_ROM_FILE };
        const Domain good = cases[0].domain;
        Domain bad[] = { good, good, good, good, good, good, good };

        bad[0].vcpus = 0;
        bad[1].memory_kib = 0;
        bad[2].bridge = "br0";
        bad[3].mac = NULL;
        bad[4].gpus = &empty;
        bad[5].gpus = &blind;
        bad[6].arch = DOMAIN_AARCH64;
        bad[6].bios = true;
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                char *xml = NULL;

                (void) printf("%zu %d\n", i, domain_xml(&bad[i], &xml) == -EINVAL);
        }
        return 0;
}

/* The definition on standard input, with the card or without it. */
static int print_changed(bool has) {
        const HostdevCard cards = { .functions = { card[0], card[1] }, .n = 2, .is_gpu = true };
        _cleanup_free_ char *xml = NULL, *text = calloc(1, XML_SIZE_MAX);
        int r;

        if (!text || fread(text, 1, XML_SIZE_MAX - 1, stdin) == 0)
                return -EIO;
        r = (has ? hostdevs_add : hostdevs_remove)(text, &cards, 1, &xml);
        return r <= 0 ? -EINVAL : puts(xml);
}

int main(int argc, char *argv[]) {
        _cleanup_free_ char *xml = NULL;
        DomainType type = DOMAIN_KVM;

        for (DomainType t = 0; argc > 2 && t < _DOMAIN_TYPE_MAX; t++)
                if (streq(domain_type_to_string(t), argv[2]))
                        type = t;
        if (argc < 2)
                return 2;
        if (streq(argv[1], "refused"))
                return print_refused() < 0;
        if (streq(argv[1], "hostdev"))
                return domain_hostdev_xml(card[1], 12, 0, false, &xml) < 0 || fputs(xml, stdout) < 0;
        if (streq(argv[1], "add") || streq(argv[1], "remove"))
                return print_changed(streq(argv[1], "add")) < 0;
        return print_case(argv[1], type) < 0;
}
