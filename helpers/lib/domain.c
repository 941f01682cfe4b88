/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "domain.h"
#include "xml.h"

/* Root ports for what every machine has: disk, network, RNG, the channel's controller, USB, and one to spare.
 * libvirt takes them in order and adds what lacks. */
enum { ORDINARY_PORTS = 6 };

static const char *const types[_DOMAIN_TYPE_MAX] = {
        [DOMAIN_KVM] = "kvm",
        [DOMAIN_QEMU] = "qemu",
        [DOMAIN_TEST] = "test",
};

static const char *const archs[_DOMAIN_ARCH_MAX] = {
        [DOMAIN_X86_64] = "x86_64",
        [DOMAIN_AARCH64] = "aarch64",
};

const char *domain_type_to_string(DomainType t) {
        return t >= 0 && t < _DOMAIN_TYPE_MAX ? types[t] : NULL;
}

const char *domain_arch_to_string(DomainArch a) {
        return a >= 0 && a < _DOMAIN_ARCH_MAX ? archs[a] : NULL;
}

/* delete removes what create made, and nothing else: that is written down here. */
static void metadata(Xml *x, const Domain *d) {
        xml_open(x, "metadata", NULL);
        xml_open(x, "gpuvm:vm", "xmlns:gpuvm", METADATA_URI, "kind", d->kind, "created", d->created, "took",
                 d->took_sec > 0 ? xml_number(d->took_sec).text : NULL, NULL);
        for (size_t i = 0; i < d->n_disks; i++)
                xml_empty(x, "gpuvm:disk", "path", d->disks[i].path, NULL);
        if (d->seed)
                xml_empty(x, "gpuvm:seed", "path", d->seed, NULL);
        if (d->serial_log)
                xml_empty(x, "gpuvm:log", "path", d->serial_log, NULL);
        if (d->mac)
                xml_empty(x, "gpuvm:nic", "mac", d->mac, NULL);
        if (d->address)
                xml_empty(x, "gpuvm:address", "cidr", d->address, "gateway", d->gateway, NULL);
        if (d->image)
                xml_empty(x, "gpuvm:image", "name", d->image, NULL);
        if (d->user)
                xml_empty(x, "gpuvm:user", "name", d->user, NULL);
        if (d->told) {
                xml_open(x, "gpuvm:told", NULL);
                STRV_FOREACH(line, d->told)
                        xml_text(x, "gpuvm:line", *line, NULL);
                xml_close(x);
        }
        if (d->gpu_wish)
                xml_empty(x, "gpuvm:wish", "gpus", d->gpu_wish, NULL);
        for (size_t i = 0; i < d->n_gpus; i++) {
                char name[BDF_STRING_MAX];

                (void) bdf_format(d->gpus[i].functions[0], name);
                xml_empty(x, "gpuvm:gpu", "address", name, NULL);
        }
        xml_close(x);
        xml_close(x);
}

static void memory(Xml *x, const Domain *d) {
        xml_text(x, "memory", xml_number(d->memory_kib).text, "unit", "KiB", NULL);
        if (d->hugepage_kib == 0 && !d->store)
                return;
        xml_open(x, "memoryBacking", NULL);
        if (d->hugepage_kib > 0) {
                xml_open(x, "hugepages", NULL);
                xml_empty(x, "page", "size", xml_number(d->hugepage_kib).text, "unit", "KiB", NULL);
                xml_close(x);
        }
        if (d->store) { /* virtiofsd reads and writes it */
                xml_empty(x, "source", "type", "memfd", NULL);
                xml_empty(x, "access", "mode", "shared", NULL);
        }
        xml_close(x);
}

