/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Vmimport: machines of somebody's infrastructure catalog, as people keep it for Proxmox, Terraform and
 * Ansible, as files of ours (gpuvm.vm(5)). Pure.
 *
 * One table says which of their keys is what. What has no meaning here is named, and so is what became of a
 * value that is another one now; secrets are neither copied nor told. */

#include "imagesource.h"
#include "vmfile.h"
#include "yamldoc.h"

typedef struct VmImportWish {
        char *const *names;         /* these alone; NULL or empty: all */
        const ImageRelease *system; /* of machines whose own is none of ours; NULL: they are refused */
        /* A card by its PCI ids, in the words of Gpu=. Returns 1, 0 if nobody knows it, or -ENOMEM. */
        int (*find_gpu)(unsigned vendor, unsigned device, char **ret, void *userdata);
        void *userdata;
} VmImportWish;

typedef struct VmImported {
        VmFile file;    /* its lines are those of the catalog; n_problems counts */
        char *id;       /* Proxmox's number; NULL: it says none */
        unsigned line;  /* where it begins */
        char **notes;   /* sentences: what became of what */
        char **ignored; /* "storage (line 12)" */
} VmImported;

typedef struct VmImport {
        VmImported *machines; /* as they stand there */
        size_t n;
        char **left_out; /* sentences: what is no virtual machine */
} VmImport;

void vmimport_done(VmImport *i);

/* path: what problems name. Returns 0, with the machines' problems told and counted; -ENODATA if there is no
 * list of machines at all; -ENOENT with the name in reterr if one of those that were asked for is not in it;
 * or -ENOMEM. */
int vmimport_read(const YamlNode *root, const char *path, const VmImportWish *w, ConfProblem problem,
                  void *userdata, VmImport *ret, const char **reterr) _must_check_
                __attribute__((nonnull(1, 2, 3, 6, 7)));
