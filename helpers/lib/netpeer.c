/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "netpeer.h"
#include "fs.h"
#include "netlink.h"
#include "parse.h"
#include "strv.h"

#include <ctype.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>

enum {
        ESTABLISHED = 1,     /* TCP_ESTABLISHED of include/net/tcp_states.h */
        RETRANSMITS_BAD = 3, /* about a second and a half without a word: no loss on a line that works */
};

void netpeer_done(NetPeers *p) {
        free(p->items);
        *p = (NetPeers){};
}

static bool has_port(const uint16_t *ports, uint16_t port) {
        for (; *ports; ports++)
                if (*ports == port)
                        return true;
        return false;
}

/* An IPv4 connection to a socket that takes both families is listed as IPv6, with mapped addresses. */
static void unmap(NetPeer *p) {
        static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

        if (p->family != AF_INET6 || memcmp(p->local, mapped, 12) != 0 || memcmp(p->remote, mapped, 12) != 0)
                return;
        memmove(p->local, p->local + 12, 4);
        memmove(p->remote, p->remote + 12, 4);
        memset(p->local + 4, 0, 12);
        memset(p->remote + 4, 0, 12);
        p->family = AF_INET;
}

/* Older kernels know fewer fields than our header, newer ones more. */
static void read_info(NetPeer *p, const struct rtattr *a) {
        struct tcp_info t = {};

        if (!a)
                return;
        memcpy(&t, RTA_DATA(a), MIN(netlink_size(a), sizeof(t)));
        p->acked = t.tcpi_bytes_acked;
        p->received = t.tcpi_bytes_received;
        p->unacked = t.tcpi_unacked;
        p->retransmits = t.tcpi_retransmits;
}

typedef struct Parser {
        NetPeers *peers;
        const uint16_t *ports;
} Parser;

static int on_message(uint16_t type, const void *payload, size_t size, void *userdata) {
        const struct rtattr *a[INET_DIAG_INFO + 1] = {};
        const struct inet_diag_msg *m = payload;
        Parser *q = userdata;
        NetPeer p = {}, *t;

        if (type != SOCK_DIAG_BY_FAMILY)
                return 0;
        if (netlink_body(payload, size, sizeof(*m), a, ELEMENTSOF(a) - 1) < 0)
                return -EBADMSG;
        if ((m->idiag_family != AF_INET && m->idiag_family != AF_INET6) || m->idiag_state != ESTABLISHED)
                return 0;
        p.family = m->idiag_family;
        p.local_port = ntohs(m->id.idiag_sport);
        p.remote_port = ntohs(m->id.idiag_dport);
        p.cookie = ((uint64_t) m->id.idiag_cookie[1] << 32) | m->id.idiag_cookie[0];
        memcpy(p.local, m->id.idiag_src, net_address_size(p.family));
        memcpy(p.remote, m->id.idiag_dst, net_address_size(p.family));
        unmap(&p);
        read_info(&p, a[INET_DIAG_INFO]);
        if (!has_port(q->ports, p.local_port) || memcmp(p.local, p.remote, sizeof(p.local)) == 0)
                return 0;
        t = reallocarray(q->peers->items, q->peers->n + 1, sizeof(*t));
        if (!t)
                return -ENOMEM;
        q->peers->items = t;
        t[q->peers->n++] = p;
        return 0;
}

int netpeer_parse(NetPeers *p, const uint16_t *ports, const void *data, size_t size) {
        return netlink_walk(data, size, on_message, &(Parser){ p, ports });
}

int netpeer_read(const uint16_t *ports, NetPeers *ret) {
        static const uint8_t families[] = { AF_INET, AF_INET6 };
        _cleanup_(netpeer_done) NetPeers p = {};
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(families); i++) {
                struct inet_diag_req_v2 q = { .sdiag_family = families[i],
                                              .sdiag_protocol = IPPROTO_TCP,
                                              .idiag_ext = 1 << (INET_DIAG_INFO - 1),
                                              .idiag_states = 1 << ESTABLISHED };
                _cleanup_free_ char *data = NULL;
                size_t size = 0;

                r = netlink_dump(NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, &q, sizeof(q), &data, &size);
                if (r >= 0)
                        r = netpeer_parse(&p, ports, data, size);
        }
        if (r < 0)
                return r;
        *ret = p;
        p = (NetPeers){};
        return 0;
}

