/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Of checkup: the machine, its kernel's KVM, disks, clock and packages, and what the bootstrap says. */

#include "checklook.h"
#include "dpkg.h"
#include "fs.h"
#include "json.h"
#include "kvmcheck.h"
#include "osrelease.h"
#include "phase.h"
#include "plan.h"
#include "reboot.h"
#include "strv.h"

#define MIB          (UINT64_C(1) << 20)
#define GIB          (UINT64_C(1) << 30)
#define POOL_TO_WORK (8 * GIB) /* as preflight asks of the disks that it knows */
#define MEMORY_SPARE (1 * GIB)
#define NOT_RECORDED "is not part of this record"

enum { RECORD_MAX = 4 * 1024 * 1024 };

/* A distribution that gpuvm cannot set up may well run VMs, and so may a system that forgets. */
int check_system(CheckLook *l) {
        static const struct {
                const char *name;
                FindingLevel max;
        } parts[] = {
                { "distribution", FINDING_WARN },
                { "architecture", FINDING_FAIL },
                { "machine", FINDING_FAIL },
                { "root", FINDING_WARN },
        };
        /* A virtual machine that was given all that it needs is as good as another one. */
        bool works = l->facts.virtual_machine && l->facts.iommu_groups > 0 && l->facts.kvm_device &&
                        look_has_virtualization(&l->facts) && !l->facts.container;
        int r = 0;

        for (size_t i = 0; i < ELEMENTSOF(parts) && r >= 0; i++)
                r = look_take(l, &l->before, parts[i].name,
                              works && streq(parts[i].name, "machine") ? FINDING_OK : parts[i].max);
        return r;
}

/* Where /dev/kvm is, KVM has found what it needs; but a container may have been given the node alone. */
bool look_has_virtualization(const Facts *f) {
        return f->vmx || f->svm || !streq_ptr(f->machine, "x86_64") || (f->kvm_device && !f->container);
}

int check_processor(CheckLook *l) {
        const Facts *f = &l->facts;

        if (!l->c->kvm)
                return look_add(l, FINDING_SKIP, NULL, NULL, "Kvm=no");
        if (look_has_virtualization(f))
                return look_add(l, FINDING_OK, NULL, NULL, "%s%s", strempty(f->cpu_vendor),
                                f->svm                   ? " with AMD-V"
                                                : f->vmx ? " with VT-x"
                                                         : " with virtualisation");
        if (!f->container)
                return look_take(l, &l->before, "kvm", FINDING_FAIL);
        return look_add(l, FINDING_WARN, NULL, "Look on the host.",
                        "The processor offers no virtualisation (neither vmx nor svm among its flags)");
}

/* What a container has not been given is no fault, and without a processor for it there is no /dev/kvm. */
int check_kvm(CheckLook *l) {
        size_t before = l->ret->n;
        int r;

        if (!l->c->kvm)
                return look_add(l, FINDING_SKIP, NULL, NULL, "Kvm=no");
        r = kvmcheck_add(l->root, l->ret);
        for (size_t i = before; i < l->ret->n && r >= 0; i++)
                if (l->facts.container ||
                    (!look_has_virtualization(&l->facts) && !l->facts.kvm_device &&
                     strstr(l->ret->items[i].text, "/dev/kvm")))
                        l->ret->items[i].level = MIN(l->ret->items[i].level, FINDING_SKIP);
        return r;
}

int check_hypervisor(CheckLook *l) {
        return l->c->kvm ? look_take(l, &l->before, "hypervisor", FINDING_WARN) : 0;
}

