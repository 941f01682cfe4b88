/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "checklook.h"
#include "known.h"
#include "preflight.h"
#include "strv.h"

enum { JSON_VERSION = 1 };

/* The tree: a row comes after those that it needs, and is not made when one of them has failed. */
static const struct {
        const char *name, *needs;
        CheckFunction look;
} checks[] = {
        { "system", "", check_system },
        { "bootstrap", "system", check_bootstrap },
        { "processor", "system", check_processor },
        { "firmware", "system", check_firmware },
        { "kernel", "system", check_kernel },
        { "iommu", "firmware kernel", check_iommu },
        { "gpu", "system", check_gpu },
        { "stuck", "gpu", check_stuck },
        { "vfio", "iommu gpu", check_vfio },
        { "card", "gpu", check_card },
        { "nvswitch", "gpu", check_nvswitch },
        { "claim", "gpu", check_claim },
        { "holders", "vfio stuck", check_holders },
        { "secure-boot", "", check_secure_boot },
        { "driver", "gpu kernel stuck bootstrap", check_driver },
        { "memory", "", check_memory },
        { "disk", "", check_disk },
        { "clock", "", check_clock },
        { "packages", "bootstrap", check_packages },
        { "kvm", "processor", check_kvm },
        { "hypervisor", "kvm", check_hypervisor },
        { "libvirt", "packages", check_libvirt },
        { "storage", "libvirt", check_storage },
        { "images", "disk", check_images },
        { "network", "", check_network },
        { "bridge", "network", check_bridge },
        { "forwarding", "bridge", check_forwarding },
        { "vm-network", "libvirt", check_vm_network },
        { "routes", "bridge", check_routes },
};

bool checkup_row(size_t i, const char **ret_name, const char **ret_needs) {
        if (i >= ELEMENTSOF(checks))
                return false;
        *ret_name = checks[i].name;
        *ret_needs = checks[i].needs;
        return true;
}

void checkup_done(Checkup *u) {
        findings_done(&u->findings);
        strv_free(u->gpus);
        *u = (Checkup){};
}

static void look_done(CheckLook *l) {
        facts_done(&l->facts);
        findings_done(&l->before);
        findings_done(&l->virt);
        strv_free(l->notes);
        strv_free(l->refusals);
        hostnet_done(&l->net);
        strv_free(l->gpus);
}

int look_phase(CheckLook *l, const char *phase) {
        l->ret->items[l->ret->n - 1].phase = phase;
        return findings_fix(l->ret, "sudo systemctl start gpuvm-%s.service", phase);
}

int look_take(CheckLook *l, const Findings *from, const char *name, FindingLevel max) {
        int n = 0;

        for (size_t i = 0; i < from->n; i++) {
                const Finding *x = &from->items[i];

                if (!streq(x->check, name))
                        continue;
                if (look_add(l, MIN(x->level, max), x->object, x->remedy, "%s", x->text) < 0)
                        return -ENOMEM;
                n++;
        }
        return n;
}

/* What is known of a disk is part of the evidence. */
static void take_disks(const Evidence *e, Facts *f) {
        for (size_t i = 0; i < FACTS_DISKS; i++) {
                const EvidenceDisk *d = f->disks[i].path ? evidence_disk(e, f->disks[i].path) : NULL;

                f->disks[i].total = d ? d->total : 0;
                f->disks[i].free = d ? d->free : 0;
        }
}

static int look(int root, Conf *c, Evidence *e, CheckLook *l) {
        int r;

        r = facts_read(root, &l->facts);
        if (r < 0)
                return r;
        take_disks(e, &l->facts);
        if (e->dpkg >= 0)
                l->facts.dpkg_busy = (unsigned) e->dpkg;
        else
                r = evidence_set_dpkg(e, l->facts.dpkg_busy);
        if (r >= 0 && c->vfio)
                r = known_apply(root, c, &l->notes, &l->refusals);
        if (r >= 0)
                r = preflight_judge(&l->facts, c, &l->before);
        if (r < 0)
                return r;
        r = hostnet_read(root, c, &l->net);
        l->knows_net = r > 0;
        return MIN(r, 0);
}

/* The check that keeps a row from being made, or NULL. causes: what kept each row before from passing. */
static const char *find_cause(size_t row, const char *const *causes) {
        _cleanup_strv_ char **needs = NULL;

        if (strv_split(checks[row].needs, " ", &needs) < 0)
                return NULL;
        for (size_t i = 0; i < row; i++)
                if (causes[i] && strv_contains(needs, checks[i].name))
                        return causes[i];
        return NULL;
}