static void processors(Xml *x, const Domain *d) {
        xml_text(x, "vcpu", xml_number(d->vcpus).text, "placement", "static", "cpuset", d->cpuset, NULL);
        if (d->pins) {
                xml_open(x, "cputune", NULL);
                for (unsigned i = 0; i < d->vcpus; i++)
                        xml_empty(x, "vcpupin", "vcpu", xml_number(i).text, "cpuset",
                                  xml_number(d->pins[i]).text, NULL);
                xml_close(x);
        }
        if (d->numa_node >= 0) {
                xml_open(x, "numatune", NULL);
                xml_empty(x, "memory", "mode", "strict", "nodeset", xml_number((uint64_t) d->numa_node).text,
                          NULL);
                xml_close(x);
        }
}

/* Without the two features libvirt may choose a firmware with Microsoft's keys in it. */
static void firmware(Xml *x, const Domain *d) {
        xml_open(x, "os", "firmware", d->bios ? NULL : "efi", NULL);
        xml_text(x, "type", "hvm", "arch", archs[d->arch], "machine",
                 d->arch == DOMAIN_AARCH64 ? "virt" : "q35", NULL);
        if (d->arch == DOMAIN_X86_64 && !d->bios) {
                xml_open(x, "firmware", NULL);
                xml_empty(x, "feature", "enabled", "no", "name", "enrolled-keys", NULL);
                xml_empty(x, "feature", "enabled", "no", "name", "secure-boot", NULL);
                xml_close(x);
        }
        xml_empty(x, "boot", "dev", "hd", NULL);
        xml_close(x);
}

static void features(Xml *x, const Domain *d) {
        xml_open(x, "features", NULL);
        xml_empty(x, "acpi", NULL);
        if (d->arch == DOMAIN_X86_64)
                xml_empty(x, "apic", NULL);
        else
                xml_empty(x, "gic", "version", d->type == DOMAIN_KVM ? "host" : "2", NULL);
        xml_close(x);
}

/* Emulated, all that QEMU knows; libvirt calls that maximum. The address bits exist for x86 under KVM. */
static void cpu(Xml *x, const Domain *d) {
        bool kvm = d->type == DOMAIN_KVM;

        xml_open(x, "cpu", "mode", kvm ? "host-passthrough" : "maximum", "check", "none", "migratable",
                 kvm ? "off" : NULL, NULL);
        xml_empty(x, "topology", "sockets", "1", "dies", "1", "cores", xml_number(d->vcpus).text, "threads",
                  "1", NULL);
        if (kvm && d->arch == DOMAIN_X86_64)
                xml_empty(x, "maxphysaddr", "mode", "passthrough", NULL);
        xml_close(x);
}

/* RTC in UTC; what is lost while the host is busy is caught up. */
static void timers(Xml *x, const Domain *d) {
        xml_open(x, "clock", "offset", "utc", NULL);
        if (d->arch == DOMAIN_X86_64) {
                xml_empty(x, "timer", "name", "rtc", "tickpolicy", "catchup", NULL);
                xml_empty(x, "timer", "name", "pit", "tickpolicy", "delay", NULL);
                xml_empty(x, "timer", "name", "hpet", "present", "no", NULL);
        }
        xml_close(x);
}

static void ports(Xml *x, const Domain *d) {
        size_t n = d->n_gpus + ORDINARY_PORTS + d->spare_ports + (d->store ? 1 : 0);

        xml_empty(x, "controller", "type", "pci", "index", "0", "model", "pcie-root", NULL);
        for (size_t i = 1; i <= n; i++)
                xml_empty(x, "controller", "type", "pci", "index", xml_number(i).text, "model",
                          "pcie-root-port", NULL);
        xml_empty(x, "controller", "type", "usb", "model", "qemu-xhci", NULL);
}

