/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "bridgefilter.h"
#include "bridgenft.h"
#include "child.h"
#include "fs.h"
#include "strv.h"

enum {
        TIMEOUT_SEC = 10,
        RULES_MAX = 8, /* of the same kind, that are taken away */
};

static const struct {
        const char *program, *sees;
} families[] = {
        { "/usr/sbin/iptables", "/proc/sys/net/bridge/bridge-nf-call-iptables" },
        { "/usr/sbin/ip6tables", "/proc/sys/net/bridge/bridge-nf-call-ip6tables" },
};

static size_t make_matches(const BridgeState *s, NftMatch ret[static 2]) {
        if (!s->routed) {
                ret[0] = (NftMatch){ s->bridge, s->bridge };
                return 1;
        }
        ret[0] = (NftMatch){ .in = s->bridge };
        ret[1] = (NftMatch){ .out = s->bridge };
        return 2;
}

/* That a rule is missing is no news. */
static void on_stderr(const char *line, void *userdata) {
        log_debug("%s", line);
}

/* action: "-C", "-I", "-D". Returns 0, 1 if iptables said no, or -errno. */
static int iptables(Phase *p, const char *program, const char *action, const NftMatch *m) {
        const char *argv[16] = { program, "-w", "5", action, "FORWARD" };
        size_t n = 5;
        int r;

        if (m->in) {
                argv[n++] = "-i";
                argv[n++] = m->in;
        }
        if (m->out) {
                argv[n++] = "-o";
                argv[n++] = m->out;
        }
        argv[n++] = "-m";
        argv[n++] = "comment";
        argv[n++] = "--comment";
        argv[n++] = "gpuvm-bridge";
        argv[n++] = "-j";
        argv[n] = "ACCEPT";
        r = child_run(&(const Child){ PHASE_CHILD(p), .argv = argv,
                                      .timeout_usec = TIMEOUT_SEC * USEC_PER_SEC, .on_stderr = on_stderr });
        if (r > 1)
                log_debug("'%s %s FORWARD' gave %d", program, action, r);
        return r > 1 ? -EPROTO : r;
}

static bool sees_frames(int root, size_t family) {
        _cleanup_free_ char *line = NULL;

        return fs_read_line(root, families[family].sees, &line) >= 0 && !streq(line, "0");
}

bool bridgefilter_sees_frames(int root) {
        return sees_frames(root, 0) || sees_frames(root, 1);
}

static int open_one(Phase *p, const BridgeState *s, const char *program, const NftMatch *m) {
        int r = iptables(p, program, "-C", m);

        if (r <= 0)
                return r;
        r = phase_change(p, "accept", s->bridge, "in chain FORWARD of %s", program);
        if (r <= 0)
                return r;
        r = iptables(p, program, "-I", m);
        if (r == 0)
                r = iptables(p, program, "-C", m);
        return r == 0 ? 1 : r > 0 ? -EPROTO : r;
}

/* A routed bridge forwards IPv4 alone. */
static NftFamilies families_of(int root, const BridgeState *s) {
        return s->routed ? (NftFamilies){ .ipv4 = true }
                         : (NftFamilies){ sees_frames(root, 0), sees_frames(root, 1) };
}

int bridgefilter_open(Phase *p, const BridgeState *s) {
        const NftFamilies wanted = families_of(p->root, s);
        const bool asked[] = { wanted.ipv4, wanted.ipv6 };
        NftMatch matches[2];
        size_t n = make_matches(s, matches);
        int changed = 0, r = 0, q;

        for (size_t f = 0; f < ELEMENTSOF(families); f++)
                for (size_t i = 0; asked[f] && i < n && r >= 0; i++) {
                        r = open_one(p, s, families[f].program, &matches[i]);
                        changed |= r > 0;
                }
        q = wanted.ipv4 || wanted.ipv6 ? bridgenft_open(p, s->bridge, wanted, matches, n) : 0;
        if (q >= 0)
                changed |= q;
        if ((q < 0 && q != -ENOENT) || (q >= 0 && r == -ENOENT))
                r = q;
        return r < 0 ? r : changed;
}

int bridgefilter_look(int root, const BridgeState *s) {
        const NftFamilies wanted = families_of(root, s);
        const bool asked[] = { wanted.ipv4, wanted.ipv6 };
        Phase p = { .root = root };
        NftMatch matches[2];
        size_t n = make_matches(s, matches);
        int r = 1, q;

        if (!wanted.ipv4 && !wanted.ipv6)
                return 1;
        for (size_t f = 0; f < ELEMENTSOF(families); f++)
                for (size_t i = 0; asked[f] && i < n; i++) {
                        int k = iptables(&p, families[f].program, "-C", &matches[i]);

                        r = k == 0 ? r : MIN(k, 0);
                }
        q = bridgenft_look(&p, wanted, matches, n);
        return q == -ENOENT ? r : r == -ENOENT ? q : MIN(r, q);
}

void bridgefilter_close(Phase *p, const BridgeState *s) {
        const NftFamilies wanted = families_of(p->root, s);
        const bool asked[] = { wanted.ipv4, wanted.ipv6 };
        NftMatch matches[2];
        size_t n = make_matches(s, matches);

        /* Elsewhere none was put there, and to ask costs a module. */
        for (size_t f = 0; f < ELEMENTSOF(families); f++)
                for (size_t i = 0; asked[f] && i < n; i++)
                        for (unsigned k = 0;
                             k < RULES_MAX && iptables(p, families[f].program, "-D", &matches[i]) == 0; k++)
                                ;
        if (wanted.ipv4 || wanted.ipv6)
                bridgenft_close(p, wanted, matches, n);
}

bool bridgefilter_is_forwarding(int root) {
        _cleanup_free_ char *line = NULL;

        return fs_read_line(root, BRIDGEFILTER_FORWARDING, &line) >= 0 && !streq(line, "0");
}

/* libvirt's and Docker's bridges need it as well, and found it on. */
static bool has_other_bridge(int root, const char *name) {
        _cleanup_strv_ char **links = NULL;

        if (fs_list(root, "/sys/class/net", &links) < 0)
                return true;
        STRV_FOREACH(l, links) {
                _cleanup_free_ char *path = NULL;

                if (!streq(*l, name) && str_printf(&path, "/sys/class/net/%s/bridge", *l) >= 0 &&
                    fs_exists(root, path) > 0)
                        return true;
        }
        return false;
}

void bridgefilter_stop_forwarding(Phase *p, const BridgeState *s) {
        if (s->forwarding || !bridgefilter_is_forwarding(p->root))
                return;
        if (has_other_bridge(p->root, s->bridge))
                phase_note(p,
                           "This host goes on forwarding IPv4, for its other bridges, until it is restarted");
        else if (fs_write_attr(p->root, BRIDGEFILTER_FORWARDING, "0") < 0 ||
                 bridgefilter_is_forwarding(p->root))
                phase_note(p, "This host goes on forwarding IPv4 until it is restarted");
}