static int skip(CheckLook *l, const char *cause) {
        int r = look_add(l, FINDING_SKIP, NULL, NULL, "Follows from '%s'", cause);

        if (r >= 0)
                l->ret->items[l->ret->n - 1].because = cause;
        return r;
}

static int run_rows(CheckLook *l) {
        const char *causes[ELEMENTSOF(checks)] = {};
        int r = 0;

        for (size_t i = 0; i < ELEMENTSOF(checks) && r >= 0; i++) {
                size_t before = l->ret->n;

                l->check = checks[i].name;
                causes[i] = find_cause(i, causes);
                r = causes[i] ? skip(l, causes[i]) : checks[i].look(l);
                for (size_t k = before; k < l->ret->n; k++)
                        if (l->ret->items[k].level == FINDING_FAIL)
                                causes[i] = checks[i].name;
        }
        return r;
}

static bool has_failed(const Findings *f, const char *check) {
        for (size_t i = 0; i < f->n; i++)
                if (streq(f->items[i].check, check) &&
                    (f->items[i].level == FINDING_FAIL || f->items[i].because))
                        return true;
        return false;
}

/* That libvirt was not asked is no reason against it. */
static bool is_vm_capable(const CheckLook *l) {
        static const char *const needed[] = { "system", "processor", "kernel", "iommu", "libvirt" };

        for (size_t i = 0; i < ELEMENTSOF(needed); i++)
                if (has_failed(l->ret, needed[i]))
                        return false;
        return look_has_virtualization(&l->facts) && l->facts.kvm_device && l->facts.qemu && l->gpus;
}

int checkup_run(int root, Conf *c, Evidence *evidence, Checkup *ret) {
        _cleanup_(checkup_done) Checkup u = { .root = evidence->root != 0 };
        _cleanup_(look_done) CheckLook l = { .root = root, .c = c, .e = evidence, .ret = &u.findings };
        int r;

        r = look(root, c, evidence, &l);
        if (r >= 0)
                r = run_rows(&l);
        if (r < 0)
                return r;
        u.vm_capable = is_vm_capable(&l);
        u.gpus = TAKE_PTR(l.gpus);
        *ret = u;
        u = (Checkup){};
        return 0;
}

FindingLevel checkup_result(const Checkup *u) {
        FindingLevel worst = FINDING_OK;

        for (size_t i = 0; i < u->findings.n; i++)
                if (u->findings.items[i].level != FINDING_SKIP)
                        worst = MAX(worst, u->findings.items[i].level);
        return worst;
}

static json_object *finding_to_json(const Finding *x) {
        _cleanup_json_ json_object *o = json_object_new_object();

        if (json_add_text(o, "check", x->check) < 0 ||
            json_add_text(o, "result", finding_level_to_string(x->level)) < 0 ||
            json_add_text_or_null(o, "object", x->object) < 0 || json_add_text(o, "text", x->text) < 0 ||
            json_add_text_or_null(o, "remedy", x->remedy) < 0 ||
            json_add_text_or_null(o, "fix", x->fix) < 0 || json_add_text_or_null(o, "phase", x->phase) < 0 ||
            json_add_text_or_null(o, "because", x->because) < 0)
                return NULL;
        return TAKE_PTR(o);
}

int checkup_to_json(const Checkup *u, json_object **ret) {
        _cleanup_json_ json_object *o = json_object_new_object(), *all = json_object_new_array();

        for (size_t i = 0; i < u->findings.n; i++)
                if (json_append(all, finding_to_json(&u->findings.items[i])) < 0)
                        return -ENOMEM;
        if (json_add(o, "version", json_object_new_int(JSON_VERSION)) < 0 ||
            json_add_text(o, "result", finding_level_to_string(checkup_result(u))) < 0 ||
            json_add(o, "vm_capable", json_object_new_boolean(u->vm_capable)) < 0 ||
            json_add(o, "vm_gpus", json_new_list((const char *const *) u->gpus)) < 0 ||
            json_add(o, "root", json_object_new_boolean(u->root)) < 0 ||
            json_add(o, "checks", TAKE_PTR(all)) < 0)
                return -ENOMEM;
        *ret = TAKE_PTR(o);
        return 0;
}
