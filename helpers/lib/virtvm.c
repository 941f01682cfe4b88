/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>

#include "strv.h"
#include "virtlib.h"
#include "virtvm.h"

/* Where QEMU's machines are defined. */
#define DEFINITIONS "/etc/libvirt/qemu"

static const char *const states[_VM_STATE_MAX] = {
        [VM_OFF] = "off",           [VM_RUNNING] = "running",     [VM_PAUSED] = "paused",
        [VM_STOPPING] = "stopping", [VM_SUSPENDED] = "suspended", [VM_CRASHED] = "crashed",
};

const char *vm_state_to_string(VmState s) {
        return s >= 0 && s < _VM_STATE_MAX ? states[s] : NULL;
}

bool vm_state_is_on(VmState s) {
        return s != VM_OFF && s != VM_CRASHED;
}

static VmState state_from(int state) {
        switch (state) {
        case VIR_DOMAIN_RUNNING:
        case VIR_DOMAIN_BLOCKED:
                return VM_RUNNING;
        case VIR_DOMAIN_PAUSED:
                return VM_PAUSED;
        case VIR_DOMAIN_SHUTDOWN:
                return VM_STOPPING;
        case VIR_DOMAIN_PMSUSPENDED:
                return VM_SUSPENDED;
        case VIR_DOMAIN_CRASHED:
                return VM_CRASHED;
        default:
                return VM_OFF;
        }
}

void virtvm_done(VirtVm *m) {
        free(m->name);
        free(m->metadata);
        *m = (VirtVm){};
}

void virtvms_done(VirtVms *l) {
        for (size_t i = 0; i < l->n; i++)
                virtvm_done(&l->vms[i]);
        free(l->vms);
        *l = (VirtVms){};
}

static void domains_freep(virDomainPtr **domains) {
        for (virDomainPtr *d = *domains; d && *d; d++)
                (void) lv.virDomainFree(*d);
        free(*domains);
}

/* libvirt strips nothing but the prefix. None is no error; a machine that has just gone neither. */
static int read_metadata(Virt *v, virDomainPtr d, const char *uri, char **ret) {
        int r;

        *ret = lv.virDomainGetMetadata(d, VIR_DOMAIN_METADATA_ELEMENT, uri, 0);
        r = *ret ? 0 : virtlib_failed(v);
        return r == -ENOENT ? 0 : r;
}

/* Statistics would tell it of all at once, and ask each QEMU that runs: one that hangs holds up whoever asks,
 * and one that is busy takes its time (qemuDomainRefreshVcpuHalted() of libvirt). This asks none. */
static int read_info(Virt *v, virDomainPtr d, VirtVm *m) {
        virDomainInfo info;

        if (lv.virDomainGetInfo(d, &info) < 0)
                return virtlib_failed(v);
        m->state = state_from(info.state);
        m->vcpus = info.nrVirtCpu;
        m->memory_kib = info.maxMem;
        return 0;
}

static int identify(Virt *v, virDomainPtr d, const char *uri, VirtVm *m) {
        if (lv.virDomainGetUUIDString(d, m->uuid) < 0)
                return virtlib_failed(v);
        if (free_and_strdup(&m->name, lv.virDomainGetName(d)) < 0)
                return -ENOMEM;
        return read_metadata(v, d, uri, &m->metadata);
}

static int read_domain(Virt *v, virDomainPtr d, const char *uri, VirtVm *m) {
        int r = read_info(v, d, m);

        return r < 0 ? r : identify(v, d, uri, m);
}

static int compare_names(const void *a, const void *b) {
        return strverscmp(((const VirtVm *) a)->name, ((const VirtVm *) b)->name);
}

/* One that was deleted meanwhile is left out. So are those with errors where ret_missing says how many. */
static int read_domains(Virt *v, virDomainPtr *domains, const char *uri, VirtVms *l, size_t *ret_missing) {
        int error = 0;

        for (; *domains; domains++) {
                VirtVm *m = &l->vms[l->n];
                int r = read_domain(v, *domains, uri, m);

                if (r >= 0) {
                        l->n++;
                        continue;
                }
                virtvm_done(m);
                if (r == -ENOENT)
                        continue;
                if (r == -ENOMEM || !ret_missing)
                        return r;
                ++*ret_missing;
                error = r;
        }
        return l->n == 0 ? error : 0; /* of none at all: that is not the machines' fault */
}