/* A block device that its guest may trim; O_DIRECT, so that memory that VFIO pins is not needed twice. */
static void disks(Xml *x, const Domain *d) {
        for (size_t i = 0; i < d->n_disks; i++) {
                char target[] = "vda";

                target[2] = (char) ('a' + i);
                xml_open(x, "disk", "type", "file", "device", "disk", NULL);
                xml_empty(x, "driver", "name", "qemu", "type", d->disks[i].format, "cache", "none", "discard",
                          "unmap", NULL);
                xml_empty(x, "source", "file", d->disks[i].path, NULL);
                xml_empty(x, "target", "dev", target, "bus", "virtio", NULL);
                xml_close(x);
        }
        if (!d->seed)
                return;
        xml_open(x, "disk", "type", "file", "device", "cdrom", NULL);
        xml_empty(x, "driver", "name", "qemu", "type", "raw", NULL);
        xml_empty(x, "source", "file", d->seed, NULL);
        /* An ARM machine has no SATA controller by default. */
        xml_empty(x, "target", "dev", "sda", "bus", d->arch == DOMAIN_X86_64 ? "sata" : "scsi", NULL);
        xml_empty(x, "readonly", NULL);
        xml_close(x);
        if (d->arch != DOMAIN_X86_64)
                xml_empty(x, "controller", "type", "scsi", "model", "virtio-scsi", NULL);
}

static void store(Xml *x, const Domain *d) {
        if (!d->store)
                return;
        xml_open(x, "filesystem", "type", "mount", "accessmode", "passthrough", NULL);
        xml_empty(x, "driver", "type", "virtiofs", NULL);
        xml_empty(x, "source", "dir", d->store, NULL);
        xml_empty(x, "target", "dir", DOMAIN_STORE_TAG, NULL);
        if (d->store_readonly)
                xml_empty(x, "readonly", NULL);
        xml_close(x);
}

static void network(Xml *x, const Domain *d) {
        if (!d->bridge && !d->network)
                return;
        xml_open(x, "interface", "type", d->bridge ? "bridge" : "network", NULL);
        xml_empty(x, "mac", "address", d->mac, NULL);
        xml_empty(x, "source", "bridge", d->bridge, "network", d->bridge ? NULL : d->network, NULL);
        xml_empty(x, "model", "type", "virtio", NULL);
        xml_close(x);
}

static void consoles(Xml *x, const Domain *d) {
        xml_open(x, "serial", "type", "pty", NULL);
        if (d->serial_log)
                xml_empty(x, "log", "file", d->serial_log, "append", "on", NULL);
        xml_close(x);
        xml_open(x, "console", "type", "pty", NULL);
        xml_empty(x, "target", "type", "serial", NULL);
        xml_close(x);
        xml_open(x, "channel", "type", "unix", NULL);
        xml_empty(x, "target", "type", "virtio", "name", "org.qemu.guest_agent.0", NULL);
        xml_close(x);
}

/* Nobody sees a screen over the network: who may reach the socket may reach libvirt. */
static void screen(Xml *x, const Domain *d) {
        if (d->screen) {
                xml_open(x, "graphics", "type", "vnc", NULL);
                xml_empty(x, "listen", "type", "socket", NULL);
                xml_close(x);
                xml_empty(x, "input", "type", "tablet", "bus", "usb", NULL);
        }
        xml_open(x, "video", NULL);
        if (d->screen)
                xml_empty(x, "model", "type", "virtio", "primary", "yes", NULL);
        else
                xml_empty(x, "model", "type", "none", NULL);
        xml_close(x);
}

static void source_address(Xml *x, Bdf b) {
        char domain[sizeof("0x12345678")], bus[sizeof("0x12")], slot[sizeof("0x12")], function[sizeof("0x1")];

        (void) snprintf(domain, sizeof(domain), "0x%04x", (unsigned) b.domain);
        (void) snprintf(bus, sizeof(bus), "0x%02x", (unsigned) (b.bus & 0xff));
        (void) snprintf(slot, sizeof(slot), "0x%02x", (unsigned) (b.slot & 0x1f));
        (void) snprintf(function, sizeof(function), "0x%x", (unsigned) (b.function & 7));
        xml_open(x, "source", NULL);
        xml_empty(x, "address", "domain", domain, "bus", bus, "slot", slot, "function", function, NULL);
        xml_close(x);
}

