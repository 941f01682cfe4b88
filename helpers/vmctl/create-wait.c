/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Waiting for the guest. One with cloud-init has read its seed once it can be reached: that is before ssh,
 * and it keeps what it has read. So the seed, with whatever secrets are in it, is taken away. */

#include "create.h"
#include "fs.h"
#include "guestlook.h"

static int take_seed(Context *c, const Create *n) {
#ifdef __aarch64__
        static const char bus[] = "scsi";
#else
        static const char bus[] = "sata";
#endif
        int r = virtvm_eject(c->virt, n->plan.name, "sda", bus); /* domain.c put it there */

        if (r < 0)
                return vmctl_tell(c, r, "Cannot take the seed out of '%s'", n->plan.name);
        r = fs_remove(n->root, n->seed);
        return r < 0 ? log_error_errno(r, "Cannot remove '%s': %m", n->seed) : 0;
}

int create_wait(Context *c, const Create *n) {
        const char *steps[GUESTSTEPS_MAX];
        bool talos = streq(n->kind, "talos");
        int r;

        /* Talos starts its extensions, and so the agent, when it has been configured. */
        r = guest_wait(c, n->plan.name, !talos || n->machine_config, create_interrupted);
        if (r < 0 || talos)
                return r;
        r = take_seed(c, n);
        gueststeps_list(&n->wish, steps);
        if (r < 0 || vmctl_has(c, OPT_USER_DATA) || !steps[0])
                return r;
        return setup_wait(c, n->plan.name, steps, create_interrupted);
}
