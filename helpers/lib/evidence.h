/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Evidence: what of a host no file says, and what a record of it has to have beside its files: how full its
 * disks are, its clock, what libvirt answers, who has the GPUs, the image cache, the packet filter.
 *
 * Whatever may hang (libvirtd, a driver, a file system of the network) is asked by a child with a deadline.
 */

#include "conf.h"
#include "json.h"
#include "virtcheck.h"
#include "virtroute.h"

/* In a record: the answers as they were. */
#define EVIDENCE_PATH "/run/gpuvm/evidence.json"

typedef struct EvidenceDisk {
        char *path;
        uint64_t total, free; /* bytes */
} EvidenceDisk;

typedef struct EvidenceGpu {
        char *address;
        char *owner;   /* as gpustate_describe_owner() */
        bool looked;   /* for who has it open */
        unsigned held; /* by how many processes of the host */
} EvidenceGpu;

enum { EVIDENCE_UNKNOWN = -1 };

typedef struct Evidence {
        json_object *record; /* all that follows */

        int root;         /* 1: it was root who looked, 0, EVIDENCE_UNKNOWN: this is no record of a check */
        int synchronized; /* the clock: 1, 0, EVIDENCE_UNKNOWN */
        int filter;   /* the rules that let frames cross our bridge: 1 they are there, 0, EVIDENCE_UNKNOWN */
        int64_t dpkg; /* who was at dpkg's lock, as Facts have it; EVIDENCE_UNKNOWN */

        bool has_virt;
        VirtAnswers virt;
        bool has_routes; /* the host routes for its machines */
        VirtRoutes routes;

        int storage_error; /* why the two below are not known, or 0 */
        EvidenceDisk *disks;
        size_t n_disks;
        int images; /* in the cache; EVIDENCE_UNKNOWN */
        char **damaged;

        int gpus_error; /* why they are not known, or 0 */
        EvidenceGpu *gpus;
        size_t n_gpus;
} Evidence;

void evidence_done(Evidence *e);

/* Asks the machine; below another root reads the record, or knows nothing but what $GPUVM_LIBVIRT_URI says.
 * Returns 0, -EBADMSG for what is no record, or -ENOMEM. */
int evidence_read(int root, const Conf *c, Evidence *ret) _must_check_ __attribute__((nonnull(2, 3)));

/* The text of a record, and back. Takes any JSON: what is missing there is not known. */
int evidence_format(const Evidence *e, char **ret) _must_check_ _nonnull_all_;
int evidence_parse(const char *text, Evidence *ret) _must_check_ _nonnull_all_;

/* Who is at dpkg's lock, as Facts have it, becomes part of the record. */
int evidence_set_dpkg(Evidence *e, unsigned who) _must_check_ _nonnull_all_;

/* NULL: not known. */
const EvidenceDisk *evidence_disk(const Evidence *e, const char *path) _nonnull_all_;
const EvidenceGpu *evidence_gpu(const Evidence *e, const char *address) _nonnull_all_;
