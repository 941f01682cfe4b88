/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Ipcheck: which addresses of the bridge's network nobody has. First by what is known (ipknown.h, and the
 * kernel's tables), then by asking on the link for all others (probe.h). Silence is no proof: who is switched
 * off says nothing, and what a DHCP server elsewhere will give out is known to it alone. IpRange= in
 * gpuvm.conf(5) names what is set aside for machines. */

#include "conf.h"
#include "ipknown.h"
#include "netstate.h"

enum { IPCHECK_MAX = 65536 }; /* addresses that are asked for at once: a /16 */

typedef struct IpEntry {
        IpState state;
        bool asked;
        const char *whose; /* of IpKnown, or NULL */
        uint8_t mac[6];    /* who answers; zero: not asked, or nobody */
        uint8_t other[6];  /* the second one, of a conflict */
} IpEntry;

typedef struct IpCheck {
        NetLink link;
        uint8_t source[16]; /* its link-local IPv6 address */
        bool has_source;
        IpRange range;
        unsigned prefix; /* of the link's network that the range is in; 0: of none */
        bool leased;     /* the link has its own address there by DHCP: somebody gives out others, too */
        IpEntry *entries;
        size_t n;
        unsigned lost; /* frames that were not read: who is silent may have answered */
} IpCheck;

void ipcheck_done(IpCheck *c);

/* Looks at nothing but what it is given. link: a name. wanted: what is to be looked at; NULL: the network of
 * the link's first IPv4 address. networkd: the text of the link's .network file, or NULL. Returns 0; or, with
 * a sentence and its remedy in reterr, -ENODEV there is no such link, or one without ARP, -ENETDOWN it is
 * down, -EADDRNOTAVAIL it has no network, -E2BIG too many addresses. -ENOMEM. */
int ipcheck_plan(const NetState *s, const char *link, const IpRange *wanted, const char *networkd,
                 const IpKnown *known, IpCheck *ret, char **reterr) _must_check_
                __attribute__((nonnull(1, 2, 5, 6, 7)));

/* Asks for those that are free so far and were not asked for, the first max of them. Returns how many; -EPERM
 * without CAP_NET_RAW; as probe_run(). */
int ipcheck_ask(IpCheck *c, size_t max) _must_check_ _nonnull_all_;

/* The link that machines are on: the bridge; behind NAT that of libvirt's network (networks: virt_networks(),
 * or NULL); else what has the default route. Returns 0, -ENODEV or -ENOMEM. */
int ipcheck_link(int root, const Conf *conf, const NetState *s, char *const *networks,
                 char **ret) _must_check_ __attribute__((nonnull(2, 3, 5)));

/* ipcheck_plan() on this host, for that link. */
int ipcheck_look(int root, const char *link, const IpRange *wanted, const IpKnown *known, IpCheck *ret,
                 char **reterr) _must_check_ __attribute__((nonnull(2, 4, 5, 6)));

/* Whether somebody on that link has this one address, or is about to take it, whatever is known of it. Takes
 * 0.6 s. Returns 1 and who, or 0. Else as ipcheck_ask(), or ipcheck_plan() without its sentence. */
int ipcheck_one(int root, const char *link, const IpRange *address, IpEntry *ret) _must_check_ _nonnull_all_;

/* Addresses for new machines, the lowest first, with prefix length: of IpRange=, or else of the bridge's
 * network, up to max. Takes 0.6 s or a little more. Returns how many. 0: there is none to be chosen here, and
 * ret_why says why, in words that go on after a colon. Below another root than the machine's own nobody is
 * asked. -EPERM without CAP_NET_RAW; -ENOBUFS: the link is too busy for a sure answer; -errno. */
int ipcheck_free(int root, const Conf *conf, const IpKnown *known, size_t max, char ***ret,
                 char **ret_why) _must_check_ _nonnull_all_;
