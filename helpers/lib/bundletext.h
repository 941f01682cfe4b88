/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Bundletext: how much of each kind of file goes into a bundle. */

#include "scrub.h"

/* Writes what may be seen of a file's content, which has a NUL behind it. Returns 0 or -ENOMEM. */
typedef int (*BundleFilter)(int root, Scrub *s, const char *data, size_t size, FILE *out);

int bundle_text(int root, Scrub *s, const char *data, size_t size, FILE *out);  /* all of it, scrubbed */
int bundle_bytes(int root, Scrub *s, const char *data, size_t size, FILE *out); /* as it is */

int bundle_apt(int root, Scrub *s, const char *data, size_t size, FILE *out);
int bundle_cmdline(int root, Scrub *s, const char *data, size_t size, FILE *out);
int bundle_conf(int root, Scrub *s, const char *data, size_t size, FILE *out);
int bundle_cpuinfo(int root, Scrub *s, const char *data, size_t size, FILE *out);
int bundle_dpkg(int root, Scrub *s, const char *data, size_t size, FILE *out);
int bundle_driver_version(int root, Scrub *s, const char *data, size_t size, FILE *out);
int bundle_grub(int root, Scrub *s, const char *data, size_t size, FILE *out);
int bundle_kernel_config(int root, Scrub *s, const char *data, size_t size, FILE *out);
int bundle_meminfo(int root, Scrub *s, const char *data, size_t size, FILE *out);
int bundle_modprobe(int root, Scrub *s, const char *data, size_t size, FILE *out);
int bundle_module_list(int root, Scrub *s, const char *data, size_t size, FILE *out);
int bundle_modules(int root, Scrub *s, const char *data, size_t size, FILE *out);
int bundle_mok(int root, Scrub *s, const char *data, size_t size, FILE *out);
int bundle_mok_list(int root, Scrub *s, const char *data, size_t size, FILE *out);
int bundle_mounts(int root, Scrub *s, const char *data, size_t size, FILE *out);
int bundle_pci_config(int root, Scrub *s, const char *data, size_t size, FILE *out);
int bundle_phase(int root, Scrub *s, const char *data, size_t size, FILE *out);
int bundle_route(int root, Scrub *s, const char *data, size_t size, FILE *out);
int bundle_route6(int root, Scrub *s, const char *data, size_t size, FILE *out);
int bundle_swaps(int root, Scrub *s, const char *data, size_t size, FILE *out);

/* The first bytes of a file: PCI functions other than bridges are not to be woken up for it (see pci.h), so
 * of those it is -ENODATA. */
int bundle_read_header(int root, const char *path, size_t max, char **ret, size_t *ret_size) _must_check_
                __attribute__((nonnull(2, 4, 5)));
