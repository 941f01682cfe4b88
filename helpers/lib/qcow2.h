/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Qcow2: the header of a disk image, looked at before QEMU sees it, and a whole image that is nothing but its
 * tables. Pure; docs/interop/qcow2.txt of QEMU.
 *
 * An image can name files of the host: a backing file, or one that has its data (CVE-2024-4467). One that
 * somebody else made has neither. */

#include "macro.h"

enum { QCOW2_HEADER_MAX = 64 * 1024 }; /* bytes that are enough to see all that is asked for here */

typedef struct Qcow2 {
        unsigned version;
        unsigned cluster_bits;
        uint64_t size; /* virtual, in bytes */
} Qcow2;

/* The first n bytes of an image (all of it, or QCOW2_HEADER_MAX) that was downloaded. max: bytes of a disk.
 * Returns 0; -EBADMSG and what is wrong with it: "names a backing file", ... (static). */
int qcow2_check(const void *data, size_t n, uint64_t max, Qcow2 *ret,
                const char **reterr_reason) _must_check_ _nonnull_all_;

/* What an image of our own is made on, as it is written there; -ENOENT for none, -EBADMSG if it is no such
 * image. */
int qcow2_backing(const void *data, size_t n, char **ret) _must_check_ _nonnull_all_;

/* A thin layer over an image, byte for byte what 'qemu-img create -f qcow2 -b BASE -F FORMAT' makes of it:
 * 200 KiB for disks below 4 TiB. size: bytes of the disk. Returns 0; -EINVAL where something is empty,
 * -ENAMETOOLONG, -EFBIG above 2 PiB, -ENOMEM. */
int qcow2_overlay(const char *base, const char *format, uint64_t size, void **ret,
                  size_t *ret_size) _must_check_ _nonnull_all_;
