/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Gpuswitch: a GPU changes hands, through its unit gpuvm-vfio@ADDRESS.service where systemd runs, directly
 * elsewhere. What happens is told: a failure once by phase_fail(), a hand-over as an event. */

#include "conf.h"
#include "pci.h"
#include "phase.h"
#include "vfio.h"

typedef struct GpuSwitch {
        Phase *p;
        const Conf *conf;
        uint64_t write_timeout_usec; /* for one write to sysfs; 0: the default of vfio.h */
} GpuSwitch;

/* Directly: what the unit itself runs. Returns 0; a negative result has been told, -ECANCELED if the GPU was
 * refused and is where it was. name: of the GPU, which
 * need not be there any more to be detached. group: see VfioRequest, or NULL. */
int gpuswitch_attach(const GpuSwitch *s, Bdf gpu, const char *name, PciBus *group) _must_check_;
int gpuswitch_detach(const GpuSwitch *s, Bdf gpu, const char *name, PciBus *group) _must_check_;

/* Gives back what a start of the unit that was killed or refused has left with VFIO, if anything. left: see
 * vfio_settle(). */
int gpuswitch_settle(const GpuSwitch *s, Bdf gpu, const char *name, PciBus *group,
                     VfioLeft left) _must_check_;

/* Units are for the machine that runs; a recorded one, and one without systemd, is worked on directly. */
bool gpuswitch_has_units(const Phase *p) _nonnull_all_;

/* Starts or stops the unit, if it is not so. Returns 0; a negative result has been told. */
int gpuswitch_unit(const GpuSwitch *s, const PciDevice *gpu, bool on) _must_check_ _nonnull_all_;

/* Asks for the unit to be started once it has stopped, and does not wait; for the unit's own ExecStop=. */
void gpuswitch_start_again(const GpuSwitch *s, const PciDevice *gpu, const char *why) _nonnull_all_;

/* Whichever of the two it takes here. */
int gpuswitch_set(const GpuSwitch *s, const PciDevice *gpu, bool on) _must_check_ _nonnull_all_;

/* After the owner's group (pcigroup.h) went back: stops the units of its other GPUs, and does not wait. */
void gpuswitch_stop_followers(const GpuSwitch *s, const PciBus *group, const PciDevice *owner) _nonnull_all_;
