/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Vmnext: the machine that is about to have a GPU of one that has just ended. The GPU stays on VFIO for it:
 * the host's driver, which may take seconds to begin, does not see it, nor can anybody open it meanwhile.
 *
 * Who is about to start is systemd's to say: a unit gpuvm-vm@NAME.service that is ordered after the GPU's,
 * which all are whose machine names that GPU, and has a job to be started. What was noted for the machine
 * before (vmtaken.h) is the next one's from then on, so whatever ends that one gives the GPU back. A start
 * that never comes, because somebody cancels its job or a unit that it requires fails, ends nothing: so
 * gpuvm-vm-settle@NAME.service is queued, which comes after that job in any case, and looks.
 *
 * Nothing has the GPU open any more: libvirt says that a machine is off once its QEMU has gone
 * (qemuProcessStop()), and all that it had open with it. No reset is needed in between: vfio-pci resets the
 * GPU when the last who has it open closes it (vfio_pci_core_disable() of the kernel), and again when the
 * next one opens it (vfio_pci_core_enable()). */

#include "bus.h"
#include "phase.h"

/* gpu: taken for this machine, which is off, and its unit is active. Returns 1 if it stays on VFIO for the
 * next one, 0 if nobody is about to have it. */
int vmnext_keep(Phase *p, Bus *bus, const char *machine, const char *gpu) _must_check_ _nonnull_all_;
