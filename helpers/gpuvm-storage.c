/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* gpuvm-storage: the libvirt pool for VM disks, the directory for downloaded images, and, where the host has
 * no bridge of ours, libvirt's own network.
 *
 * libvirt keeps what is defined, started at boot and active now as files. They are looked at first, because
 * asking libvirt costs more than everything else here; whatever they leave open, libvirt itself is asked. */

#include "conf.h"
#include "fs.h"
#include "guestfilter.h"
#include "hostnet.h"
#include "phase.h"
#include "undo.h"
#include "virt.h"

#define CACHE_DIR        "/var/cache/gpuvm"
#define CACHE_TAG        CACHE_DIR "/CACHEDIR.TAG"
#define NETWORK          "default"
#define NETWORK_TEMPLATE "/usr/share/libvirt/networks/default.xml"
#define LEDGER_HINT      "See that " STATE_DIR " can be written."
#define LIBVIRT_HINT     "See 'systemctl status libvirtd' and 'journalctl -u libvirtd'."

/* What libvirt-daemon-config-network brings; for when somebody removed that file. */
static const char network_xml[] =
                "<network><name>default</name><forward mode='nat'/><bridge name='virbr0' stp='on' delay='0'/>"
                "<ip address='192.168.122.1' netmask='255.255.255.0'><dhcp>"
                "<range start='192.168.122.2' end='192.168.122.254'/></dhcp></ip></network>";

/* A pool or network that shall be defined, active, and started at boot. */
typedef struct Wanted {
        VirtKind kind;
        const char *name;
        const char *path; /* of a pool */
        const char *xml;
} Wanted;

/* False if not, or not to be known. */
static bool has_file(int root, const char *directory, const char *name) {
        _cleanup_free_ char *path = NULL;

        return str_printf(&path, "%s/%s.xml", directory, name) >= 0 && fs_exists(root, path) > 0;
}

static bool files_say_done(int root, const Wanted *w) {
        static const char *const directories[_VIRT_KIND_MAX][3] = {
                [VIRT_POOL] = { "/etc/libvirt/storage", "/etc/libvirt/storage/autostart",
                                "/run/libvirt/storage" },
                [VIRT_NETWORK] = { "/etc/libvirt/qemu/networks", "/etc/libvirt/qemu/networks/autostart",
                                   "/run/libvirt/network" },
        };
        _cleanup_free_ char *file = NULL, *text = NULL, *path = NULL;

        for (size_t i = 0; i < ELEMENTSOF(directories[0]); i++)
                if (!has_file(root, directories[w->kind][i], w->name))
                        return false;
        if (!w->path)
                return true;
        /* Another directory than the configured one is for libvirt's own word. */
        return str_printf(&file, "%s/%s.xml", directories[VIRT_POOL][0], w->name) >= 0 &&
                        str_printf(&path, "<path>%s</path>", w->path) >= 0 &&
                        fs_read(root, file, FS_FILE_MAX, &text, NULL) >= 0 && strstr(text, path);
}

static int fail_virt(Phase *p, Virt *v, int error, const char *verb, const Wanted *w) {
        if (w->kind == VIRT_NETWORK && streq(verb, "start"))
                return phase_fail(
                                p, 0,
                                "If another network has its addresses, give it others: 'virsh net-edit default'.",
                                "Cannot start network '%s': %s", w->name, virt_message(v));
        return phase_fail(p, *virt_message(v) ? 0 : error, LIBVIRT_HINT, "Cannot %s %s '%s': %s", verb,
                          virt_kind_to_string(w->kind), w->name, virt_message(v));
}

