/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "virtgpus.h"
#include "hostdevs.h"
#include "metadata.h"
#include "rollback.h"
#include "strv.h"

static int add(char ***l, char *const *addresses) {
        int r = 0;

        STRV_FOREACH(a, addresses)
                if (r >= 0 && !strv_contains(*l, *a))
                        r = strv_extend(l, *a);
        return r;
}

static int collect(Virt *v, const char *name, int (*describe)(Virt *v, const char *name, char **ret),
                   char ***l) {
        _cleanup_strv_ char **addresses = NULL;
        _cleanup_free_ char *xml = NULL;
        int r;

        r = describe(v, name, &xml);
        if (r == -ENOENT)
                return 0;
        if (r >= 0)
                r = hostdevs_parse(xml, &addresses);
        return r < 0 ? r : add(l, addresses);
}

/* One without a definition has what it has now. */
int virtgpus_collect(Virt *v, const VirtVm *vm, char ***l) {
        _cleanup_(metadata_done) Metadata m = {};
        int r;

        r = collect(v, vm->name, virtvm_xml, l);
        if (r >= 0 && vm->state != VM_OFF)
                r = collect(v, vm->name, virtvm_xml_now, l);
        if (r >= 0 && vm->metadata && metadata_parse(vm->metadata, &m) > 0)
                r = add(l, m.gpus);
        return r;
}

static int mark(Virt *v, GpuStates *s, const VirtVm *vm) {
        _cleanup_strv_ char **l = NULL;
        int r = virtgpus_collect(v, vm, &l);

        return r < 0 ? r : gpustate_mark_machine(s, vm->name, l);
}

int virtgpus_mark(Virt *v, int root, GpuStates *s, char **ret_culprit) {
        _cleanup_(virtvms_done) VirtVms l = {};
        _cleanup_strv_ char **claimed = NULL;
        int r;

        /* First those of machines in the making: one that is finished meanwhile is among libvirt's then. */
        r = rollback_claimed(root, ROLLBACK_GPU, &claimed);
        if (r >= 0)
                r = gpustate_mark_machine(s, VIRTGPUS_BEING_MADE, claimed);
        if (r >= 0 || r == -EACCES)
                r = virtvm_list(v, METADATA_URI, &l);
        for (size_t i = 0; i < l.n && r >= 0; i++) {
                r = mark(v, s, &l.vms[i]);
                if (r < 0 && free_and_strdup(ret_culprit, l.vms[i].name) < 0)
                        return -ENOMEM;
        }
        return r;
}

int virtgpus_find_user(Virt *v, const char *gpu, const char *but, char **ret_machine) {
        _cleanup_(virtvms_done) VirtVms l = {};
        int r = virtvm_list(v, METADATA_URI, &l);

        for (size_t i = 0; i < l.n && r >= 0; i++) {
                _cleanup_strv_ char **has = NULL;

                if (!vm_state_is_on(l.vms[i].state) || streq(l.vms[i].name, but))
                        continue;
                r = collect(v, l.vms[i].name, virtvm_xml_now, &has);
                if (r >= 0 && has && strv_contains(has, gpu))
                        return free_and_strdup(ret_machine, l.vms[i].name) < 0 ? -ENOMEM : 1;
        }
        return MIN(r, 0);
}
