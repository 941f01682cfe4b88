/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Bridgefilter: the host's packet filter and what VMs send over the bridge.
 *
 * Where br_netfilter is in the kernel (Docker and Kubernetes load it), frames that only cross a bridge go
 * through iptables' chain FORWARD, as from the bridge to the bridge (br_nf_forward_ip() in
 * net/bridge/br_netfilter_hooks.c); Docker and ufw let that chain drop what no rule accepts. What a routed
 * bridge forwards goes through it anyway. br_netfilter's switch holds for all bridges of the machine, others
 * depend on it, and a table of our own could not take back what another one drops. So a rule in that chain,
 * and in each chain of nftables that drops as well (bridgenft.h), for this bridge alone, lets its packets
 * through; it lives as long as the kernel, and udev/60-gpuvm.rules
 * has it put there again. */

#include "bridge.h"
#include "phase.h"

/* Puts the rules there that are needed and missing, each announced and looked for again. Returns 1 if there
 * were such, 0 if not, -ENOENT: there is no filter to ask; -EPROTO: it failed. */
int bridgefilter_open(Phase *p, const BridgeState *s) _must_check_ _nonnull_all_;
/* Takes them away, whoever put them there. */
void bridgefilter_close(Phase *p, const BridgeState *s) _nonnull_all_;

/* Returns 1 if the rules that are needed are there, 0 if one is missing, or -errno as above. Needs root. */
int bridgefilter_look(int root, const BridgeState *s) _must_check_ __attribute__((nonnull(2)));

/* True if frames that cross a bridge go through the filter of IPv4 or IPv6. */
bool bridgefilter_sees_frames(int root);

/* A routed bridge has the host forward IPv4. */
#define BRIDGEFILTER_FORWARDING "/proc/sys/net/ipv4/ip_forward"
bool bridgefilter_is_forwarding(int root);
/* Off again, unless it was on before the bridge, or another one may need it; that is noted. */
void bridgefilter_stop_forwarding(Phase *p, const BridgeState *s) _nonnull_all_;
