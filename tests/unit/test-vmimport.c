/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Machines of other people's catalogs: each way to write a thing, and what is wrong with it. */

#include "fs.h"
#include "strv.h"
#include "tests/tap.h"
#include "vmimport.h"

static VmImport got;
static YamlNode *root;
static char **told;
static const char *unknown;

static void note(const char *path, unsigned line, const char *text, void *userdata) {
        ASSERT_EQ(strv_extendf(&told, "%s:%u: %s", path, line, text), 0);
}

static int find_gpu(unsigned vendor, unsigned device, char **ret, void *userdata) {
        if (vendor != 0x10de || device != 0x2d04)
                return 0;
        *ret = strdup("GeForce RTX 5060 Ti");
        return *ret ? 1 : -ENOMEM;
}

static int import(const char *text, VmImportWish w) {
        YamlError error;
        int r;

        vmimport_done(&got);
        strv_free(told);
        told = NULL;
        if (root)
                yamldoc_free(root);
        root = NULL;
        w.find_gpu = find_gpu;
        r = yamldoc_parse(text, strlen(text), &root, &error);
        if (r == -ENOPKG)
                SKIP("libyaml's library is not installed");
        ASSERT_EQ(r, 0);
        return vmimport_read(root, "c.yml", &w, note, NULL, &got, &unknown);
}

/* The first machine of such a catalog. */
_printf_(1, 2) static const VmFile *import_one(const char *format, ...) {
        _cleanup_free_ char *catalog = NULL;
        va_list ap;

        va_start(ap, format);
        ASSERT(vasprintf(&catalog, format, ap) >= 0);
        va_end(ap);
        ASSERT_EQ(import(catalog, (VmImportWish){}), 0);
        return &got.machines[0].file;
}

/* The file of a machine with these lines, without what all of them have; or what is wrong. */
static const char *one(const char *lines) {
        static char *text;
        const VmFile *f = import_one("vms:\n - name: a\n   os: debian-13\n%s", lines);
        char *start;

        ASSERT_EQ(got.n, 1);
        free(text);
        text = NULL;
        if (told) {
                text = strv_join(told, "|");
                return text;
        }
        ASSERT_EQ(vmfile_format(f, &text), 0);
        start = strstr(text, "\n\n[Gpu]\nGpu=none\n");
        if (start)
                memmove(start, start + strlen("\n\n[Gpu]\nGpu=none"),
                        strlen(start) + 1 - strlen("\n\n[Gpu]\nGpu=none"));
        for (char *c = text; (c = strchr(c, '\n'));)
                *c = ' ';
        return text;
}

#define BASE "[Vm] Kind=debian Release=13 "

TEST(sizes_in_each_way_to_write_them) {
        static const char expected[] = "[Vm] Kind=debian Cpus=8 Memory=8192 Disk=40G Release=13 ";

        ASSERT_STREQ(one("   cores: 8\n   memory: 8192\n   disk: 40\n"), expected);
        ASSERT_STREQ(one("   vcpus: 8\n   RAM: 8192\n   disk_size: 40GB\n"), expected);
        ASSERT_STREQ(one("   cpu: {cores: 4, sockets: 2}\n   memory: {dedicated: 8192}\n   disks: [{size: 40 GiB}]\n"),
                     expected);
        ASSERT_STREQ(one("   resources: {cores: 8, memory-mb: \"8192\", disk_gb: 40}\n"), expected);
        ASSERT_STREQ(one("   memory_gb: 8\n"), "[Vm] Kind=debian Memory=8G Release=13 ");
        ASSERT_STREQ(one("   cores: ~\n"), BASE);
}

TEST(sizes_that_are_none) {
        ASSERT_STREQ(one("   cores: four\n"), "c.yml:4: a: 'four' is no value for 'cores': a number of CPUs");
        ASSERT_STREQ(one("   memory: 8192 lots\n"),
                     "c.yml:4: a: '8192 lots' is no value for 'memory': a size like 51200 or 50G");
        ASSERT_STREQ(one("   memory: [1, 2]\n"), "c.yml:4: a: 'memory' has to be one value");
        ASSERT_STREQ(one("   disk: *d\n"),
                     "c.yml:4: a: 'disk' refers to '*d', and references are not followed: write the value out");
        ASSERT_STREQ(one("   cores: 4\n   cpus: 8\n"),
                     "c.yml:5: a: 'cpus' and 'cores' of line 4 are the same: write one of them");
        ASSERT_STREQ(one("   cores: 4\n   cpus: 4\n"), "[Vm] Kind=debian Cpus=4 Release=13 ");
        ASSERT_STREQ(one("   <<: *d\n"), "c.yml:4: a: merged keys are not followed: write them out");
}

