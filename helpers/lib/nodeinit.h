/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Nodeinit: what a worker of Kubernetes is told at its first boot, beside what every guest is (cloudinit.h):
 * its services are started as far as they are there, since Kubespray and NVIDIA's GPU Operator bring some of
 * them later, and it may be handed what it joins its cluster with. Pure. */

#include "cloudinit.h"

#define NODEINIT_JOIN "/etc/gpuvm/join" /* in the guest, root's alone */

typedef enum NodeJoin {
        NODE_JOIN_KEEP,    /* it lies there for whoever comes for it: Kubespray, a person */
        NODE_JOIN_RUN,     /* a script, "#!", or a "kubeadm join" line */
        NODE_JOIN_KUBEADM, /* kubeadm's JoinConfiguration */
} NodeJoin;

/* Whether it can stand in a user-data: UTF-8 without what YAML has no place for. */
bool nodeinit_is_text(const char *join, size_t size) _must_check_ _nonnull_all_;

/* What is to be done with it, from how it begins. */
NodeJoin nodeinit_kind(const char *join) _nonnull_all_;

/* join: the text, or NULL. As cloudinit_user_data(); c->kind is not looked at. */
int nodeinit_user_data(const CloudInit *c, const char *join, char **ret) _must_check_
                __attribute__((nonnull(1, 3)));