static int list(Virt *v, const char *metadata_uri, VirtVms *ret, size_t *ret_missing) {
        _cleanup_(domains_freep) virDomainPtr *domains = NULL;
        _cleanup_(virtvms_done) VirtVms l = {};
        int n, r;

        n = lv.virConnectListAllDomains(v->connection, &domains, 0);
        if (n < 0)
                return virtlib_failed(v);
        l.vms = calloc((size_t) n + 1, sizeof(*l.vms));
        if (!l.vms)
                return -ENOMEM;
        r = read_domains(v, domains, metadata_uri, &l, ret_missing);
        if (r < 0)
                return r;
        qsort(l.vms, l.n, sizeof(*l.vms), compare_names);
        *ret = l;
        l = (VirtVms){};
        return 0;
}

int virtvm_list(Virt *v, const char *metadata_uri, VirtVms *ret) {
        return list(v, metadata_uri, ret, NULL);
}

int virtvm_list_known(Virt *v, const char *metadata_uri, VirtVms *ret, size_t *ret_missing) {
        *ret_missing = 0;
        return list(v, metadata_uri, ret, ret_missing);
}

int virtvm_find(Virt *v, const char *name, const char *metadata_uri, VirtVm *ret) {
        _cleanup_domain_ virDomainPtr d = NULL;
        _cleanup_(virtvm_done) VirtVm m = {};
        int r;

        r = virtlib_look_up(v, name, &d);
        if (r >= 0)
                r = read_domain(v, d, metadata_uri, &m);
        if (r < 0)
                return r;
        *ret = m;
        m = (VirtVm){};
        return 0;
}

int virtvm_state(Virt *v, const char *name, VmState *ret) {
        _cleanup_domain_ virDomainPtr d = NULL;
        int r, state;

        r = virtlib_look_up(v, name, &d);
        if (r < 0)
                return r;
        if (lv.virDomainGetState(d, &state, NULL, 0) < 0)
                return virtlib_failed(v);
        *ret = state_from(state);
        return 0;
}

int virtvm_wait_off(Virt *v, const char *name, uint64_t timeout_usec, int (*tick)(void *userdata),
                    void *userdata) {
        uint64_t deadline = monotonic_usec() + timeout_usec;

        for (;;) {
                VmState state;
                int r = virtvm_state(v, name, &state);

                if (r == -ENOENT || (r >= 0 && !vm_state_is_on(state)))
                        return 1;
                if (r >= 0 && tick)
                        r = tick(userdata);
                if (r < 0)
                        return r;
                if (monotonic_usec() >= deadline)
                        return 0;
                (void) usleep(200 * 1000);
        }
}

static int describe(Virt *v, const char *name, unsigned flags, char **ret) {
        _cleanup_domain_ virDomainPtr d = NULL;
        int r;

        r = virtlib_look_up(v, name, &d);
        if (r < 0)
                return r;
        *ret = lv.virDomainGetXMLDesc(d, flags);
        return *ret ? 0 : virtlib_failed(v);
}

int virtvm_xml(Virt *v, const char *name, char **ret) {
        return describe(v, name, VIR_DOMAIN_XML_INACTIVE, ret);
}

int virtvm_definition(Virt *v, const char *name, char **ret) {
        return describe(v, name, VIR_DOMAIN_XML_INACTIVE | VIR_DOMAIN_XML_SECURE, ret);
}

int virtvm_xml_now(Virt *v, const char *name, char **ret) {
        return describe(v, name, 0, ret);
}

/* libvirt waits until the disk has a definition, but not until it has its name, nor until that is gone. Who
 * may not look there does without. */
