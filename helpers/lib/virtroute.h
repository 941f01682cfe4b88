/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Virtroute: on a host that routes single addresses, whether each machine that is on has its route, and the
 * host's answer for it (route.h). To ask may take for ever, if libvirtd hangs, so it is apart from the
 * judgement. */

#include "findings.h"
#include "hostnet.h"
#include "route.h"
#include "virt.h"

/* A machine that is not reached. */
typedef struct RouteGap {
        char *machine;
        char address[sizeof("255.255.255.255")], tap[IF_NAMESIZE];
        bool route, proxy; /* what there is of it */
} RouteGap;

typedef struct VirtRoutes {
        bool known;      /* somebody has looked */
        unsigned wanted; /* machines that are on and have such an address */
        RouteGap *gaps;
        size_t n;
} VirtRoutes;

void virtroutes_done(VirtRoutes *l);

/* Whether gpuvm routes for the machines of this host: it has made its bridge for that. */
bool virtroute_applies(int root, const HostNet *net) _nonnull_all_;

/* machine: this one alone; NULL: all that are on. Only for the running machine. Returns 0 or -errno. */
int virtroute_look(Virt *v, const HostNet *net, const char *machine, VirtRoutes *ret) _must_check_
                __attribute__((nonnull(1, 2, 4)));

/* For the way from a child, or from another machine, and back. What is missing there is not known. At most as
 * many gaps as fit into a child's answer. */
int virtroute_to_json(const VirtRoutes *l, json_object **ret) _must_check_ _nonnull_all_;
int virtroute_from_json(json_object *o, VirtRoutes *ret) _must_check_ __attribute__((nonnull(2)));

/* Pure. Adds a failure for each gap, of a check by that name; the object is the machine. Returns 0 or
 * -ENOMEM. */
int virtroute_judge(const VirtRoutes *l, const char *check, Findings *ret) _must_check_ _nonnull_all_;