static void add_port(uint16_t *ports, const char *text) {
        unsigned port;
        size_t n = 0;

        if (parse_uint(text, UINT16_MAX, &port) < 0 || port == 0 || has_port(ports, (uint16_t) port))
                return;
        while (ports[n])
                n++;
        if (n < NETPEER_PORTS_MAX)
                ports[n] = (uint16_t) port;
}

/* "2222", "192.0.2.1:2222", "[::]:2222"; an address alone has no port, and "::1" is one. */
static void add_address_port(uint16_t *ports, const char *text) {
        const char *colon = strrchr(text, ':');

        if (colon && (*text == '[' ? colon[-1] == ']' : strchr(text, ':') == colon))
                add_port(ports, colon + 1);
        else if (!colon)
                add_port(ports, text);
}

/* "Keyword value" or "Keyword=value", in any case: sshd_config(5), and a unit's ListenStream=. */
static void read_line(char *line, uint16_t *ports) {
        static const char separators[] = " \t\r=\"";
        char *save = NULL, *key = strtok_r(line, separators, &save),
             *value = key ? strtok_r(NULL, separators, &save) : NULL;

        if (!value || *key == '#')
                return;
        if (strcasecmp(key, "Port") == 0)
                add_port(ports, value);
        else if (strcasecmp(key, "ListenAddress") == 0 || strcasecmp(key, "ListenStream") == 0)
                add_address_port(ports, value);
}

void netpeer_sshd_ports(const char *text, uint16_t ports[static NETPEER_PORTS_MAX + 1]) {
        _cleanup_strv_ char **lines = NULL;

        if (strv_split(text, "\n", &lines) < 0)
                return;
        STRV_FOREACH(l, lines)
                read_line(*l, ports);
}

static void read_file(int root, const char *path, uint16_t *ports) {
        _cleanup_free_ char *text = NULL;

        if (fs_read(root, path, FS_ATTR_MAX, &text, NULL) >= 0)
                netpeer_sshd_ports(text, ports);
}

int netpeer_ports(int root, uint16_t ports[static NETPEER_PORTS_MAX + 1]) {
        static const char *const directories[] = { "/etc/ssh/sshd_config.d",
                                                   "/etc/systemd/system/ssh.socket.d",
                                                   "/run/systemd/generator/ssh.socket.d" };

        memset(ports, 0, (NETPEER_PORTS_MAX + 1) * sizeof(*ports));
        ports[0] = 22;
        read_file(root, "/etc/ssh/sshd_config", ports);
        for (size_t i = 0; i < ELEMENTSOF(directories); i++) {
                _cleanup_strv_ char **names = NULL;
                int r = fs_list(root, directories[i], &names);

                if (r == -ENOMEM)
                        return r;
                STRV_FOREACH(n, names) {
                        _cleanup_free_ char *path = NULL;

                        if (str_printf(&path, "%s/%s", directories[i], *n) < 0)
                                return -ENOMEM;
                        if (endswith(*n, ".conf"))
                                read_file(root, path, ports);
                }
        }
        return 0;
}

int netpeer_load(int root, NetPeers *ret) {
        uint16_t ports[NETPEER_PORTS_MAX + 1];
        int r;

        *ret = (NetPeers){};
        if (!fs_is_host(root))
                return 0;
        r = netpeer_ports(root, ports);
        if (r >= 0)
                r = netpeer_read(ports, ret);
        return r == -ENOENT ? 0 : r;
}

static const NetPeer *find(const NetPeers *p, uint64_t cookie) {
        for (size_t i = 0; i < p->n; i++)
                if (p->items[i].cookie == cookie)
                        return &p->items[i];
        return NULL;
}

static NetFlow compare_one(const NetPeer *before, const NetPeer *now) {
        if (!now)
                return NETFLOW_GONE;
        if (now->received > before->received || now->acked > before->acked)
                return NETFLOW_MOVES;
        return now->unacked > 0 && now->retransmits >= RETRANSMITS_BAD ? NETFLOW_STUCK : NETFLOW_QUIET;
}

NetFlow netpeer_compare(const NetPeers *before, const NetPeers *now) {
        NetFlow best = NETFLOW_NONE;

        for (size_t i = 0; i < before->n; i++) {
                NetFlow f = compare_one(&before->items[i], find(now, before->items[i].cookie));

                if (best == NETFLOW_NONE || f < best)
                        best = f;
        }
        return best;
}

const char *netflow_to_string(NetFlow f) {
        static const char *const names[] = { "none", "moves", "quiet", "stuck", "gone" };

        return (size_t) f < ELEMENTSOF(names) ? names[f] : NULL;
}