/* What system a text is. */
static const char *system_of(const char *key, const char *text) {
        static char said[400];
        const VmFile *f = import_one("vms: {a: {%s: \"%s\"}}\n", key, text);

        (void) snprintf(said, sizeof(said), "%s %s%s", strempty(vmfile_value(f, VMKEY_KIND)),
                        strempty(vmfile_value(f, VMKEY_RELEASE)),
                        vmfile_flag(f, VMKEY_SERVER) ? " server" : "");
        return told ? told[0] : said;
}

TEST(systems_by_the_names_of_their_images) {
        ASSERT_STREQ(system_of("iso", "ubuntu-24.04.1-live-server-amd64.iso"), "ubuntu 24.04 server");
        ASSERT_STREQ(system_of("iso", "local:iso/ubuntu-24.04-desktop-amd64.iso"), "ubuntu 24.04");
        ASSERT_STREQ(system_of("image", "noble-server-cloudimg-amd64.img"), "ubuntu 24.04 server");
        ASSERT_STREQ(system_of("template", "debian-12-standard_12.12-1_amd64.tar.zst"), "debian 12");
        ASSERT_STREQ(system_of("iso", "debian-13.12.0-amd64-netinst.iso"), "debian 13");
        ASSERT_STREQ(system_of("os", "Debian 12"), "debian 12");
        ASSERT_STREQ(system_of("iso", "talos-v1.9.0-metal-amd64.iso"), "talos ");
        ASSERT_STREQ(got.machines[0].file.name, "a");
        ASSERT(startswith(system_of("iso", "win11.iso"),
                          "c.yml:1: a: 'win11.iso' is no value for 'iso': machines are made of"));
        ASSERT(startswith(system_of("iso", "ubuntu-14.04.iso"),
                          "c.yml:1: a: 'ubuntu-14.04.iso' is no value"));
        ASSERT(startswith(system_of("tags", "x"), "c.yml:1: a: nothing says what system it has"));
}

TEST(what_a_kind_has_not_is_left_out) {
        const VmFile *f = import_one("vms: {a: {os: talos, user: ada, packages: [vim]}}\n");

        ASSERT(!told && !f->values[VMKEY_USER] && !f->values[VMKEY_PACKAGES]);
        ASSERT_EQ(strv_length(got.machines[0].notes), 2);
        ASSERT_STREQ(got.machines[0].notes[0],
                     "User= is for machines of the kind ubuntu, debian, llm or worker, and left out");
}

TEST(a_system_that_is_chosen_stands_for_what_is_not_known) {
        VmImportWish w = { .system = imagesource_release(IMAGE_DEBIAN, "13") };

        ASSERT_EQ(import("vms: {a: {template: golden}, b: {}, c: {iso: ubuntu-24.04.iso}}\n", w), 0);
        ASSERT(!told);
        ASSERT_STREQ(vmfile_value(&got.machines[0].file, VMKEY_KIND), "debian");
        ASSERT_STREQ(vmfile_value(&got.machines[1].file, VMKEY_RELEASE), "13");
        ASSERT_STREQ(vmfile_value(&got.machines[2].file, VMKEY_KIND), "ubuntu");
}

static const char *gpu_of(const char *lines) {
        static char *text;
        const VmFile *f;

        (void) one(lines);
        f = &got.machines[0].file;
        free(text);
        text = told ? strv_join(told, "|") : strv_join(f->values[VMKEY_GPU], " ");
        return text;
}