/* managed='no': gpuvm-vfio@.service has bound it and takes it back; libvirt would unbind without asking who
 * uses it. */
static void hostdev(Xml *x, Bdf b, unsigned bus, size_t function, bool several, const DomainGpu *gpu) {
        xml_open(x, "hostdev", "mode", "subsystem", "type", "pci", "managed", "no", NULL);
        source_address(x, b);
        if (gpu && gpu->rom == DOMAIN_ROM_OFF)
                xml_empty(x, "rom", "bar", "off", NULL);
        else if (gpu && gpu->rom == DOMAIN_ROM_FILE)
                xml_empty(x, "rom", "bar", "on", "file", gpu->rom_file, NULL);
        xml_empty(x, "address", "type", "pci", "domain", "0", "bus", xml_number(bus).text, "slot", "0",
                  "function", xml_number(function).text, "multifunction",
                  several && function == 0 ? "on" : NULL, NULL);
        xml_close(x);
}

static void gpus(Xml *x, const Domain *d) {
        for (size_t i = 0; i < d->n_gpus; i++) {
                const DomainGpu *g = &d->gpus[i];

                /* As on the card, unless another than its first function is the first here. */
                for (size_t k = 0; k < g->n_functions; k++)
                        hostdev(x, g->functions[k], (unsigned) i + 1,
                                g->functions[0].function == 0 ? g->functions[k].function : k,
                                g->n_functions > 1, k == 0 ? g : NULL);
        }
}

static void devices(Xml *x, const Domain *d) {
        xml_open(x, "devices", NULL);
        ports(x, d);
        disks(x, d);
        store(x, d);
        network(x, d);
        consoles(x, d);
        screen(x, d);
        gpus(x, d);
        xml_empty(x, "memballoon", "model", d->n_gpus > 0 ? "none" : "virtio", NULL);
        xml_open(x, "rng", "model", "virtio", NULL);
        xml_text(x, "backend", "/dev/urandom", "model", "random", NULL);
        xml_close(x);
        xml_close(x);
}

static bool is_sound(const Domain *d) {
        if (d->vcpus == 0 || d->memory_kib == 0 || d->n_disks > 26 || (d->bridge && d->network) ||
            (d->bios && d->arch != DOMAIN_X86_64))
                return false;
        if ((d->bridge || d->network) && !d->mac)
                return false;
        for (size_t i = 0; i < d->n_gpus; i++)
                if (d->gpus[i].n_functions == 0 || d->gpus[i].n_functions > 8 ||
                    (d->gpus[i].rom == DOMAIN_ROM_FILE && !d->gpus[i].rom_file))
                        return false;
        return true;
}

int domain_xml(const Domain *d, char **ret) {
        _cleanup_xml_ Xml *x = NULL;
        int r;

        if (!is_sound(d))
                return -EINVAL;
        r = xml_new(&x);
        if (r < 0)
                return r;
        xml_open(x, "domain", "type", types[d->type], NULL);
        xml_text(x, "name", d->name, NULL);
        xml_text(x, "uuid", d->uuid, NULL);
        xml_text(x, "title", d->title, NULL);
        if (d->kind)
                metadata(x, d);
        memory(x, d);
        processors(x, d);
        firmware(x, d);
        features(x, d);
        cpu(x, d);
        timers(x, d);
        xml_text(x, "on_poweroff", "destroy", NULL);
        xml_text(x, "on_reboot", "restart", NULL);
        xml_text(x, "on_crash", "destroy", NULL);
        devices(x, d);
        xml_close(x);
        return xml_finish(x, ret);
}

int domain_hostdev_xml(Bdf device, unsigned bus, unsigned function, bool several, char **ret) {
        _cleanup_xml_ Xml *x = NULL;
        int r;

        r = xml_new(&x);
        if (r < 0)
                return r;
        hostdev(x, device, bus, function, several, NULL);
        return xml_finish(x, ret);
}
