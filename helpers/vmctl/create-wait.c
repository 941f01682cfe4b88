/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Waiting for the guest, and what comes of that: one that has read its seed does without it from then on. So
 * the seed, with whatever secrets are in it, is taken away. A guest with cloud-init has read it once it can
 * be reached: that is before ssh. Talos keeps its machine config and its network on its own disk, in STATE,
 * and looks there first at each boot; its agent is an extension, and starts when all that is done. */

#include "create.h"
#include "fs.h"
#include "guestlook.h"
#include "virtagent.h"

static bool is_talos(const Create *n) {
        return streq(n->kind, "talos");
}

static int take_seed(Context *c, const Create *n) {
        int r = n->seed ? fs_exists(n->root, n->seed) : 0;

        if (r < 0)
                return log_error_errno(r, "Cannot look for '%s': %m", n->seed);
        if (r == 0)
                return 0;
        r = virtvm_eject_seed(c->virt, n->plan.name);
        if (r < 0)
                return vmctl_tell(c, r, "Cannot take the seed out of '%s'", n->plan.name);
        r = fs_remove(n->root, n->seed);
        return r < 0 ? log_error_errno(r, "Cannot remove '%s': %m", n->seed) : 0;
}

/* Its API answers while it waits for a machine config as well: nobody but the agent says that it has one. An
 * image of one's own may have none. */
static int take_talos_seed(Context *c, const Create *n) {
        if (virtagent_ping(c->virt, n->plan.name) >= 0)
                return take_seed(c, n);
        log_notice("The seed of '%s' stays, with its machine config: without an agent nobody knows whether that was taken. Once it was: "
                   "'virsh change-media %s sda --eject --live --config' and 'rm %s'",
                   n->plan.name, n->plan.name, n->seed);
        return 0;
}

int create_wait(Context *c, const Create *n) {
        const char *steps[GUESTSTEPS_MAX];
        int r;

        /* Talos starts its extensions, and so the agent, when it has been configured. */
        r = guest_wait(c, n->plan.name, !is_talos(n) || n->machine_config, create_interrupted);
        if (r < 0)
                return r;
        if (is_talos(n)) /* without a machine config nothing in it is secret, and it is read at each boot */
                return n->machine_config && n->seed ? take_talos_seed(c, n) : 0;
        r = take_seed(c, n);
        gueststeps_list(&n->wish, steps);
        if (r < 0 || vmctl_has(c, OPT_USER_DATA) || !steps[0])
                return r;
        return setup_wait(c, n->plan.name, steps, create_interrupted);
}

int create_wait_made(Context *c, const char *kind, const char *name) {
        _cleanup_(create_done) Create n = { .root = -EBADF,
                                            .kind = kind,
                                            .machine_config = vmctl_value(c, OPT_MACHINE_CONFIG) };
        _cleanup_(metadata_done) Metadata m = {};
        _cleanup_(virtvm_done) VirtVm vm = {};
        int r;

        r = vmctl_find(c, name, &vm, &m);
        if (r < 0 || !vm_state_is_on(vm.state))
                return r;
        n.root = fs_open_root(vmctl_value(c, OPT_ROOT));
        if (n.root < 0)
                return log_error_errno(n.root, "Cannot open root directory '%s': %m",
                                       strempty(vmctl_value(c, OPT_ROOT)));
        r = setup_read(c, &n);
        if (r < 0)
                return r;
        n.wish.gpu = m.gpu_wish || (m.gpus && *m.gpus);
        n.plan.name = TAKE_PTR(vm.name);
        n.seed = TAKE_PTR(m.seed);
        return create_wait(c, &n);
}
