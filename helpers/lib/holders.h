/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Holders: who uses a PCI function right now, so that it is never taken from under somebody.
 *
 * The device nodes of a function are known by their numbers (from sysfs, and from the NVIDIA driver's own
 * list), and each process's open files and mappings are compared by number, not by path: a node that a
 * container made for itself under another name is the same device. What cannot be looked into counts as a
 * holder. Reads only; needs CAP_SYS_PTRACE to see other users' files. */

#include <sys/types.h>

#include "pci.h"

typedef struct Holder {
        pid_t pid; /* 0: the kernel itself, no process */
        uid_t uid;
        char *user; /* its name (account.h), or NULL */
        char *comm; /* the command's name, control characters replaced */
        char *unit; /* systemd unit, or NULL */
        char *what; /* "/dev/nvidia0", "drm/card1", "snd/pcmC1D3p", "open files that cannot be read"; of the
                     * kernel all of it: "the text console is drawn by it", or a line of below.h */
} Holder;

typedef struct Holders {
        Holder *list; /* one entry a process, by rising pid */
        size_t n;
} Holders;

/* Who uses any of these n functions. A process that comes and goes meanwhile may be missed: the caller closes
 * that race with what the driver offers, or asks again. */
int holders_scan(int root, const PciDevice *const *devices, size_t n, Holders *ret) _must_check_;
/* Of that, what the kernel itself does with them; no process is looked at. */
int holders_scan_kernel(int root, const PciDevice *const *devices, size_t n, Holders *ret) _must_check_;
void holders_done(Holders *h);

#define HOLDERS_PERSISTENCED "nvidia-persiste" /* as the kernel has it, cut after 15 bytes */

/* Leaves out those with this command name (of a program with a long name the first 15 bytes). */
void holders_drop(Holders *h, const char *comm) _nonnull_all_;

/* For a user: "Xorg (pid 812, user root, gdm.service) has drm/card1 open; ...", at most a handful of them.
 * One who is not in /etc/passwd is a number: "uid 1000". */
int holders_describe(const Holders *h, char **ret) _must_check_ _nonnull_all_;
