/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Busy: what stands against restarting the machine now. Reads files only; nobody is asked, nothing is
 * started. */

#include "macro.h"

typedef struct Busy {
        char **reasons; /* sentences for the user; NULL: nothing */
        bool transient; /* all of them pass by themselves soon: another program is at work with dpkg */
} Busy;

/* Looks for: dpkg locked, or left half-way; running virtual machines, libvirt's and others'. */
int busy_look(int root, Busy *ret) _must_check_ _nonnull_all_;
void busy_done(Busy *b);

/* Pure: is this command line (as /proc/PID/cmdline has it, NUL between words) a virtual machine of QEMU's?
 * libvirt also starts QEMU without a machine, to ask what it can do: that is none. */
bool busy_is_vm(const char *comm, const char *cmdline, size_t size) _nonnull_all_;