/* VFIO keeps all memory of a VM where it is: what is free counts. */
int check_memory(CheckLook *l) {
        _cleanup_strv_ char **lines = NULL;
        _cleanup_free_ char *text = NULL;
        unsigned long long available = 0;
        int r;

        if (fs_read(l->root, "/proc/meminfo", FS_ATTR_MAX, &text, NULL) >= 0 &&
            strv_split(text, "\n", &lines) < 0)
                return -ENOMEM;
        STRV_FOREACH(line, lines)
                if (startswith(*line, "MemAvailable:"))
                        available = strtoull(*line + strlen("MemAvailable:"), NULL, 10) * 1024;
        r = look_take(l, &l->before, "memory", FINDING_WARN);
        if (r >= 0 && available > 0 && available < MEMORY_SPARE)
                r = look_add(l, FINDING_WARN, NULL,
                             "Stop what takes it ('ps --sort=-rss aux'), or VMs that are not needed.",
                             "%llu MiB are available: a VM with a GPU holds all of its own", available / MIB);
        return r;
}

/* The pool may be on a disk of its own. */
static int check_pool_disk(CheckLook *l) {
        const EvidenceDisk *pool = evidence_disk(l->e, l->c->pool_path);

        if (!pool || pool->total == 0)
                return 0;
        for (size_t i = 0; i < l->e->n_disks; i++) {
                const EvidenceDisk *d = &l->e->disks[i];

                if (d != pool && d->total == pool->total && d->free == pool->free)
                        return 0;
        }
        if (pool->free < POOL_TO_WORK)
                return look_add(l, FINDING_WARN, pool->path,
                                "Remove VMs or files that are not needed, or set PoolPath= to another disk.",
                                "%llu MiB are free: little for the disks of VMs",
                                (unsigned long long) (pool->free / MIB));
        return look_add(l, FINDING_OK, pool->path, NULL, "%llu MiB free",
                        (unsigned long long) (pool->free / MIB));
}

int check_disk(CheckLook *l) {
        int r;

        if (l->e->storage_error == -ENODATA)
                return look_add(l, FINDING_SKIP, NULL, NULL, "How full the disks are " NOT_RECORDED);
        if (l->e->storage_error < 0)
                return look_add(l, FINDING_FAIL, NULL,
                                "Look for errors of a disk or of a network file system in 'dmesg'.",
                                "The disks did not say how full they are: %s",
                                strerror(-l->e->storage_error));
        r = look_take(l, &l->before, "disk", FINDING_FAIL);
        return r < 0 ? r : check_pool_disk(l);
}

int check_clock(CheckLook *l) {
        int r;

        if (l->e->synchronized == EVIDENCE_UNKNOWN)
                return look_add(l, FINDING_SKIP, NULL, NULL, "The clock " NOT_RECORDED);
        if (l->e->synchronized > 0)
                return look_add(l, FINDING_OK, NULL, NULL, "synchronised");
        r = look_add(l, FINDING_WARN, NULL,
                     "Have it set by the network: else certificates and downloads may be refused.",
                     "Nobody keeps the clock right");
        return r < 0 ? r : findings_fix(l->ret, "sudo timedatectl set-ntp true");
}

/* What the kvm phase would install; "" for all there. -ENOENT: no list of packages. */
static int list_missing(CheckLook *l, char **ret) {
        _cleanup_(dpkg_done) DpkgStatus status = {};
        _cleanup_strv_ char **wanted = NULL, **missing = NULL;
        _cleanup_free_ char *codename = NULL;
        int r;

        r = dpkg_read(l->root, &status);
        if (r < 0)
                return r;
        if (osrelease_get(l->root, "VERSION_CODENAME", &codename) == -ENOMEM)
                return -ENOMEM;
        r = kvmcheck_packages(strempty(l->facts.machine), codename, &wanted);
        if (r >= 0)
                r = dpkg_missing(&status, (const char *const *) wanted, &missing);
        if (r < 0)
                return r;
        *ret = strv_join(missing, ", ");
        return *ret ? 0 : -ENOMEM;
}

