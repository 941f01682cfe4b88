/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Pci: the machine's PCI functions as sysfs shows them. Reads only, and only what the kernel answers without
 * taking the device's lock: driver_override is not here because reading it waits as long as a driver's
 * callback hangs (see worker.h). */

#include "bdf.h"
#include "gpuarch.h"

typedef struct PciDevice {
        Bdf bdf;
        char name[BDF_STRING_MAX]; /* bdf as text */
        uint16_t vendor, device, subsystem_vendor, subsystem_device;
        uint32_t class;      /* 24 bits: 0x030000 */
        uint8_t header_type; /* config byte 0x0e without bit 7; 1 is a bridge; 0 if it cannot be read, or
                              * is of another base class than 06: those are not woken up to be asked */
        char *driver;        /* NULL: none */
        int iommu_group;     /* -1: none */
        int numa_node;       /* -1: none */
        bool boot_vga;
        char *reset_method;    /* "flr bus", "" for none, NULL if the kernel does not say (before 5.15) */
        uint64_t bar_size[6];  /* bytes, 0 for unused */
        unsigned n_placed;     /* BARs of memory that have an address */
        bool unplaced;         /* one more would be there, and has none */
        bool virtual_function; /* of SR-IOV: belongs to a physical function */
        char *path;            /* the slot, whatever the bus numbers: "pci-0000:00:01.0/00.0" is function 00.0
                                * behind the root port 0000:00:01.0, one "/SLOT.FUNCTION" per bridge below;
                                * on the root bus itself "pci-0000:00:02.0". See pci.c. Says nothing of which
                                * card is in the slot: compare the ids too */
        char *devpath;  /* as udev has it: "/devices/pci0000:00/0000:00:01.0/0000:01:00.0"; NULL if unknown */
        char *modalias; /* "pci:v000010DEd00002684..."; NULL if the kernel does not say */
        /* Of a group only (pcigroup.h). */
        int dir;      /* its directory, open; 0 or less: not */
        char **names; /* what is in there; NULL: not known */
} PciDevice;

typedef struct PciBus {
        PciDevice *devices; /* sorted by address */
        size_t n;
} PciBus;

/* A missing /sys/bus/pci is an empty bus. Devices that vanish while being read are left out. */
int pci_scan(int root, PciBus *ret) _must_check_ _nonnull_all_;
void pci_bus_done(PciBus *bus);

/* /sys/bus/pci/devices. */
int pci_open(int root) _must_check_;

/* Of one function, of which the address is set, what a hand-over has to know: who it is, its driver and, for
 * displays, where it is. all: from pci_open(). Returns 1 if it was read, 0 if it is gone or no PCI function
 * as we know them. Its directory stays open. */
int pci_read_brief(int root, int all, PciDevice *d) _must_check_ _nonnull_all_;
/* Sizes of the BARs, of a function whose directory is open. */
void pci_read_bars(PciDevice *d) _nonnull_all_;
void pci_device_done(PciDevice *d);

const PciDevice *pci_find(const PciBus *bus, Bdf bdf) _nonnull_all_;

/* NVIDIA display functions: class 0300 and 0302 (what NVIDIA's driver binds), but no SR-IOV virtual ones. */
bool pci_is_nvidia_gpu(const PciDevice *d) _nonnull_all_;
/* Display class of any vendor. */
bool pci_is_display(const PciDevice *d) _nonnull_all_;
/* By header type, and host and ISA bridges by class; never by base class 06 alone: an NVSwitch is 0680. */
bool pci_is_bridge(const PciDevice *d) _nonnull_all_;
bool pci_is_nvswitch(const PciDevice *d) _nonnull_all_;
/* Same vendor, device and subsystem: cards that cannot be told apart but by where they are. */
bool pci_same_kind(const PciDevice *a, const PciDevice *b) _nonnull_all_;
/* Same domain, bus and slot. */
bool pci_same_slot(const PciDevice *a, const PciDevice *b) _nonnull_all_;

/* The number of the function's directory in sysfs: another card, and the same one put in again, has another;
 * a number comes again after four thousand million others (fs/kernfs/dir.c, __kernfs_new_node()). -ENOENT if
 * there is none. */
int pci_read_presence(int root, const PciDevice *d, uint64_t *ret) _must_check_ _nonnull_all_;

/* Reads the driver link again: what sysfs says now. NULL in ret for none; -ENODEV if the device is gone. */
int pci_read_driver(int root, const PciDevice *d, char **ret) _must_check_ _nonnull_all_;