TEST(gpus_in_each_way_to_write_them) {
        ASSERT_STREQ(gpu_of(""), "none");
        ASSERT_STREQ(gpu_of("   gpu: false\n"), "none");
        ASSERT_STREQ(gpu_of("   gpu: true\n"), "any");
        ASSERT_STREQ(gpu_of("   gpu: RTX 4090\n"), "RTX 4090");
        ASSERT_STREQ(gpu_of("   gpu_passthrough: {enabled: true, device_id: \"0000:01:00\", hostpci: hostpci0}\n"),
                     "0000:01:00.0");
        ASSERT_STREQ(got.machines[0].notes[0], "Proxmox's slot 'hostpci0' has no meaning here");
        ASSERT_STREQ(gpu_of("   gpu_passthrough: {enabled: false, device_id: \"0000:01:00\"}\n"), "none");
        ASSERT_STREQ(gpu_of("   gpu_passthrough: {device_id: 10de:2d04}\n"), "GeForce RTX 5060 Ti");
        ASSERT_STREQ(gpu_of("   hostpci: [{device: hostpci0, id: 0000:0A:00.0, pcie: true}]\n"),
                     "0000:0a:00.0");
        ASSERT_STREQ(gpu_of("   hostpci0: 0000:01:00;0000:02:00.0,pcie=1,x-vga=1\n"),
                     "0000:01:00.0 0000:02:00.0");
        ASSERT_STREQ(gpu_of("   hostpci0: host=01:00,pcie=1\n"), "0000:01:00.0");
        ASSERT(startswith(gpu_of("   hostpci0: 10de:ffff\n"),
                          "c.yml:4: a: '10de:ffff' is no value for 'hostpci0'"));
        ASSERT(startswith(gpu_of("   gpu: {enabled: perhaps}\n"),
                          "c.yml:4: a: 'perhaps' is no value for 'enabled': true or false"));
}

static const char *address_of(const char *lines, const char *rest) {
        static char said[200];
        const VmFile *f = import_one("vms: {a: {os: debian-13, %s}}\n%s", lines, rest);

        (void) snprintf(said, sizeof(said), "%s %s", strna(vmfile_value(f, VMKEY_ADDRESS)),
                        strna(vmfile_value(f, VMKEY_GATEWAY)));
        return told ? told[0] : said;
}

TEST(addresses_with_their_subnets) {
        static const char network[] = "network: {subnet: 192.0.2.0/24, gateway: 192.0.2.1}\n";

        ASSERT_STREQ(address_of("ip: 192.0.2.9", network), "192.0.2.9/24 192.0.2.1");
        ASSERT_STREQ(address_of("ip: 192.0.2.9/25, gateway: 192.0.2.2", network), "192.0.2.9/25 192.0.2.2");
        ASSERT_STREQ(address_of("network: {ip: 10.0.0.9, netmask: 255.255.0.0, bridge: vmbr0}", network),
                     "10.0.0.9/16 n/a");
        ASSERT_STREQ(address_of("ip: 10.0.0.9, prefix: 32", ""), "10.0.0.9/32 n/a");
        ASSERT_STREQ(address_of("ip: 10.0.0.9, cidr: 10.0.0.0/8", ""), "10.0.0.9/8 n/a");
        ASSERT_STREQ(address_of("initialization: {ip_config: {ipv4: {address: 10.0.0.9/24, gateway: 10.0.0.1}}}",
                                ""),
                     "10.0.0.9/24 10.0.0.1");
        ASSERT_STREQ(address_of("ip: dhcp", network), "n/a n/a");
        ASSERT(startswith(address_of("ip: 10.0.0.9, netmask: 255.0.255.0", ""),
                          "c.yml:1: a: '255.0.255.0' is no value for 'netmask': a prefix length like"));
        ASSERT(strstr(address_of("ip: 10.0.0.900/24", ""), "an address like"));
        ASSERT(strstr(address_of("ip: 10.0.0.900", ""), "an address like"));
        ASSERT(strstr(address_of("ip: 10.0.0.9/33", ""), "an address like"));
}

/* It is that of the host's bridge, which is another host's. */
TEST(addresses_without_prefix_length) {
        static const char network[] = "network: {subnet: 192.0.2.0/24, gateway: 192.0.2.1}\n";

        ASSERT_STREQ(address_of("ip: 192.0.2.9", network), "192.0.2.9/24 192.0.2.1");
        ASSERT(!got.machines[0].notes);
        ASSERT_STREQ(address_of("ip: 10.0.0.9", network), "10.0.0.9 n/a");
        ASSERT_EQ(strv_length(got.machines[0].notes), 1);
        ASSERT_STREQ(got.machines[0].notes[0],
                     "Address=10.0.0.9 has no prefix length: it is that of the host's bridge");
        ASSERT_STREQ(address_of("ip: 10.0.0.9, gateway: 10.0.0.1", ""), "10.0.0.9 10.0.0.1");
        ASSERT_STREQ(address_of("ip: '2001:db8::9'", network), "2001:db8::9 n/a");
}

