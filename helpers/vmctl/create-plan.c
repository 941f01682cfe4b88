/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The plan: what is taken, here and in libvirt, what the machine is going to be, and its name, address and
 * MAC claimed. */

#include <sys/file.h>
#include <sys/random.h>

#include "create.h"
#include "fs.h"
#include "netstate.h"
#include "vmhost.h"
#include "xml.h"

#define LOCK    "/run/gpuvm/vm.lock"
#define LOG_DIR "/var/log/libvirt/qemu" /* libvirt's own: virtlogd writes there */

/* RFC 4122, version 4. */
static int make_uuid(char ret[static 37]) {
        uint8_t b[16];

        if (getrandom(b, sizeof(b), 0) != sizeof(b))
                return negative_errno();
        b[6] = (b[6] & 0x0f) | 0x40;
        b[8] = (b[8] & 0x3f) | 0x80;
        (void) snprintf(ret, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0],
                        b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13],
                        b[14], b[15]);
        return 0;
}

/* MAC addresses of any machine, also those of others. */
static int collect_macs(Context *c, const char *name, char ***macs) {
        _cleanup_xml_doc_ XmlDoc *d = NULL;
        _cleanup_free_ char *xml = NULL;
        const XmlNode *i;
        int r;

        r = virtvm_xml(c->virt, name, &xml);
        if (r == -ENOENT) /* gone meanwhile */
                return 0;
        if (r >= 0)
                r = xml_read(xml, &d);
        if (r < 0)
                return r;
        for (i = xml_child(xml_child(xml_root(d), "devices"), "interface"); i; i = xml_next(i)) {
                const char *mac = xml_attribute(xml_child(i, "mac"), "address");

                if (mac && strv_extend(macs, mac) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static int collect_machine(Context *c, const VirtVm *vm, VmHost *h) {
        _cleanup_(metadata_done) Metadata m = {};
        int r;

        r = strv_extend(&h->names, vm->name);
        if (r >= 0)
                r = collect_macs(c, vm->name, &h->macs);
        if (r >= 0 && vm->metadata)
                r = metadata_parse(vm->metadata, &m);
        if (r == -EBADMSG) /* it claims nothing then; list tells */
                return 0;
        if (r >= 0 && m.address)
                r = strv_extend(&h->addresses, m.address);
        return r < 0 ? r : vmhost_mark_used(h, m.gpus, vm->name);
}

/* Neighbours that the kernel knows are no free addresses either. */
static int collect_neighbours(int root, VmHost *h) {
        _cleanup_(netstate_done) NetState s = {};
        int r = netstate_load(root, &s);

        for (size_t i = 0; r >= 0 && i < s.n_addresses; i++)
                r = strv_extend(&h->addresses,
                                net_address_to_string(s.addresses[i].family, s.addresses[i].bytes));
        return r == -ENOMEM ? r : 0;
}

int plan_look(Context *c, Create *n) {
        _cleanup_(virtvms_done) VirtVms l = {};
        int r;

        r = vmhost_read(n->root, &n->conf, &n->host);
        if (r < 0)
                return log_error_errno(r, "Cannot look at this host: %m");
        r = virtvm_list(c->virt, METADATA_URI, &l);
        if (r < 0)
                return vmctl_tell(c, r, "Cannot list the virtual machines");
        for (size_t i = 0; i < l.n && r >= 0; i++)
                r = collect_machine(c, &l.vms[i], &n->host);
        if (r >= 0)
                r = collect_neighbours(n->root, &n->host);
        if (r >= 0)
                r = rollback_claims(n->root, &n->host.names, &n->host.addresses, &n->host.macs);
        return r < 0 ? log_error_errno(r, "Cannot find out what is taken: %m") : 0;
}

int plan_make(Context *c, Create *n) {
        const VmWish w = {
                .kind = n->kind,
                .name = vmctl_value(c, OPT_NAME),
                .cpus = vmctl_value(c, OPT_CPUS),
                .memory = vmctl_value(c, OPT_MEMORY),
                .disk = vmctl_value(c, OPT_DISK),
                .ip = vmctl_value(c, OPT_IP),
                .gateway = vmctl_value(c, OPT_GATEWAY),
                .mac = vmctl_value(c, OPT_MAC),
                .network = vmctl_value(c, OPT_NETWORK),
                .server = vmctl_has(c, OPT_SERVER),
                .no_gpu = vmctl_has(c, OPT_NO_GPU),
                .gpus = c->values[OPT_GPU],
        };
        _cleanup_free_ char *said = NULL;
        char uuid[37];
        int r;

        r = make_uuid(uuid);
        if (r < 0)
                return log_error_errno(r, "Cannot make a UUID: %m");
        r = vmplan_make(&n->host, &w, uuid, &n->plan, &said);
        if (r < 0 && !said)
                return log_error_errno(r, "Cannot make a plan: %m");
        if (r < 0)
                log_error("%s", said);
        if (r < 0)
                return r == -EINVAL ? -EINVAL : r;
        if (str_printf(&n->disk, "%s/%s.qcow2", n->conf.pool_path, n->plan.name) < 0 ||
            str_printf(&n->seed, "%s/%s-seed.iso", n->conf.pool_path, n->plan.name) < 0 ||
            str_printf(&n->log, LOG_DIR "/%s.console", n->plan.name) < 0)
                return log_oom();
        return 0;
}

/* Names, addresses and MACs are looked for and claimed by one at a time. */
static int lock_allocation(int root) {
        _cleanup_close_ int fd = -EBADF;
        int r;

        r = fs_mkdir_p(root, "/run/gpuvm", 0755);
        if (r < 0)
                return r;
        fd = fs_open(root, LOCK, O_RDWR | O_CREAT, 0600);
        if (fd < 0)
                return fd;
        while (flock(fd, LOCK_EX) < 0)
                if (errno != EINTR || create_interrupted())
                        return negative_errno();
        return TAKE_FD(fd);
}

static int claim(Create *n) {
        int r;

        r = rollback_begin(n->root, n->plan.name, &n->rollback);
        if (r >= 0)
                r = rollback_add(&n->rollback, ROLLBACK_MAC, n->plan.mac);
        if (r >= 0 && n->plan.address)
                r = rollback_add(&n->rollback, ROLLBACK_ADDRESS, n->plan.address);
        return r < 0 ? log_error_errno(r, "Cannot claim '%s' in " ROLLBACK_DIR ": %m", n->plan.name) : 0;
}

int plan_claim(Context *c, Create *n) {
        _cleanup_close_ int lock = lock_allocation(n->root);
        int r;

        if (lock < 0)
                return log_error_errno(lock, "Cannot lock " LOCK ": %m");
        r = plan_look(c, n);
        if (r >= 0)
                r = plan_make(c, n);
        return r < 0 ? r : claim(n);
}
