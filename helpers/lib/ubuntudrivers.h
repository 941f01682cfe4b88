/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Ubuntudrivers: what "ubuntu-drivers list --gpgpu" offers for the GPUs of a machine. Pure. */

#include "macro.h"

/* One driver of Ubuntu's archive, as the name of its package says it: branch 580, for servers, with the open
 * kernel modules. */
typedef struct UbuntuDriver {
        unsigned branch;
        bool server, open;
        char *modules; /* the package that follows the kernel with modules that Ubuntu built and signed; NULL:
                        * there is none for this kernel, they are built here */
} UbuntuDriver;

typedef struct UbuntuDrivers {
        UbuntuDriver *items; /* in the order of the output, which means nothing */
        size_t n;
} UbuntuDrivers;

/* Adds what one line of the output offers. A line is
 * "nvidia-driver-580-server, (kernel modules provided by linux-modules-nvidia-580-server-generic)", or with
 * nvidia-dkms-580-server or None behind "by" where no modules are ready made, or the package alone; the
 * package may be the one for machines without a display, nvidia-headless-no-dkms-580-server
 * (list_gpgpu() in ubuntu-drivers of ubuntu-drivers-common). Returns 1 if something was added, 0 if the line
 * offers nothing of NVIDIA's, or -ENOMEM. */
int ubuntu_drivers_add_line(UbuntuDrivers *l, const char *line) _must_check_ _nonnull_all_;
void ubuntu_drivers_done(UbuntuDrivers *l);