TEST(what_is_in_the_guest) {
        static const char key[] =
                        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHVtYm9sZHQgd2FzIGhlcmUgaW4gdGhlIG1vcm4x ada@host";
        _cleanup_free_ char *lines = NULL, *expected = NULL;

        ASSERT_EQ(str_printf(&lines,
                             "   cloud_init: {user: ada, ssh_keys: [\"%s\", /k.pub]}\n   packages: [vim, curl]\n",
                             key),
                  0);
        ASSERT_EQ(str_printf(&expected, BASE " [Guest] User=ada SshKey=%s SshKey=/k.pub Packages=vim curl ",
                             key),
                  0);
        ASSERT_STREQ(one(lines), expected);
        ASSERT(strstr(one("   user: root\n"), "'root' is no value for 'user'"));
        ASSERT(strstr(one("   ssh_keys: |\n     -----BEGIN OPENSSH PRIVATE KEY-----\n     c2VjcmV0\n"),
                      "no public ssh key"));
        ASSERT(!strstr(told[0], "BEGIN") && !strstr(told[0], "c2VjcmV0"));
}

TEST(the_rest_of_it) {
        ASSERT_STREQ(one("   onboot: true\n"), BASE " [Install] WantedBy=multi-user.target ");
        ASSERT_STREQ(one("   on-boot: no\n   bios: SeaBIOS\n   hugepages: 1024\n"),
                     "[Vm] Kind=debian Release=13 Firmware=bios Hugepages=1G ");
        ASSERT_STREQ(one("   description: \"two\\n  lines\"\n"),
                     "[Vm] Kind=debian Description=two lines Release=13 ");
        ASSERT(strstr(one("   description: \"x\\\\\"\n"), "ends in a backslash"));
        ASSERT(strstr(one("   description: \"x\\e[31m\"\n"), "control characters"));
        ASSERT_STREQ(one("   storage: pool\n   cipassword: hunter2\n   tags: [a]\n"), BASE);
        ASSERT_EQ(strv_length(got.machines[0].ignored), 3);
        ASSERT_STREQ(got.machines[0].ignored[1], "cipassword (line 5, a secret)");
}

TEST(what_is_among_services_and_who_is_asked_for) {
        static const char catalog[] = "services:\n"
                                      "  125: {name: dns, type: container}\n"
                                      "  126: {name: what}\n"
                                      "  140: {name: big, type: vm, os: debian-13}\n"
                                      "virtual_machines:\n"
                                      "  small: {os: debian-12, vmid: 7}\n"
                                      "  150: {os: debian-12}\n";
        char *names[] = { (char *) "small", NULL }, *nobody[] = { (char *) "small", (char *) "dns", NULL };

        ASSERT_EQ(import(catalog, (VmImportWish){}), 0);
        ASSERT_EQ(got.n, 3);
        ASSERT_STREQ(got.machines[0].id, "140");
        ASSERT_STREQ(got.machines[1].file.name, "small");
        ASSERT_STREQ(got.machines[1].id, "7");
        ASSERT_EQ(strv_length(got.left_out), 2);
        ASSERT_STREQ(got.left_out[0], "dns (line 2) is left out: it is of type 'container'");
        ASSERT_STREQ(got.left_out[1], "what (line 3) is left out: it does not say 'type: vm'");
        ASSERT_EQ(strv_length(told), 1);
        ASSERT_STREQ(told[0], "c.yml:7: machine 150 has no name: add 'name:'");
        ASSERT_EQ(import(catalog, (VmImportWish){ .names = names }), 0);
        ASSERT_EQ(got.n, 1);
        ASSERT(!told);
        ASSERT_EQ(import(catalog, (VmImportWish){ .names = nobody }), -ENOENT);
        ASSERT_STREQ(unknown, "dns");
        ASSERT_EQ(import("physical: {a: {ip: 10.0.0.1}}\n", (VmImportWish){}), -ENODATA);
        ASSERT_EQ(import("vms: {a: {os: debian-13}, b: {name: a, os: debian-13}, c: 7}\n", (VmImportWish){}),
                  0);
        ASSERT_EQ(strv_length(told), 2);
        ASSERT(strstr(told[0], "'c' has to be a machine's keys and values"));
        ASSERT(strstr(told[1], "there is another machine of that name, in line 1"));
}
