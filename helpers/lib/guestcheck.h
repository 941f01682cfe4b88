/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Guestcheck: whether a virtual machine is well, judged by what was found out about it: that it runs, that
 * its agent answers, that it can be reached, that its GPUs are seen inside and work there, and that
 * cloud-init has come to its end. Pure: see vmctl/guestlook.c for who finds out. */

#include "bdf.h"
#include "enginecheck.h"
#include "findings.h"
#include "virtroute.h"
#include "virtvm.h"

/* A function as the guest's kernel has it. */
typedef struct GuestPci {
        uint16_t vendor, device;
        char *driver; /* "" for none */
} GuestPci;

typedef struct GuestGpu {
        char name[BDF_STRING_MAX]; /* its address on the host */
        uint16_t vendor, device;   /* 0: not known */
        bool attached;             /* the machine has it now */
} GuestGpu;

/* Of cloud-init. */
typedef enum GuestInit {
        GUEST_INIT_UNKNOWN, /* there is none, it has not begun, or nobody could look */
        GUEST_INIT_RUNS,
        GUEST_INIT_DONE,
        GUEST_INIT_FAILED, /* ended, with errors */
} GuestInit;

typedef struct GuestFacts {
        char *name;
        bool talos; /* its API in place of ssh, and no cloud-init */
        VmState state;
        VirtRoutes routes; /* its own, on a host that routes for its machines */
        bool agent;        /* answers */
        char *agent_error; /* why not */
        char *address;     /* NULL: none is known */
        bool answers;      /* at that address */
        bool pinged;       /* it was asked by ICMP as well */
        bool pings;        /* and has answered */
        GuestGpu *gpus;
        size_t n_gpus;
        GuestPci *pci; /* NULL: could not be looked at */
        size_t n_pci;
        char *pci_error;
        bool smi;       /* nvidia-smi was there to be asked */
        int smi_status; /* its exit status, or -ETIMEDOUT */
        char *smi_text;
        GuestInit init;
        char *init_text;   /* stage that it is at, or the first of its errors */
        unsigned made_sec; /* how long it took to make it; 0: not known */
        char *steps;       /* of its own setup, and what that finds; NULL: there is none (setupcheck.h) */
        char *found;
        EngineAnswer engines[_ENGINE_NAME_MAX]; /* asked from here */
} GuestFacts;

void guestfacts_done(GuestFacts *f);

/* /proc/bus/pci/devices of the guest; lines that are none are left out. Never NULL on success. */
int guestcheck_parse_pci(const char *text, GuestPci **ret, size_t *ret_n) _must_check_ _nonnull_all_;

/* /run/cloud-init/status.json of the guest. ret_text: NULL where there is nothing to say. -EBADMSG for what
 * is none. */
int guestcheck_parse_init(const char *text, GuestInit *ret, char **ret_text) _must_check_ _nonnull_all_;

/* The first line of what a guest says: not too long, and nothing in it that a terminal would obey. */
int guestcheck_excerpt(const char *text, char **ret) _must_check_ _nonnull_all_;

/* The GPUs that 'nvidia-smi -L' lists. */
size_t guestcheck_count_gpus(const char *text) _nonnull_all_;

/* The checks "state", "route" of one that the host does not lead to, "agent", "address", "ssh" or "api",
 * "gpu" for each, "driver", "cloud-init"; the object is the machine, or the GPU's address. Of one that does
 * not run the state alone. Returns 0 or -ENOMEM. */
int guestcheck(const GuestFacts *f, Findings *ret) _must_check_ _nonnull_all_;

/* The worst of what makes a machine ready: all but "driver" and "cloud-init", which may take the guest hours.
 * One that is well if it is ready. */
const Finding *guestcheck_unready(const Findings *l) _nonnull_all_;

/* How far it is and what it lacks, for a user: "runs and its agent answers; GPU 0000:01:00.0 is not seen in
 * the guest". */
int guestcheck_describe(const GuestFacts *f, const Finding *lacks, char **ret) _must_check_ _nonnull_all_;