/* Announces, and records what was. Returns 1 to go on, 0 in a dry run, or an error that has been told. */
static int begin(Phase *p, Undo *u, const char *verb, const Wanted *w, const char *was) {
        _cleanup_free_ char *object = NULL;
        int r;

        if (str_printf(&object, "%s '%s'", virt_kind_to_string(w->kind), w->name) < 0)
                return log_oom();
        r = phase_change(p, verb, object, w->path ? "directory %s" : NULL, w->path);
        if (r < 0)
                return log_oom();
        if (r == 0)
                return 0;
        r = undo_record_libvirt(u, virt_kind_to_string(w->kind), w->name, was);
        if (r < 0)
                return phase_fail(p, r, LEDGER_HINT, "Cannot record %s for undo", object);
        return 1;
}

static int define(Phase *p, Undo *u, Virt *v, const Wanted *w) {
        int r;

        r = begin(p, u, "define", w, "absent");
        if (r <= 0)
                return r;
        r = virt_define(v, w->kind, w->xml);
        if (r < 0)
                return fail_virt(p, v, r, "define", w);
        if (w->kind != VIRT_POOL)
                return 0;
        r = virt_pool_build(v, w->name);
        return r < 0 ? fail_virt(p, v, r, "make the directory of", w) : 0;
}

static int start(Phase *p, Undo *u, Virt *v, const Wanted *w) {
        int r;

        r = begin(p, u, "start", w, "inactive");
        if (r <= 0)
                return r;
        r = virt_start(v, w->kind, w->name);
        if (r < 0 && w->kind == VIRT_POOL) {
                /* Its directory may have been removed. */
                r = virt_pool_build(v, w->name);
                if (r >= 0)
                        r = virt_start(v, w->kind, w->name);
        }
        return r < 0 ? fail_virt(p, v, r, "start", w) : 0;
}

static int set_autostart(Phase *p, Undo *u, Virt *v, const Wanted *w) {
        int r;

        r = begin(p, u, "autostart", w, "no-autostart");
        if (r <= 0)
                return r;
        r = virt_set_autostart(v, w->kind, w->name, true);
        return r < 0 ? fail_virt(p, v, r, "set autostart of", w) : 0;
}

static int check_path(Phase *p, Virt *v, const Wanted *w) {
        _cleanup_free_ char *path = NULL;
        int r;

        if (!w->path)
                return 0;
        r = virt_pool_path(v, w->name, &path);
        if (r == -ENOMEM)
                return log_oom();
        if (r < 0 || !streq(path, w->path))
                phase_note(p, "Pool '%s' was there before, in %s and not in %s; it is used as it is", w->name,
                           r < 0 ? "no directory" : path, w->path);
        return 0;
}

/* Looks, changes, and looks again. */
static int ensure(Phase *p, Undo *u, Virt *v, const Wanted *w) {
        VirtState s, after;
        int r;

        r = virt_state(v, w->kind, w->name, &s);
        if (r < 0)
                return fail_virt(p, v, r, "look at", w);
        if (s.defined) {
                r = check_path(p, v, w);
                if (r < 0)
                        return r;
        }
        if (s.defined && s.active && s.autostart)
                return 0;
        phase_status(p, "Setting up %s '%s'", virt_kind_to_string(w->kind), w->name);
        r = s.defined ? 0 : define(p, u, v, w);
        if (r >= 0 && !s.active)
                r = start(p, u, v, w);
        if (r >= 0 && !s.autostart)
                r = set_autostart(p, u, v, w);
        if (r < 0 || p->dry_run)
                return r;
        r = virt_state(v, w->kind, w->name, &after);
        if (r < 0)
                return fail_virt(p, v, r, "look at", w);
        if (!after.defined || !after.active || !after.autostart)
                return phase_fail(p, 0, LIBVIRT_HINT, "%s '%s' did not become active",
                                  virt_kind_to_string(w->kind), w->name);
        return 0;
}

