/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "vmstart.h"
#include "catalog.h"
#include "stop.h"
#include "virtgpus.h"
#include "vmchoice.h"
#include "vmgpu.h"
#include "vmstore.h"

int vmstart_fail_file(Phase *p, const char *name, int error) {
        return phase_fail(p, error, "'vmctl validate' may tell more", "Cannot read the file of '%s'", name);
}

static int fail_connect(Phase *p, int error, const char *message) {
        return phase_fail(p, error, "'systemctl status libvirtd' may tell why", "libvirt does not answer: %s",
                          strempty(message));
}

int vmstart_connect(Phase *p, VmWatch *w) {
        _cleanup_free_ char *message = NULL;
        int r = vmwatch_connect_again(w, &message);

        if (r == -ENOENT)
                return phase_fail(p, 0, "'vmctl list' shows what there is",
                                  "There is no virtual machine '%s'", w->name);
        return r < 0 ? fail_connect(p, r, message) : 0;
}

int vmstart_look(Phase *p, const char *name) {
        _cleanup_(vmstore_refusal_done) VmStoreRefusal refusal = {};
        _cleanup_free_ char *message = NULL, *xml = NULL;
        _cleanup_(virt_closep) Virt *v = NULL;
        VmState state;
        int r;

        r = virt_open_root(p->root, &v, &message);
        if (r < 0)
                return fail_connect(p, r, message);
        r = virtvm_state(v, name, &state);
        if (r == -ENOENT || (r >= 0 && vm_state_is_on(state)))
                return 0;
        if (r >= 0)
                r = virtvm_xml(v, name, &xml);
        if (r >= 0)
                r = vmstore_may_start(p->root, name, xml, &refusal);
        if (r < 0)
                return phase_fail(p, r, "'vmctl list --all' shows what there is",
                                  "Cannot look at virtual machine '%s'", name);
        return r == 0 ? phase_fail(p, 0, refusal.remedy, "%s", refusal.cause) : 0;
}

int vmstart_read(Phase *p, VmWatch *w, Metadata *ret) {
        _cleanup_(virtvm_done) VirtVm vm = {};
        int r;

        r = virtvm_find(w->v, w->name, METADATA_URI, &vm);
        if (r >= 0)
                r = vm.metadata ? metadata_parse(vm.metadata, ret) : 0;
        if (r < 0)
                return phase_fail(p, r, "'vmctl list --all' shows what there is",
                                  "Cannot look at virtual machine '%s'", w->name);
        return r > 0 ? 0
                     : phase_fail(p, EPERM, "Use virsh", "Virtual machine '%s' was not made by gpuvm",
                                  w->name);
}

/* WhenIdle= of its file. One that is not declared, or wrongly, does not wait. */
static int read_patience(Phase *p, const char *name, uint64_t *ret_usec) {
        _cleanup_(vmfile_done) VmFile f = {};
        int r = catalog_read(p->root, name, NULL, NULL, &f);

        if (r < 0)
                return vmstart_fail_file(p, name, r);
        *ret_usec = r > 0 && f.n_problems == 0 ? vmfile_patience(&f) : 0;
        return 0;
}

/* While others are waited for. */
static void look_around(void *userdata) {
        VmWatch *w = userdata;

        virtwatch_answer(w->watch);
        if (vmwatch_told_to_stop(w))
                stop_ask();
}

/* Units of machines that are declared keep those apart that share a GPU. What else names one waits, or is
 * told who has it: a unit that is taken for this machine would be given back under that one. Whoever cannot
 * be asked leaves it to libvirt, which refuses the start. */
static int await_owner(Phase *p, VmWatch *w, const char *gpu, uint64_t until_usec) {
        for (unsigned round = 0;; round++) {
                _cleanup_free_ char *owner = NULL;
                int r = virtgpus_find_user(w->v, gpu, w->name, &owner);

                if (r < 0)
                        log_debug("Who has GPU %s is not known: %s", gpu, virt_message(w->v));
                if (r <= 0)
                        return 0;
                if (monotonic_usec() >= until_usec)
                        return phase_fail(p, EBUSY, "Stop that one first, by 'vmctl stop'",
                                          "GPU %s of '%s' is with '%s', which is on", gpu, w->name, owner);
                phase_status(p, "Waiting for GPU %s, which '%s' has", gpu, owner);
                r = vmgpu_nap(p, round);
                if (r < 0)
                        return r;
        }
}

static int take_gpus(Phase *p, VmWatch *w, const Metadata *m, VmChoice *choice) {
        uint64_t patience, until;
        int r;

        r = read_patience(p, w->name, &patience);
        until = monotonic_usec() + patience;
        STRV_FOREACH(gpu, m->gpus)
                if (r >= 0)
                        r = await_owner(p, w, *gpu, until);
        if (r >= 0)
                r = vmgpu_take(p, w->name, m->gpus, patience);
        return r < 0 || !m->gpu_wish ? r : vmchoice_make(p, w->v, w->name, m, until, choice);
}

/* Its GPUs, whatever that takes. libvirtd may have been restarted in those minutes. */
static int prepare(Phase *p, VmWatch *w, const Metadata *m, VmChoice *choice) {
        int r;

        p->alive = look_around;
        p->alive_userdata = w;
        r = take_gpus(p, w, m, choice);
        look_around(w);
        p->alive = NULL;
        if (r >= 0 && stop_asked())
                return phase_fail(p, ECANCELED, "Start it again", "Stopped before '%s' was started", w->name);
        return r < 0 ? r : vmstart_connect(p, w);
}

int vmstart_machine(Phase *p, VmWatch *w, const Metadata *m) {
        _cleanup_(vmchoice_done) VmChoice choice = {};
        VmLook look;
        int r;

        r = virtwatch_look(w->v, w->name, &look);
        if (r < 0)
                return phase_fail(p, r, "'vmctl list' shows what there is",
                                  "Cannot tell whether '%s' runs: %s", w->name, virt_message(w->v));
        if (look.on) {
                phase_note(p, "'%s' runs already, and is watched from now on", w->name);
                return !p->dry_run;
        }
        r = prepare(p, w, m, &choice);
        if (r >= 0)
                r = phase_change(p, "start", w->name, "a virtual machine of kind %s", m->kind);
        if (r <= 0)
                return r;
        phase_status(p, "Starting");
        r = choice.xml ? virtvm_start_as(w->v, choice.xml) : virtvm_start(w->v, w->name);
        return r < 0 ? phase_fail(p, 0, "'journalctl -u libvirtd' may tell more", "Cannot start '%s': %s",
                                  w->name, virt_message(w->v))
                     : 1;
}
