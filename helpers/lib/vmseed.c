/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "vmseed.h"
#include "catalog.h"
#include "fs.h"
#include "guestask.h"
#include "virtagent.h"
#include "virtdisk.h"
#include "virtvm.h"

bool vmseed_has_secrets(const VmFile *f) {
        static const VmKey keys[] = { VMKEY_API_KEY_FILE, VMKEY_HF_TOKEN_FILE, VMKEY_JOIN,
                                      VMKEY_MACHINE_CONFIG };

        for (size_t i = 0; i < ELEMENTSOF(keys); i++)
                if (f->values[keys[i]])
                        return true;
        return false;
}

int vmseed_init(VmSeed *s, int root, const char *name, const Metadata *m) {
        VmFile f = {};
        int r;

        *s = (VmSeed){ .root = root, .name = name, .talos = streq_ptr(m->kind, "talos") };
        r = m->seed ? fs_exists(root, m->seed) : 0;
        if (r > 0)
                r = catalog_read(root, name, NULL, NULL, &f);
        if (r > 0 && vmseed_has_secrets(&f))
                r = free_and_strdup(&s->path, m->seed);
        vmfile_done(&f);
        return MIN(r, 0);
}

void vmseed_done(VmSeed *s) {
        free(s->path);
        s->path = NULL;
}

uint64_t vmseed_wait_usec(const VmSeed *s) {
        uint64_t now = monotonic_usec();

        return !s->path ? UINT64_MAX : s->next_usec > now ? s->next_usec - now : 0;
}

/* The agent of a Talos starts when it has taken its machine config; another guest's may be early. */
static bool has_read_it(const VmSeed *s, Virt *v) {
        _cleanup_(guestfacts_done) GuestFacts f = { .name = strdup(s->name) };

        if (!f.name || virtagent_ping(v, s->name) < 0)
                return false;
        if (!s->talos)
                guestask_init(v, &f);
        return s->talos || f.init == GUEST_INIT_DONE || f.init == GUEST_INIT_FAILED;
}

/* By libvirt: who stays with a machine writes no files of its pool. Somebody may have been quicker. */
static int take(const VmSeed *s, Virt *v) {
        int r = virtdisk_find(v, s->path);

        if (r <= 0)
                return r < 0 ? r : -ENXIO;
        r = virtvm_eject_seed(v, s->name);
        if (r >= 0)
                r = virtdisk_remove(v, s->path);
        return r;
}

int vmseed_look(VmSeed *s, Virt *v) {
        int r;

        if (vmseed_wait_usec(s) > 0)
                return 0;
        s->next_usec = monotonic_usec() + VMSEED_AGAIN_SEC * USEC_PER_SEC;
        if (!has_read_it(s, v))
                return 0;
        r = take(s, v);
        if (r < 0 && fs_exists(s->root, s->path) != 0)
                return r;
        vmseed_done(s);
        return 1;
}
