/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Guestlook: asks libvirt, the agent, the network and sysfs what there is to know of a machine. What the
 * guest answers is the guest's word: nothing but a verdict depends on it. */

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include "fs.h"
#include "guestlook.h"
#include "hostdevs.h"
#include "pci.h"
#include "setupcheck.h"
#include "virtagent.h"
#include "virtverdict.h"

enum { CONNECT_MSEC = 1000, SSH = 22, TALOS_API = 50000, SMI_SEC = 20, SETUP_SEC = 120 };

static int socket_address(const char *address, uint16_t port, struct sockaddr_storage *ret,
                          socklen_t *ret_size) {
        struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
        struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };

        if (inet_pton(AF_INET, address, &v4.sin_addr) == 1) {
                memcpy(ret, &v4, sizeof(v4));
                *ret_size = sizeof(v4);
                return 0;
        }
        if (inet_pton(AF_INET6, address, &v6.sin6_addr) != 1)
                return -EINVAL;
        memcpy(ret, &v6, sizeof(v6));
        *ret_size = sizeof(v6);
        return 0;
}

static bool answers(const char *address, uint16_t port) {
        _cleanup_close_ int fd = -EBADF;
        struct sockaddr_storage a;
        struct pollfd p = { .events = POLLOUT };
        socklen_t size = 0, length = sizeof(int);
        int error = 0;

        if (socket_address(address, port, &a, &size) < 0)
                return false;
        fd = socket(a.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return false;
        if (connect(fd, (const struct sockaddr *) &a, size) >= 0)
                return true;
        p.fd = fd;
        return errno == EINPROGRESS && poll(&p, 1, CONNECT_MSEC) > 0 &&
                        getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) >= 0 && error == 0;
}

/* What went wrong with the guest's agent, in libvirt's words, which may be the agent's. */
static int say_why(Context *c, int error, char **ret) {
        const char *said = virt_message(c->virt);

        return guestcheck_excerpt(isempty(said) ? strerror(-error) : said, ret);
}

/* Where GPUs can be looked up: a machine elsewhere has others. */
static int open_host(Context *c) {
        const char *directory = secure_getenv("GPUVM_ROOT");

        return directory || vmctl_is_local(c) ? fs_open_root(directory) : -ENOTCONN;
}

/* The GPU's ids, if it is one. Returns 1, 0 if it is something else, or -errno. */
static int identify(int root, const char *name, GuestGpu *g) {
        _cleanup_close_ int all = root < 0 ? root : pci_open(root);
        _cleanup_(pci_device_done) PciDevice d = {};
        int r = all < 0 ? all : bdf_parse(name, &d.bdf);

        if (r >= 0)
                r = pci_read_brief(root, all, &d);
        if (r <= 0)
                return r < 0 ? r : -ENODEV;
        g->vendor = d.vendor;
        g->device = d.device;
        return pci_is_nvidia_gpu(&d);
}

static int add_gpu(int root, const char *name, bool attached, bool certain, GuestFacts *f) {
        GuestGpu g = { .attached = attached }, *l;
        int r = identify(root, name, &g);

        if (r == 0 || (r < 0 && !certain))
                return 0;
        (void) snprintf(g.name, sizeof(g.name), "%s", name);
        l = reallocarray(f->gpus, f->n_gpus + 1, sizeof(*l));
        if (!l)
                return -ENOMEM;
        f->gpus = l;
        f->gpus[f->n_gpus++] = g;
        return 0;
}

/* Those that it has now, and those that it should have. */
static int find_gpus(Context *c, const Metadata *m, GuestFacts *f) {
        _cleanup_close_ int root = open_host(c);
        _cleanup_strv_ char **functions = NULL;
        _cleanup_free_ char *xml = NULL;
        int r;

        r = virtvm_xml_now(c->virt, f->name, &xml);
        if (r >= 0)
                r = hostdevs_parse(xml, &functions);
        STRV_FOREACH(name, functions)
                if (r >= 0)
                        r = add_gpu(root, *name, true, strv_contains(m->gpus, *name), f);
        STRV_FOREACH(name, m->gpus)
                if (r >= 0 && !strv_contains(functions, *name))
                        r = add_gpu(root, *name, false, true, f);
        return r;
}