static int settle(void) {
        _cleanup_close_ int dir = open(DEFINITIONS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        return dir < 0 ? 0 : RET_NERRNO(fsync(dir));
}

int virtvm_define(Virt *v, const char *xml) {
        _cleanup_domain_ virDomainPtr d = NULL;

        d = lv.virDomainDefineXMLFlags(v->connection, xml, VIR_DOMAIN_DEFINE_VALIDATE);
        return d ? settle() : virtlib_failed(v);
}

/* What needs but the machine. */
static int call(Virt *v, const char *name, int (*f)(virDomainPtr d)) {
        _cleanup_domain_ virDomainPtr d = NULL;
        int r;

        r = virtlib_look_up(v, name, &d);
        if (r < 0)
                return r;
        return f(d) < 0 ? virtlib_failed(v) : 0;
}

int virtvm_start(Virt *v, const char *name) {
        return call(v, name, lv.virDomainCreate);
}

int virtvm_is_saved(Virt *v, const char *name) {
        _cleanup_domain_ virDomainPtr d = NULL;
        int r;

        r = virtlib_look_up(v, name, &d);
        if (r < 0)
                return r;
        r = lv.virDomainHasManagedSaveImage(d, 0);
        return r < 0 ? virtlib_failed(v) : r > 0;
}

/* libvirt keeps a definition that is there, and has it back when the machine is off (virDomainObjAssignDef()
 * of libvirt). */
int virtvm_start_as(Virt *v, const char *xml) {
        _cleanup_domain_ virDomainPtr d =
                        lv.virDomainCreateXML(v->connection, xml, VIR_DOMAIN_START_VALIDATE);

        return d ? 0 : virtlib_failed(v);
}

int virtvm_start_once(Virt *v, const char *xml) {
        _cleanup_domain_ virDomainPtr d = NULL;

        d = lv.virDomainCreateXML(v->connection, xml,
                                  VIR_DOMAIN_START_AUTODESTROY | VIR_DOMAIN_START_VALIDATE);
        return d ? 0 : virtlib_failed(v);
}

int virtvm_shutdown(Virt *v, const char *name) {
        return call(v, name, lv.virDomainShutdown);
}

static int press_button(virDomainPtr d) {
        return lv.virDomainShutdownFlags(d, VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN);
}

int virtvm_press_button(Virt *v, const char *name) {
        return call(v, name, press_button);
}

static int reboot(virDomainPtr d) {
        return lv.virDomainReboot(d, 0);
}

int virtvm_reboot(Virt *v, const char *name) {
        return call(v, name, reboot);
}

/* One that has ended since somebody looked is refused as one that libvirt is busy with. */
int virtvm_destroy(Virt *v, const char *name) {
        int r = call(v, name, lv.virDomainDestroy);
        VmState state;

        return r == -EBUSY && virtvm_state(v, name, &state) >= 0 && !vm_state_is_on(state) ? 0 : r;
}

int virtvm_eject_seed(Virt *v, const char *name) {
#ifdef __aarch64__
        static const char xml[] =
                        "<disk type='file' device='cdrom'><target dev='sda' bus='scsi'/><readonly/></disk>";
#else
        static const char xml[] =
                        "<disk type='file' device='cdrom'><target dev='sda' bus='sata'/><readonly/></disk>";
#endif
        _cleanup_domain_ virDomainPtr d = NULL;
        int r;

        r = virtlib_look_up(v, name, &d);
        if (r < 0)
                return r;
        return lv.virDomainUpdateDeviceFlags(d, xml,
                                             VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG |
                                                             VIR_DOMAIN_DEVICE_MODIFY_FORCE) < 0
                        ? virtlib_failed(v)
                        : 0;
}

/* The test driver, and others without firmware, know none of the last two flags. */
static int undefine(virDomainPtr d) {
        static const unsigned wishes[] = {
                VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA |
                                VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA | VIR_DOMAIN_UNDEFINE_NVRAM,
                VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA,
                0,
        };

        for (size_t i = 0; i < ELEMENTSOF(wishes); i++) {
                const virError *e;

                if (lv.virDomainUndefineFlags(d, wishes[i]) >= 0)
                        return 0;
                e = lv.virGetLastError();
                if (!e || (e->code != VIR_ERR_INVALID_ARG && e->code != VIR_ERR_ARGUMENT_UNSUPPORTED))
                        return -1;
        }
        return -1;
}

int virtvm_undefine(Virt *v, const char *name) {
        int r = call(v, name, undefine);

        return r < 0 && r != -ENOENT ? r : settle();
}

int virtvm_set_autostart(Virt *v, const char *name, bool on) {
        _cleanup_domain_ virDomainPtr d = NULL;
        int r;

        r = virtlib_look_up(v, name, &d);
        if (r < 0)
                return r;
        return lv.virDomainSetAutostart(d, on) < 0 ? virtlib_failed(v) : 0;
}

int virtvm_get_autostart(Virt *v, const char *name, bool *ret) {
        _cleanup_domain_ virDomainPtr d = NULL;
        int r, on;

        r = virtlib_look_up(v, name, &d);
        if (r < 0)
                return r;
        if (lv.virDomainGetAutostart(d, &on) < 0)
                return virtlib_failed(v);
        *ret = on;
        return 0;
}
