/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Facts: what a machine says about itself, read once, judged elsewhere (preflight.h).
 *
 * Files only, and none that needs root: no program is started, nothing is loaded. What is not there to be
 * read stays NULL, 0 or "unknown"; only running out of memory, or a PCI bus or mount table that is there and
 * cannot be read, is an error. */

#include "claims.h"
#include "keep.h"
#include "kernel.h"
#include "pci.h"

typedef struct FactsDisk {
        const char *path;
        uint64_t total, free; /* bytes; free is what is left for root's daemons, and total 0 is unknown */
        bool own;             /* a file system of its own */
} FactsDisk;

enum {
        FACTS_DISKS = 3,
        FACTS_SOMEBODY = INT32_MAX, /* a process whose id is not known */
};

typedef struct Facts {
        /* distribution */
        char *os_id, *os_like, *os_version, *os_name;
        char *machine; /* as uname -m */
        bool proxmox;

        /* where it runs */
        char *container; /* "systemd-nspawn", "docker", ...; NULL: none */
        bool virtual_machine;
        bool xen_dom0;
        char *vendor, *product; /* from DMI */

        /* processor, memory, KVM */
        char *cpu_vendor;
        bool vmx, svm;
        bool kvm_device;
        char *other_hypervisor; /* a module that keeps KVM from the processor: "vboxdrv" */
        uint64_t memory;        /* bytes */

        /* kernel */
        char *release;
        char **cmdline;
        Kernel kernel;
        bool kernel_swap;  /* it lacks what VFIO needs, and the packages phase can try another */
        bool kernel_trial; /* the packages phase has such a trial under way */
        size_t iommu_groups;
        const char *iommu_firmware; /* see iommu_firmware() */

        /* firmware and console */
        bool efi;
        int secure_boot;   /* 1 on, 0 off, -1 unknown */
        char *framebuffer; /* the firmware's, that the kernel still draws on: "EFI VGA"; NULL: none */

        PciBus bus;
        KeepList keep;

        /* files */
        char *root_type; /* file system of "/" */
        FactsDisk disks[FACTS_DISKS];
        bool has_dpkg, dpkg_interrupted;
        char **dpkg_broken;
        unsigned dpkg_busy; /* who holds dpkg's lock: process id, FACTS_SOMEBODY; 0: nobody */
        bool qemu, ovmf, iso_tool;

        /* network */
        char **network_managers; /* "netplan", "systemd-networkd", "NetworkManager", "ifupdown" */
        char **uplinks;          /* interfaces of the default routes */
        char *overlay_network;   /* the uplink that is a VXLAN or Geneve tunnel */

        Claims claims;
} Facts;

/* Returns 0 or -errno. */
int facts_read(int root, Facts *ret) _must_check_ _nonnull_all_;
void facts_done(Facts *f);
