/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Guestlook: asks libvirt, the agent and the network what there is to know of a machine. What the guest
 * answers is the guest's word: nothing but a verdict depends on it. */

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include "conf.h"
#include "fs.h"
#include "guestask.h"
#include "guestlook.h"
#include "gueststeps.h"
#include "httpask.h"
#include "ping.h"
#include "setupcheck.h"
#include "virtagent.h"
#include "virtverdict.h"

enum { CONNECT_MSEC = 1000, SSH = 22, TALOS_API = 50000, SETUP_SEC = 120, PING_SEC = 1, HTTP_SEC = 5 };

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

/* Where GPUs can be looked up: a machine elsewhere has others. */
static int open_host(Context *c) {
        const char *directory = secure_getenv("GPUVM_ROOT");

        return directory || vmctl_is_local(c) ? fs_open_root(directory) : -ENOTCONN;
}

/* Of a guest that sets itself up in steps. */
static void ask_setup(Context *c, GuestFacts *f) {
        static const char *const argv[] = { SETUPCHECK_PROGRAM, NULL };

        if (virtagent_read(c->virt, f->name, SETUPSTEPS_FILE, &f->steps) < 0)
                return;
        if (virtagent_run(c->virt, f->name, argv, SETUP_SEC * USEC_PER_SEC, &f->found) < 0)
                log_debug("%s: its setup's own check: %s", f->name, virt_message(c->virt));
}

/* Those that others are to reach, and that run. What cannot be found out stays unknown. */
static int ask_engines(Context *c, GuestFacts *f) {
        _cleanup_free_ char *settings = NULL;
        int r = 0;

        if (!f->address || !f->found || virtagent_read(c->virt, f->name, GUESTSTEPS_SETTINGS, &settings) < 0)
                return 0;
        for (EngineName e = 0; e < _ENGINE_NAME_MAX && r >= 0; e++) {
                EngineAnswer *a = &f->engines[e];

                r = enginecheck_url(e, settings, f->found, f->address, &a->url);
                if (r <= 0)
                        continue;
                a->status = httpask(a->url, HTTP_SEC * USEC_PER_SEC, &a->error);
                if (a->status == -ENOPKG || a->status == -ENOMEM)
                        engineanswer_done(a);
        }
        return MIN(r, 0);
}

/* Who may not ask leaves it unknown. */
static void ask_ping(GuestFacts *f) {
        int r = ping_once(f->address, PING_SEC * USEC_PER_SEC);

        f->pinged = r >= 0;
        f->pings = r > 0;
        if (r < 0)
                log_debug_errno(r, "%s: cannot ping %s: %m", f->name, f->address);
}

/* Nothing but a finding depends on it: what cannot be seen here is not known. */
static void look_at_route(Context *c, GuestFacts *f) {
        _cleanup_close_ int root = vmctl_is_local(c) ? fs_open_root(NULL) : -EBADF;
        _cleanup_(hostnet_done) HostNet net = {};
        _cleanup_(conf_done) Conf conf = {};
        int r = root < 0 ? root : conf_load(root, NULL, NULL, &conf);

        if (r >= 0)
                r = hostnet_read(root, &conf, &net);
        if (r > 0 && virtroute_applies(root, &net))
                r = virtroute_look(c->virt, &net, f->name, &f->routes);
        if (r < 0)
                log_debug_errno(r, "%s: whether the host routes to it is not known: %m", f->name);
}

static int look_inside(Context *c, const Metadata *m, bool whole, GuestFacts *f) {
        _cleanup_close_ int root = open_host(c);
        int r = guestask_agent(c->virt, f);

        if (r >= 0)
                r = vmctl_address(c, f->name, m, &f->address);
        if (r < 0)
                return r;
        f->answers = f->address && answers(f->address, f->talos ? TALOS_API : SSH);
        r = guestask_gpus(c->virt, root, m, f);
        if (r < 0)
                return vmctl_tell(c, r, "Cannot tell which GPUs virtual machine '%s' has", f->name);
        if (whole)
                look_at_route(c, f);
        if (whole)
                guestask_smi(c->virt, f);
        if (whole && f->address)
                ask_ping(f);
        if (f->agent && !f->talos && (whole || f->answers))
                guestask_init(c->virt, f);
        if (f->agent && !f->talos && whole)
                ask_setup(c, f);
        return r < 0 ? r : ask_engines(c, f);
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
        f.made_sec = m.took_sec;
        f.state = vm.state;
        r = !f.name ? -ENOMEM : f.state == VM_RUNNING ? look_inside(c, &m, whole, &f) : 0;
        if (r < 0)
                return r == -ENOMEM ? log_oom() : r;
        *ret = f;
        f = (GuestFacts){};
        return 0;
}

int guest_tell_once(Context *c, const Finding *x, char ***told) {
        _cleanup_free_ char *line = NULL;

        if (vmctl_has(c, OPT_QUIET) || vmctl_has(c, OPT_JSON))
                return 0;
        if (asprintf(&line, "%s %s", x->object, x->text) < 0) {
                line = NULL;
                return log_oom();
        }
        if (strv_contains(*told, line))
                return 0;
        if (strv_extend(told, line) < 0)
                return log_oom();
        printf("  %s\n", line);
        fflush(stdout);
        return 0;
}

void guest_keep_verdict(Context *c, const char *name, FindingLevel level, const char *text) {
        int r = virtverdict_set(c->virt, name, finding_level_to_string(level), text);

        if (r < 0)
                log_debug("%s: the verdict is not kept: %s", name, virt_message(c->virt));
}