static int look_at_pci(Context *c, GuestFacts *f) {
        _cleanup_free_ char *text = NULL;
        int r;

        if (!f->agent)
                return str_printf(&f->pci_error, "no agent answers");
        r = virtagent_read(c->virt, f->name, "/proc/bus/pci/devices", &text);
        if (r < 0)
                return say_why(c, r, &f->pci_error);
        return guestcheck_parse_pci(text, &f->pci, &f->n_pci);
}

static bool has_nvidia_driver(const GuestFacts *f) {
        for (size_t i = 0; i < f->n_pci; i++)
                if (streq(f->pci[i].driver, "nvidia"))
                        return true;
        return false;
}

/* NVIDIA's own word on whether its driver works; a guest without nvidia-smi gives none. */
static void ask_smi(Context *c, GuestFacts *f) {
        static const char *const argv[] = { "nvidia-smi", "-L", NULL };

        if (!has_nvidia_driver(f))
                return;
        f->smi_status = virtagent_run(c->virt, f->name, argv, SMI_SEC * USEC_PER_SEC, &f->smi_text);
        f->smi = f->smi_status >= 0 || f->smi_status == -ETIMEDOUT;
}

static void ask_cloud_init(Context *c, GuestFacts *f) {
        _cleanup_free_ char *text = NULL;

        if (virtagent_read(c->virt, f->name, "/run/cloud-init/status.json", &text) < 0 ||
            guestcheck_parse_init(text, &f->init, &f->init_text) < 0)
                f->init = GUEST_INIT_UNKNOWN;
}

/* Of a guest that sets itself up in steps. */
static void ask_setup(Context *c, GuestFacts *f) {
        static const char *const argv[] = { SETUPCHECK_PROGRAM, NULL };

        if (virtagent_read(c->virt, f->name, SETUPCHECK_STEPS, &f->steps) < 0)
                return;
        if (virtagent_run(c->virt, f->name, argv, SETUP_SEC * USEC_PER_SEC, &f->found) < 0)
                log_debug("%s: its setup's own check: %s", f->name, virt_message(c->virt));
}

static int look_inside(Context *c, const Metadata *m, bool whole, GuestFacts *f) {
        int r = virtagent_ping(c->virt, f->name);

        f->agent = r >= 0;
        r = r < 0 ? say_why(c, r, &f->agent_error) : 0;
        if (r >= 0)
                r = vmctl_address(c, f->name, m, &f->address);
        if (r < 0)
                return r;
        f->answers = f->address && answers(f->address, f->talos ? TALOS_API : SSH);
        r = find_gpus(c, m, f);
        if (r < 0)
                return vmctl_tell(c, r, "Cannot tell which GPUs virtual machine '%s' has", f->name);
        r = f->n_gpus > 0 ? look_at_pci(c, f) : 0;
        if (whole && f->agent && f->pci)
                ask_smi(c, f);
        if (f->agent && !f->talos && (whole || f->answers))
                ask_cloud_init(c, f);
        if (f->agent && !f->talos && whole)
                ask_setup(c, f);
        return r;
}

int guest_look(Context *c, const char *name, bool whole, GuestFacts *ret) {
        _cleanup_(guestfacts_done) GuestFacts f = {};
        _cleanup_(metadata_done) Metadata m = {};
        _cleanup_(virtvm_done) VirtVm vm = {};
        int r = vmctl_find(c, name, &vm, &m);

        if (r < 0)
                return r;
        f.name = strdup(name);
        f.talos = streq(m.kind, "talos");
        f.state = vm.state;
        r = !f.name ? -ENOMEM : f.state == VM_RUNNING ? look_inside(c, &m, whole, &f) : 0;
        if (r < 0)
                return r == -ENOMEM ? log_oom() : r;
        *ret = f;
        f = (GuestFacts){};
        return 0;
}

void guest_keep_verdict(Context *c, const char *name, FindingLevel level, const char *text) {
        int r = virtverdict_set(c->virt, name, finding_level_to_string(level), text);

        if (r < 0)
                log_debug("%s: the verdict is not kept: %s", name, virt_message(c->virt));
}
