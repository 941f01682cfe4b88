/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Vfio: a GPU and all that shares its IOMMU group change hands, from the host's drivers to VFIO and back.
 *
 * Nothing is written before the group is known to be whole and harmless and nobody uses it. Each write is
 * made by a child that can be left behind (worker.h) and each result is read back; any error on the way puts
 * back what was. A function whose driver hangs is marked in /run/gpuvm/poisoned and left alone until the next
 * boot. Only driver_override, unbind, bind, drivers_probe and d3cold_allowed are ever written: never new_id,
 * which would take twin cards along. */

#include "conf.h"
#include "iommu.h"
#include "phase.h"

enum { VFIO_WRITE_TIMEOUT_SEC = 60 };

/* What vfio_settle() gives back besides what lies between. */
typedef enum VfioLeft {
        VFIO_LEFT_REFUSED = 1 << 0, /* what the early rule gave to VFIO of a group that may not go */
        VFIO_LEFT_WHOLE = 1 << 1,   /* what went as a whole, by a hand-over of ours: nobody told of its end */
        VFIO_LEFT_STOPPED = 1 << 2, /* it was to be stopped: goes where vfio_detach() would have it */
} VfioLeft;

typedef struct VfioRequest {
        Bdf gpu;
        const Conf *conf;            /* AcceptSiblings= and IdleWaitSec= */
        uint64_t write_timeout_usec; /* for one write to sysfs; 0: VFIO_WRITE_TIMEOUT_SEC */
        PciBus *group; /* as pcigroup_read() gave it just now, or NULL; afterwards as it was seen last, so
                        * that devices of it have to be looked up again */
        VfioLeft left; /* for vfio_settle() */
} VfioRequest;

/* For phase_fail(). */
typedef struct VfioFailure {
        char *cause; /* NULL: out of memory, or no more to say than the error */
        char *remedy;
} VfioFailure;
void vfio_failure_done(VfioFailure *f);

/* Gives the group to VFIO. Returns 1 if something was changed, 0 if all was so already (then nothing was
 * written, not even a lock). Errors: -ENODEV no such GPU or no IOMMU group, -EPERM the group may not go,
 * -EBUSY somebody uses it, -ETIMEDOUT a driver hangs, -EIO a driver does not take it, -EINTR stop_asked():
 * then, as after any error, all is put back. */
int vfio_attach(Phase *p, const VfioRequest *q, VfioFailure *reterr) _must_check_ _nonnull_all_;

/* Gives the group back: each function exactly what it had, or, for those bound at boot, the host's driver.
 * Returns and errors as vfio_attach(). A GPU that is gone is done. */
int vfio_detach(Phase *p, const VfioRequest *q, VfioFailure *reterr) _must_check_ _nonnull_all_;

/* After a hand-over to VFIO that may have been killed or refused: gives back what it left between, and what
 * q->left says. Nothing is done where none was begun, or it has reached its
 * end, or the GPU hangs. Returns and errors as vfio_detach(). */
int vfio_settle(Phase *p, const VfioRequest *q, VfioFailure *reterr) _must_check_ _nonnull_all_;

/* True if each endpoint of the group is on a VFIO driver. */
bool vfio_is_attached(const IommuVerdict *v) _nonnull_all_;

/* Returns 1 if the function is on a VFIO driver or kept from all others (binding.h), 0 if not, or if nobody
 * can tell. write_timeout_usec: see VfioRequest. */
int vfio_has(Phase *p, const PciDevice *d, uint64_t write_timeout_usec) _must_check_ _nonnull_all_;

/* Returns 1 if a function of the GPU's group is on a VFIO driver, or a hand-over of it was cut, 0 if the host
 * has it all. gpu: a device of the bus. */
int vfio_is_away(int root, const PciBus *bus, const PciDevice *gpu) _must_check_ _nonnull_all_;
