/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "vmstop.h"
#include "bus.h"
#include "virtvm.h"
#include "vmgpu.h"
#include "vmunit.h"

enum {
        TIMEOUT_SEC = 3 * 60,
        ASK_AGAIN_SEC = 20,
        AGENT_SEC = 65, /* in which the guest's agent may be asked to shut it down */
        PLUG_PULLS = 3, /* a QEMU that hangs in the kernel cannot be killed */
};

uint64_t vmstop_patience(const Phase *p, const char *name) {
        uint64_t timeout;
        _cleanup_bus_ Bus *bus = NULL;

        if (!vmgpu_has_units(p) || bus_open(&bus) < 0 ||
            bus_unit_stop_timeout(bus, vmunit_name(name).text, &timeout) < 0)
                return TIMEOUT_SEC * USEC_PER_SEC;
        return timeout;
}

void vmstop_begin(VmStop *s, uint64_t patience_usec) {
        uint64_t timeout = patience_usec > 2 * VMSTOP_MARGIN_USEC ? patience_usec - VMSTOP_MARGIN_USEC
                                                                  : patience_usec / 2;

        if (s->begun)
                return;
        *s = (VmStop){ .begun = true,
                       .plug_usec = timeout > UINT64_MAX / 2 ? UINT64_MAX : monotonic_usec() + timeout };
}

static int pull_plug(VmStop *s, Virt *v, const char *name) {
        s->pulls++;
        s->plug_usec = monotonic_usec() + VMSTOP_MARGIN_USEC;
        if (virtvm_destroy(v, name) >= 0)
                return VMSTOP_PULLED;
        return s->pulls >= PLUG_PULLS ? -EBUSY : VMSTOP_NOT_PULLED;
}

/* Its agent keeps libvirt for a minute if it hangs: there is that time, or nobody asks it. */
static int ask_guest(VmStop *s, Virt *v, const char *name, uint64_t now) {
        bool agent = s->plug_usec - now > AGENT_SEC * USEC_PER_SEC;
        int r = agent ? virtvm_shutdown(v, name) : virtvm_press_button(v, name);

        s->ask_usec = now + ASK_AGAIN_SEC * USEC_PER_SEC;
        return r < 0 ? VMSTOP_NOT_ASKED : VMSTOP_ASKED;
}

int vmstop_go_on(VmStop *s, Virt *v, const char *name) {
        uint64_t now = monotonic_usec();

        if (now >= s->plug_usec)
                return v ? pull_plug(s, v, name) : -EHOSTDOWN;
        return v && now >= s->ask_usec ? ask_guest(s, v, name, now) : VMSTOP_NOTHING;
}
