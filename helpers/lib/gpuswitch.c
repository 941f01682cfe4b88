/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <systemd/sd-daemon.h>

#include "bus.h"
#include "containerengine.h"
#include "fs.h"
#include "gpuswitch.h"
#include "journal.h"

#define UNIT_TIMEOUT_USEC (10 * 60 * USEC_PER_SEC)

/* How often a start is asked for that others cancel: see start(). */
enum { START_TRIES = 5 };

/* Tells why a hand-over failed. Returns error. */
static int tell(Phase *p, int error, const VfioFailure *f, const char *name) {
        bool said = error == -EPERM || error == -EBUSY || error == -ETIMEDOUT ||
                        error == -EINTR; /* by the cause */
        int r;

        if (f->cause) {
                r = phase_fail(p, said ? 0 : error, strempty(f->remedy), "%s", f->cause);
                return error == -ETIMEDOUT ? error : r;
        }
        return phase_fail(p, error, "See the lines before and 'dmesg'", "Cannot hand %s over", name);
}

int gpuswitch_attach(const GpuSwitch *s, Bdf gpu, const char *name, PciBus *group) {
        _cleanup_(vfio_failure_done) VfioFailure failure = {};
        const VfioRequest request = { gpu, s->conf, s->write_timeout_usec, group };
        int r;

        s->p->failure_event = EVENT_GPU_REFUSED;
        r = vfio_attach(s->p, &request, &failure);
        if (r < 0)
                return tell(s->p, r, &failure, name);
        s->p->failure_event = NULL;
        if (r > 0 && !s->p->dry_run) {
                journal_event(EVENT_GPU_ATTACHED, "GPUVM_PCI", name, "GPU %s belongs to VFIO", name);
                containerengine_refresh(s->p);
        }
        return 0;
}

int gpuswitch_detach(const GpuSwitch *s, Bdf gpu, const char *name, PciBus *group) {
        _cleanup_(vfio_failure_done) VfioFailure failure = {};
        const VfioRequest request = { gpu, s->conf, s->write_timeout_usec, group };
        int r;

        r = vfio_detach(s->p, &request, &failure);
        if (r < 0)
                return tell(s->p, r, &failure, name);
        if (r > 0 && !s->p->dry_run) {
                journal_event(EVENT_GPU_DETACHED, "GPUVM_PCI", name, "GPU %s went back to the host", name);
                containerengine_refresh(s->p);
        }
        return 0;
}

int gpuswitch_settle(const GpuSwitch *s, Bdf gpu, const char *name, PciBus *group, VfioLeft left) {
        _cleanup_(vfio_failure_done) VfioFailure failure = {};
        const VfioRequest request = { gpu, s->conf, s->write_timeout_usec, group, left };
        int r;

        r = vfio_settle(s->p, &request, &failure);
        if (r < 0)
                return tell(s->p, r, &failure, name);
        if (r > 0 && !s->p->dry_run) {
                phase_note(s->p, "GPU %s is with the host again: its hand-over was cut or refused", name);
                containerengine_refresh(s->p);
        }
        return 0;
}

bool gpuswitch_has_units(const Phase *p) {
        return fs_is_host(p->root) && sd_booted() > 0;
}

static int unit_name(const PciDevice *d, char **ret) {
        return str_printf(ret, "gpuvm-vfio@%s.service", d->name);
}

/* Who stops the owner of a group just while another GPU of it is starting cancels the owner's start. systemd
 * merges a start of that GPU which is asked for after the stop with the one that is under way: who asked last
 * would be told of a failure. So the start goes on, and it is the stop that is told that it was cancelled. */
static int start(Phase *p, Bus *b, const char *unit) {
        int r = -ECANCELED;

        for (int i = 0; i < START_TRIES && r == -ECANCELED; i++)
                r = bus_start_unit(b, unit, UNIT_TIMEOUT_USEC, phase_alive, p);
        return r;
}

