/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "trialnet.h"
#include "fs.h"
#include "proc.h"
#include "reboot.h"
#include "strv.h"
#include "trialboot.h"

#define WAIT_USEC (2 * 60 * USEC_PER_SEC)

bool trialnet_is_up(int root) {
        _cleanup_strv_ char **names = NULL;

        return proc_default_interfaces(root, &names) >= 0 && names;
}

int trialnet_wait(Phase *p) {
        uint64_t end = boottime_usec() + WAIT_USEC;

        while (!trialnet_is_up(p->root)) {
                /* In a recorded machine nothing comes. */
                if (p->dry_run || !fs_is_host(p->root) || boottime_usec() >= end)
                        return 0;
                phase_status(p, "Waiting for the network that there was before the trial start");
                (void) sleep(2);
        }
        return 1;
}

int trialnet_fail(Phase *p, Trial *t) {
        static const char why[] = "the trial start with the IOMMU on left the machine without its network";
        static const char motd[] =
                        "The trial start of this machine with the IOMMU on failed; a restart brings it back.\n"
                        "'gpu-vm-bootstrap --status' tells more.\n";
        int r;

        r = trialboot_save(p, t, TRIAL_STAGE_OFFLINE);
        if (r >= 0)
                r = trialboot_remove(p);
        if (r < 0)
                return r;
        if (phase_change(p, "request", "reboot", "%s", why) > 0) {
                r = reboot_motd(p->root, motd);
                if (r >= 0)
                        r = reboot_request(p->root, p->name, why);
        }
        if (r < 0)
                return phase_fail(p, r, "Restart it: it starts with the old entry",
                                  "The trial failed: %s, and no restart can be asked for", why);
        return 0;
}