/* QEMU and libvirt may also be here without dpkg's knowing, so their own files decide. */
int check_packages(CheckLook *l) {
        _cleanup_free_ char *missing = NULL;
        int r;

        r = look_take(l, &l->before, "packages", FINDING_FAIL);
        if (r < 0 || !l->c->kvm)
                return r;
        r = list_missing(l, &missing);
        if (r == -ENOMEM)
                return r;
        if (!l->facts.qemu || !l->facts.ovmf) {
                r = look_add(l, FINDING_FAIL, NULL, "Have the kvm phase install it.",
                             "%s is not installed%s%s", l->facts.qemu ? "UEFI firmware for VMs" : "QEMU",
                             isempty(missing) ? "" : "; missing: ", strempty(missing));
                return r < 0 ? r : look_phase(l, "kvm");
        }
        if (isempty(missing))
                return 0;
        r = look_add(l, FINDING_WARN, NULL, "Have the kvm phase install them.", "Not installed: %s", missing);
        return r < 0 ? r : look_phase(l, "kvm");
}

int check_images(CheckLook *l) {
        int r = 0;

        if (l->e->images == EVIDENCE_UNKNOWN)
                return 0;
        STRV_FOREACH(name, l->e->damaged) {
                r = look_add(l, FINDING_WARN, *name, "Download it again.",
                             "The cache's entry has no file any more, or a part of it");
                if (r >= 0)
                        r = findings_fix(l->ret, "sudo vmctl image gc");
                if (r < 0)
                        return r;
        }
        return look_add(l, FINDING_OK, NULL, NULL, "%d image%s in the cache", l->e->images,
                        l->e->images == 1 ? "" : "s");
}

static int read_record(int root, const char *phase, json_object **ret) {
        _cleanup_free_ char *path = NULL, *text = NULL;
        int r;

        if (str_printf(&path, RUN_DIR "/phases/%s.json", phase) < 0)
                return -ENOMEM;
        r = fs_read(root, path, RECORD_MAX, &text, NULL);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        *ret = json_tokener_parse(text);
        return *ret != NULL;
}

/* What a phase failed of. Returns how many did, or -errno. */
static int add_failures(CheckLook *l) {
        const char *phases[PLAN_PHASES_MAX];
        size_t n = plan_phases(l->c, phases);
        int failed = 0, r;

        for (size_t i = 0; i < n; i++) {
                _cleanup_json_ json_object *o = NULL;

                r = read_record(l->root, phases[i], &o);
                if (r < 0)
                        return r;
                if (r == 0 || !streq(json_text(o, "result"), "failed"))
                        continue;
                r = look_add(l, FINDING_WARN, NULL, "When that is put right, start the phase again.",
                             "The %s phase failed: %s", phases[i], json_text(o, "failure"));
                /* A restart of the machine is nobody's to start but the bootstrap's. */
                if (r >= 0 && streq(phases[i], "reboot"))
                        r = findings_fix(l->ret, "sudo systemctl start gpuvm-bootstrap.target");
                else if (r >= 0)
                        r = look_phase(l, phases[i]);
                if (r < 0)
                        return r;
                failed++;
        }
        return failed;
}

static int add_requests(CheckLook *l) {
        _cleanup_strv_ char **requests = NULL;
        int r, n = 0;

        r = reboot_requests(l->root, &requests);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        STRV_FOREACH(why, requests) {
                r = look_add(l, FINDING_WARN, NULL, "Go on with the bootstrap, which announces it.",
                             "A restart of the machine is needed (%s)", *why);
                if (r >= 0)
                        r = findings_fix(l->ret, "sudo systemctl start gpuvm-bootstrap.target");
                if (r < 0)
                        return r;
                n++;
        }
        return n;
}

/* Where it never ran, and nobody else did its work, that is the cause of all that is missing. */
int check_bootstrap(CheckLook *l) {
        int failed, r;

        failed = add_failures(l);
        r = failed < 0 ? failed : add_requests(l);
        if (r < 0 || r > 0 || failed > 0)
                return MIN(r, 0);
        if (fs_exists(l->root, STATE_DIR "/report.json") > 0)
                return look_add(l, FINDING_OK, NULL, NULL, "has come to its end");
        r = look_add(l, l->c->kvm && !l->facts.qemu ? FINDING_FAIL : FINDING_WARN, NULL,
                     "Start the bootstrap.", "gpuvm has not set this host up");
        return r < 0 ? r : findings_fix(l->ret, "sudo gpu-vm-bootstrap");
}
