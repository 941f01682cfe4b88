/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Checklook: what the checks of checkup.h share. Not for others. */

#include "checkup.h"
#include "facts.h"
#include "hostnet.h"

typedef struct CheckLook {
        int root;
        Conf *c;
        const Evidence *e;
        Facts facts;
        Findings before;          /* what preflight finds: whether the goal can be reached */
        Findings virt;            /* what libvirt's answers come to */
        char **notes, **refusals; /* about cards that were moved: known.h */
        HostNet net;              /* see hostnet.h */
        bool knows_net;
        char **gpus;       /* that a VM can have */
        const char *check; /* the row's name */
        Findings *ret;
} CheckLook;

/* Adds a finding of the row. */
#define look_add(l, level, object, remedy, ...) \
        findings_add((l)->ret, level, (l)->check, object, remedy, __VA_ARGS__)

/* The last finding is for this phase to put right. Returns 0 or -ENOMEM. */
int look_phase(CheckLook *l, const char *phase) _must_check_ _nonnull_all_;

/* Takes over what from has of that name, at most as bad as max. Returns how many, or -ENOMEM. */
int look_take(CheckLook *l, const Findings *from, const char *name,
              FindingLevel max) _must_check_ _nonnull_all_;

/* The processor can run VMs. */
bool look_has_virtualization(const Facts *f) _nonnull_all_;

typedef int (*CheckFunction)(CheckLook *l);

/* In checkhost.c */
int check_system(CheckLook *l);
int check_processor(CheckLook *l);
int check_kvm(CheckLook *l);
int check_hypervisor(CheckLook *l);
int check_memory(CheckLook *l);
int check_disk(CheckLook *l);
int check_clock(CheckLook *l);
int check_packages(CheckLook *l);
int check_images(CheckLook *l);
int check_bootstrap(CheckLook *l);

/* In checkgpu.c */
int check_kernel(CheckLook *l);
int check_firmware(CheckLook *l);
int check_iommu(CheckLook *l);
int check_gpu(CheckLook *l);
int check_stuck(CheckLook *l);
int check_vfio(CheckLook *l);
int check_card(CheckLook *l);
int check_claim(CheckLook *l);
int check_nvswitch(CheckLook *l);
int check_holders(CheckLook *l);
int check_driver(CheckLook *l);
int check_secure_boot(CheckLook *l);

/* In checknet.c */
int check_network(CheckLook *l);
int check_bridge(CheckLook *l);
int check_forwarding(CheckLook *l);
int check_libvirt(CheckLook *l);
int check_storage(CheckLook *l);
int check_vm_network(CheckLook *l);
int check_routes(CheckLook *l);