static int fail_open(Phase *p, int error, const char *message) {
        if (p->dry_run) {
                phase_note(p,
                           "libvirt cannot be asked now (%s): the pool and network that are missing would be made",
                           strna(message));
                return 0;
        }
        if (error == -ENOPKG)
                return phase_fail(p, 0, "Start gpuvm-kvm.service first, or install " VIRT_LIBRARY_PACKAGE ".",
                                  "libvirt's library is not installed");
        return phase_fail(p, isempty(message) ? error : 0, LIBVIRT_HINT, "Cannot connect to libvirt%s%s",
                          isempty(message) ? "" : ": ", strempty(message));
}

static int ensure_libvirt(Phase *p, Undo *u, const Wanted *wanted, size_t n) {
        _cleanup_free_ char *message = NULL;
        _cleanup_(virt_closep) Virt *v = NULL;
        int r;

        for (size_t i = 0; i < n; i++) {
                if (files_say_done(p->root, &wanted[i]))
                        continue;
                r = v ? 0 : virt_open_root(p->root, &v, &message);
                if (r < 0)
                        return fail_open(p, r, message);
                r = ensure(p, u, v, &wanted[i]);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* The file is what backup programs know a cache by; the directory comes and goes with it. */
static int make_cache(Phase *p, Undo *u) {
        static const char tag[] = "Signature: 8a477f597d28d172789f06886806bc55\n"
                                  "# Images downloaded by gpuvm; see https://bford.info/cachedir/\n";
        int r;

        r = fs_exists(p->root, CACHE_TAG);
        if (r > 0)
                return 0;
        r = phase_change(p, "create", CACHE_DIR, "for downloaded images");
        if (r < 0)
                return log_oom();
        if (r == 0)
                return 0;
        r = undo_write_file(u, CACHE_TAG, tag, strlen(tag), 0644);
        return r < 0 ? phase_fail(p, r, "See that /var/cache can be written.", "Cannot make '%s'", CACHE_DIR)
                     : 0;
}

/* On a bridge VMs are the network's own; libvirt's is for those that have none. Returns 1 if it is needed. */
static int needs_network(Phase *p, const Conf *c) {
        _cleanup_(hostnet_done) HostNet n = {};
        int r = hostnet_read(p->root, c, &n);

        if (r < 0)
                return log_oom();
        if (r == 0)
                phase_note(p,
                           "gpuvm-bridge.service did not run since the machine started: libvirt's network "
                           "is left as it is");
        return r > 0 && n.mode == NETWORK_NAT;
}

static int run(Phase *p, int argc, char *argv[]) {
        _cleanup_free_ char *pool_xml = NULL, *template = NULL;
        _cleanup_(conf_done) Conf c = {};
        _cleanup_(undo_freep) Undo *u = NULL;
        bool nat;
        int r;

        r = conf_load_and_warn(p->root, &c);
        if (r >= 0)
                r = undo_open(p->root, p->name, &u);
        if (r >= 0)
                r = virt_pool_xml(c.pool, c.pool_path, &pool_xml);
        if (r < 0)
                return log_oom();
        if (!c.kvm) {
                phase_note(p, "Kvm=no: nothing to do");
                return PHASE_NOT_APPLICABLE;
        }
        if (fs_read(p->root, NETWORK_TEMPLATE, FS_FILE_MAX, &template, NULL) < 0)
                template = NULL;

        const Wanted wanted[] = {
                { VIRT_POOL, c.pool, c.pool_path, pool_xml },
                { VIRT_NETWORK, NETWORK, NULL, template ?: network_xml },
        };
        r = make_cache(p, u);
        if (r >= 0)
                r = needs_network(p, &c);
        nat = r > 0;
        if (r >= 0)
                r = ensure_libvirt(p, u, wanted, nat ? 2 : 1);
        if (r >= 0 && nat)
                r = guestfilter_put(p, u, &c);
        return r < 0 ? r : PHASE_OK;
}

static const Helper helper = {
        .name = "gpuvm-storage",
        .summary = "Make the storage pool, the image cache and, without a bridge, a network for VMs.",
        .run = run,
};

DEFINE_HELPER(helper)
