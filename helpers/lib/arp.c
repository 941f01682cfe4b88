/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <net/ethernet.h>
#include <netinet/icmp6.h>
#include <netinet/if_ether.h>
#include <netinet/ip6.h>

#include "arp.h"

/* RFC 4861, 7.1: whatever came from another link has lost one. */
enum { HOPS = 255 };

typedef struct Solicitation {
        struct ip6_hdr ip;
        struct nd_neighbor_solicit ns;
        struct nd_opt_hdr option; /* our MAC; not in one without a sender */
        uint8_t mac[6];
} Solicitation;

static void ask_v4(const uint8_t *address, const uint8_t *mac, ArpFrame *f) {
        struct ether_arp a = { .ea_hdr = { .ar_hrd = htons(ARPHRD_ETHER),
                                           .ar_pro = htons(ETHERTYPE_IP),
                                           .ar_hln = 6,
                                           .ar_pln = 4,
                                           .ar_op = htons(ARPOP_REQUEST) } };

        memcpy(a.arp_sha, mac, 6);
        memcpy(a.arp_tpa, address, 4);
        f->protocol = ETHERTYPE_ARP;
        memset(f->to, 0xff, 6);
        memcpy(f->data, &a, sizeof(a));
        f->size = sizeof(a);
}

static uint32_t sum(const void *data, size_t n, uint32_t s) {
        const uint8_t *p = data;

        for (size_t i = 0; i < n; i++)
                s += i % 2 ? p[i] : (uint32_t) p[i] << 8;
        return s;
}

/* RFC 4443, 2.3; zero for a message that carries its right checksum. */
static uint16_t checksum(const struct ip6_hdr *ip, const void *message, size_t n) {
        uint32_t s = sum(&ip->ip6_src, 32, (uint32_t) n + IPPROTO_ICMPV6);

        s = sum(message, n, s);
        while (s >> 16)
                s = (s & 0xffff) + (s >> 16);
        return (uint16_t) ~s;
}

/* To the group that whoever has the address listens to: ff02::1:ff00:0/104 and its last three bytes. */
static void ask_v6(const uint8_t *address, const uint8_t *mac, const uint8_t *source, ArpFrame *f) {
        static const uint8_t group[13] = { 0xff, 0x02, [11] = 0x01, 0xff };
        Solicitation s = { .ip = { .ip6_nxt = IPPROTO_ICMPV6, .ip6_hlim = HOPS },
                           .ns = { .nd_ns_type = ND_NEIGHBOR_SOLICIT },
                           .option = { .nd_opt_type = ND_OPT_SOURCE_LINKADDR, .nd_opt_len = 1 } };
        size_t n = sizeof(s) - (source ? 0 : sizeof(s.option) + sizeof(s.mac));

        s.ip.ip6_vfc = 6 << 4; /* the other half of a union */
        if (source)
                memcpy(&s.ip.ip6_src, source, 16);
        memcpy(&s.ip.ip6_dst, group, 13);
        memcpy(s.ip.ip6_dst.s6_addr + 13, address + 13, 3);
        memcpy(&s.ns.nd_ns_target, address, 16);
        memcpy(s.mac, mac, 6);
        s.ip.ip6_plen = htons((uint16_t) (n - sizeof(s.ip)));
        s.ns.nd_ns_cksum = htons(checksum(&s.ip, &s.ns, n - sizeof(s.ip)));
        f->protocol = ETHERTYPE_IPV6;
        memcpy(f->to, (const uint8_t[]){ 0x33, 0x33, 0xff }, 3);
        memcpy(f->to + 3, address + 13, 3);
        memcpy(f->data, &s, n);
        f->size = n;
}

void arp_ask(int family, const uint8_t *address, const uint8_t mac[static 6], const uint8_t *source,
             ArpFrame *ret) {
        static_assert(sizeof(Solicitation) == ARP_FRAME_MAX, "no padding");

        *ret = (ArpFrame){};
        if (family == AF_INET6)
                ask_v6(address, mac, source, ret);
        else
                ask_v4(address, mac, ret);
}

static bool is_zero(const uint8_t *p, size_t n) {
        return *p == 0 && memcmp(p, p + 1, n - 1) == 0;
}

/* Requests tell about their sender as replies do. What the Ethernet header says of him may be another MAC, of
 * an access point or a bond, and does not count. */
static int read_v4(const void *data, size_t n, ArpWord *w) {
        struct ether_arp a;
        unsigned op;

        if (n < sizeof(a))
                return -EBADMSG;
        memcpy(&a, data, sizeof(a));
        if (a.ea_hdr.ar_hrd != htons(ARPHRD_ETHER) || a.ea_hdr.ar_pro != htons(ETHERTYPE_IP) ||
            a.ea_hdr.ar_hln != 6 || a.ea_hdr.ar_pln != 4)
                return -EBADMSG;
        op = ntohs(a.ea_hdr.ar_op);
        if (op != ARPOP_REQUEST && op != ARPOP_REPLY)
                return 0;
        w->wants = is_zero(a.arp_spa, 4);
        if (w->wants && (op != ARPOP_REQUEST || is_zero(a.arp_tpa, 4)))
                return 0;
        memcpy(w->address, w->wants ? a.arp_tpa : a.arp_spa, 4);
        memcpy(w->mac, a.arp_sha, 6);
        return 1;
}

static int read_v6(const void *data, size_t n, const uint8_t *from, ArpWord *w) {
        struct nd_neighbor_solicit m; /* and the advertisement: of the same form */
        const uint8_t *message;
        struct ip6_hdr ip;
        size_t size;
        bool sender;

        if (n < sizeof(ip) + sizeof(m))
                return -EBADMSG;
        memcpy(&ip, data, sizeof(ip));
        message = (const uint8_t *) data + sizeof(ip);
        memcpy(&m, message, sizeof(m));
        size = ntohs(ip.ip6_plen);
        if (ip.ip6_vfc >> 4 != 6 || ip.ip6_nxt != IPPROTO_ICMPV6 || size < sizeof(m) ||
            size > n - sizeof(ip) || ip.ip6_hlim != HOPS || m.nd_ns_code != 0 ||
            IN6_IS_ADDR_MULTICAST(&m.nd_ns_target) || checksum(&ip, message, size) != 0)
                return -EBADMSG;
        if (m.nd_ns_type != ND_NEIGHBOR_SOLICIT && m.nd_ns_type != ND_NEIGHBOR_ADVERT)
                return 0;
        sender = !IN6_IS_ADDR_UNSPECIFIED(&ip.ip6_src);
        w->wants = m.nd_ns_type == ND_NEIGHBOR_SOLICIT && !sender;
        memcpy(w->address, m.nd_ns_type == ND_NEIGHBOR_SOLICIT && sender ? &ip.ip6_src : &m.nd_ns_target, 16);
        memcpy(w->mac, from, 6);
        return 1;
}

int arp_read(int family, const void *data, size_t n, const uint8_t from[static 6], ArpWord *ret) {
        ArpWord w = {};
        int r = family == AF_INET6 ? read_v6(data, n, from, &w) : read_v4(data, n, &w);

        if (r > 0)
                *ret = w;
        return r;
}
