/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Netpeer: who is logged in over the network, by the kernel's list of TCP connections, and whether what they
 * sent and got still flows.
 *
 * The environment of a helper that systemd started names no SSH connection; the sockets are there whoever
 * started it. A connection counts that was made to a port of sshd. */

#include "netstate.h"

typedef struct NetPeer {
        int family;
        uint8_t local[16], remote[16];
        uint16_t local_port, remote_port;
        uint64_t cookie;          /* the kernel's name of the socket, never used twice */
        uint64_t acked, received; /* bytes; what we sent and they confirmed, what they sent */
        unsigned unacked;         /* segments under way */
        unsigned retransmits;     /* of the oldest of those, so far */
} NetPeer;

typedef struct NetPeers {
        NetPeer *items;
        size_t n;
} NetPeers;

/* Adds the established connections to one of the local ports that are not from this machine to itself. Pure:
 * reads answers to SOCK_DIAG_BY_FAMILY with INET_DIAG_INFO. ports: ends in 0. */
int netpeer_parse(NetPeers *p, const uint16_t *ports, const void *data, size_t size) _must_check_
                __attribute__((nonnull(1, 2)));

/* The connections now. Needs no privilege. -ENOENT: the kernel has no such list (module inet_diag). */
int netpeer_read(const uint16_t *ports, NetPeers *ret) _must_check_ _nonnull_all_;
void netpeer_done(NetPeers *p);

/* Those of sshd's ports; nobody, below another root than the machine's own. Where the kernel has no such list
 * there is nobody either: then the gateways have to do. */
int netpeer_load(int root, NetPeers *ret) _must_check_ _nonnull_all_;

enum { NETPEER_PORTS_MAX = 16 };

/* Ports in an sshd_config: Port and the port of ListenAddress. Appends to ports (which ends in 0) what is not
 * in it yet and fits. Pure. */
void netpeer_sshd_ports(const char *text, uint16_t ports[static NETPEER_PORTS_MAX + 1]);

/* 22, and what /etc/ssh/sshd_config, its drop-ins and ssh.socket's drop-ins name. */
int netpeer_ports(int root, uint16_t ports[static NETPEER_PORTS_MAX + 1]) _must_check_;

typedef enum NetFlow {
        NETFLOW_NONE,  /* there was nobody */
        NETFLOW_MOVES, /* bytes went and came since */
        NETFLOW_QUIET, /* there, with nothing to say: proves nothing */
        NETFLOW_STUCK, /* what we sent is not confirmed, though it was sent again */
        NETFLOW_GONE,  /* closed since */
} NetFlow;

/* The best of the peers of "before": one that moves is proof enough, because one user
 * who went home says nothing about the network. */
NetFlow netpeer_compare(const NetPeers *before, const NetPeers *now) _must_check_ _nonnull_all_;
const char *netflow_to_string(NetFlow f);
