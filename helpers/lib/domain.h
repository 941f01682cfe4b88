/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Domain: a virtual machine as gpuvm makes it, written as libvirt's domain XML. Pure: what is in the
 * structure is all that is written, and nothing is looked up.
 *
 * What each element is for: libvirt's formatdomain page. The shape: PCI Express with a root port for each
 * device, UEFI without Secure Boot (NVIDIA's modules in a guest are not signed for it), virtio everywhere, a
 * serial console, the guest agent's channel; with a GPU no balloon, because VFIO pins all memory, and the
 * host's physical address bits, because the firmware sizes its window for large BARs by them. */

#include "macro.h"
#include "metadata.h"
#include "pci.h"

typedef enum DomainType { DOMAIN_KVM, DOMAIN_QEMU, DOMAIN_TEST, _DOMAIN_TYPE_MAX } DomainType;

typedef enum DomainArch { DOMAIN_X86_64, DOMAIN_AARCH64, _DOMAIN_ARCH_MAX } DomainArch;

typedef enum DomainRom {
        DOMAIN_ROM_DEFAULT, /* as the card has it */
        DOMAIN_ROM_OFF,
        DOMAIN_ROM_FILE,
} DomainRom;

/* All functions of one card, in a root port of their own; function 0 first. */
typedef struct DomainGpu {
        const Bdf *functions;
        size_t n_functions; /* 1 to 8 */
        DomainRom rom;      /* of its first function */
        const char *rom_file;
} DomainGpu;

typedef struct DomainDisk {
        const char *path;   /* absolute */
        const char *format; /* "qcow2" or "raw" */
} DomainDisk;

typedef struct Domain {
        DomainType type;
        DomainArch arch;
        const char *name, *uuid;
        const char *kind;  /* "talos", "ubuntu", "debian"; NULL: it is not marked as ours */
        const char *title; /* or NULL */

        unsigned vcpus;        /* at least 1 */
        uint64_t memory_kib;   /* at least 1 */
        uint64_t hugepage_kib; /* size of the pages that all its memory comes from; 0: ordinary ones */
        int numa_node;         /* memory from there alone, strictly; -1: from anywhere */
        const char *cpuset;    /* host CPUs for its vCPUs, "0-7,16-23"; NULL: any */
        const unsigned *pins;  /* one of the host's CPUs for each vCPU; NULL: any of cpuset */
        bool bios;             /* for x86, in place of UEFI */

        const DomainDisk *disks; /* the first one boots */
        size_t n_disks;
        const char *seed; /* ISO image, read-only, or NULL */

        const char *store;   /* a directory that the guest gets by virtiofs, or NULL */
        bool store_readonly; /* libvirt (11.0 and later) keeps it so; else it has to be so itself */

        const char *bridge;  /* one of the two, or none: no network */
        const char *network; /* libvirt's name */
        const char *mac;     /* "52:54:00:..."; NULL only without network */

        const DomainGpu *gpus;
        size_t n_gpus;
        const char *gpu_wish; /* chosen at each start, in gpuwish_format()'s form, or NULL */
        unsigned spare_ports; /* root ports that stay free, for devices that come while it runs */

        bool screen;            /* a screen of its own, on a local socket */
        const char *serial_log; /* what the serial console says goes there as well, or NULL */

        const char *address; /* reserved for it, with prefix length; NULL: leased */
        const char *gateway; /* NULL: by DHCP */
        const char *image;   /* what its disk was made from, for people */
        const char *user;    /* whom ssh asks for, or NULL */
        char *const *told;   /* what else it was asked for (vmtold.h), up to NULL; NULL: not known */
        const char *created; /* when, "2026-11-21T20:40:00Z", or NULL */
        unsigned took_sec;   /* what it took until then; 0: nobody has said */
} Domain;

const char *domain_type_to_string(DomainType t);
const char *domain_arch_to_string(DomainArch a);

/* Returns 0, -EINVAL if d contradicts itself (see above), -ENOPKG without libxml2, or -ENOMEM. */
int domain_xml(const Domain *d, char **ret) _must_check_ _nonnull_all_;

/* Root ports that a machine has free for devices that come while it runs. */
enum { DOMAIN_SPARE_PORTS = 4 };

/* What the guest mounts the store by. */
#define DOMAIN_STORE_TAG "gpuvm-models"

/* One function of a card as <hostdev>: to root port `bus` of the guest, as that function of its slot.
 * several: the slot has others too, which a machine that runs cannot be given. As domain_xml(). */
int domain_hostdev_xml(Bdf device, unsigned bus, unsigned function, bool several, char **ret) _must_check_
                __attribute__((nonnull(5)));