int gpuswitch_unit(const GpuSwitch *s, const PciDevice *gpu, bool on) {
        _cleanup_(bus_unit_done) BusUnit state = {};
        _cleanup_free_ char *unit = NULL;
        _cleanup_bus_ Bus *b = NULL;
        Phase *p = s->p;
        int r;

        if (unit_name(gpu, &unit) < 0)
                return log_oom();
        r = bus_open(&b);
        if (r < 0)
                return phase_fail(p, r, "Start dbus.service and try again", "Cannot talk to systemd");
        r = bus_unit_state(b, unit, &state);
        if (r >= 0 && streq(strempty(state.active_state), "active") == on)
                return 0;
        if (r >= 0)
                r = phase_change(p, on ? "start" : "stop", unit, "%s",
                                 on ? "the GPU belongs to VMs" : "the GPU goes back to the host");
        if (r > 0)
                r = on ? start(p, b, unit) : bus_stop_unit(b, unit, UNIT_TIMEOUT_USEC, phase_alive, p);
        if (r >= 0)
                return 0;
        return phase_fail(p, r, "Its own log has the reason: 'journalctl -b -u' and the unit's name",
                          "Cannot %s %s%s%s", on ? "start" : "stop", unit,
                          isempty(bus_message(b)) ? "" : ", ", bus_message(b));
}

void gpuswitch_start_again(const GpuSwitch *s, const PciDevice *gpu, const char *why) {
        _cleanup_free_ char *unit = NULL;
        _cleanup_bus_ Bus *b = NULL;
        int r;

        if (!gpuswitch_has_units(s->p))
                return;
        r = unit_name(gpu, &unit);
        if (r >= 0)
                r = bus_open(&b);
        if (r >= 0)
                r = phase_change(s->p, "start", unit, "%s", why);
        if (r > 0)
                r = bus_queue_unit(b, unit, NULL);
        if (r < 0)
                phase_note(s->p, "Cannot start gpuvm-vfio@%s.service again: start it yourself", gpu->name);
}

int gpuswitch_set(const GpuSwitch *s, const PciDevice *gpu, bool on) {
        if (gpuswitch_has_units(s->p))
                return gpuswitch_unit(s, gpu, on);
        return on ? gpuswitch_attach(s, gpu->bdf, gpu->name, NULL)
                  : gpuswitch_detach(s, gpu->bdf, gpu->name, NULL);
}

/* Stops the unit of a GPU whose group went back. Not waited for: the job that stops it may itself wait for
 * ours. One that is just starting is about to take the group again: that is not cut. */
static int stop_follower(Phase *p, Bus *b, const PciDevice *d) {
        _cleanup_(bus_unit_done) BusUnit state = {};
        _cleanup_free_ char *unit = NULL;
        int r;

        if (unit_name(d, &unit) < 0)
                return -ENOMEM;
        r = bus_unit_state(b, unit, &state);
        if (r < 0 || !streq(strempty(state.active_state), "active"))
                return r;
        r = phase_change(p, "stop", unit, "its IOMMU group went back to the host");
        return r > 0 ? bus_queue_stop(b, unit) : r;
}

/* A unit of another GPU of the group that stays active is a pity, but this one has gone back all the same. */
void gpuswitch_stop_followers(const GpuSwitch *s, const PciBus *group, const PciDevice *owner) {
        _cleanup_bus_ Bus *b = NULL;

        for (size_t i = 0; i < group->n; i++) {
                const PciDevice *d = &group->devices[i];
                int r;

                if (d == owner || !pci_is_display(d))
                        continue;
                r = b ? 0 : bus_open(&b);
                if (r >= 0)
                        r = stop_follower(s->p, b, d);
                if (r < 0)
                        phase_note(s->p, "Cannot stop gpuvm-vfio@%s.service, whose GPU went back as well",
                                   d->name);
        }
}
