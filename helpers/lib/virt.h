/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Virt: the few things that the host's setup asks of libvirt. Only this room knows libvirt, and it loads the
 * library when it is first used: a helper that finds nothing to do never pays for it.
 *
 * Messages of libvirt are handed out through reterr_message, never printed. */

#include "macro.h"

#define VIRT_LIBRARY_PACKAGE "libvirt0" /* what to install after -ENOPKG */

typedef struct Virt Virt;

typedef enum VirtKind { VIRT_POOL, VIRT_NETWORK, _VIRT_KIND_MAX, _VIRT_KIND_INVALID = -EINVAL } VirtKind;

const char *virt_kind_to_string(VirtKind k);
VirtKind virt_kind_from_string(const char *s) _nonnull_all_;

typedef struct VirtState {
        bool defined, active, autostart;
} VirtState;

/* "qemu+ssh://host/system" has a host, "qemu:///system" has none. */
bool virt_is_elsewhere(const char *uri) _nonnull_all_;

/* Connects. Returns -ENOPKG if the library is not installed, -EACCES if libvirt refuses us, -ECONNREFUSED if
 * it does not answer. reterr_message: or NULL. Nobody is asked for anything on the way to another host. One
 * that goes silent later is an error of the call that waits for it (virtpulse.h). */
int virt_open(const char *uri, Virt **ret, char **reterr_message) _must_check_;

/* Connects to the libvirt of the machine below root: qemu:///system on the machine itself. A recorded tree
 * has none but the one that $GPUVM_LIBVIRT_URI names, else -ENOTCONN: the machine's own must not be touched
 * for it. */
int virt_open_root(int root, Virt **ret, char **reterr_message) _must_check_;
void virt_close(Virt *v);
DEFINE_POINTER_CLEANUP(Virt, virt_close)

/* The last message of libvirt on this connection; "" if none. */
const char *virt_message(const Virt *v) _nonnull_all_;

/* The URI of the connection, "qemu:///system". */
int virt_uri(Virt *v, char **ret) _must_check_ _nonnull_all_;
/* Its driver: "QEMU", "TEST". Borrowed; "" if that is not known. */
const char *virt_type(Virt *v) _nonnull_all_;

/* Of the daemon: 9000000 is 9.0.0. */
int virt_version(Virt *v, unsigned long *ret) _must_check_ _nonnull_all_;
int virt_count_running(Virt *v, unsigned *ret) _must_check_ _nonnull_all_;

/* Something that is not there is a state too: all false. */
int virt_state(Virt *v, VirtKind kind, const char *name, VirtState *ret) _must_check_ _nonnull_all_;

/* The XML of each network there is, active or not. */
int virt_networks(Virt *v, char ***ret) _must_check_ _nonnull_all_;

/* The directory of a pool; -ENOENT if there is no such pool or it has none. */
int virt_pool_path(Virt *v, const char *name, char **ret) _must_check_ _nonnull_all_;

/* The XML of a directory pool. Pure; escapes what XML must have escaped. */
int virt_pool_xml(const char *name, const char *path, char **ret) _must_check_ _nonnull_all_;

int virt_define(Virt *v, VirtKind kind, const char *xml) _must_check_ _nonnull_all_;
int virt_pool_build(Virt *v, const char *name) _must_check_ _nonnull_all_;
int virt_start(Virt *v, VirtKind kind, const char *name) _must_check_ _nonnull_all_;
int virt_set_autostart(Virt *v, VirtKind kind, const char *name, bool on) _must_check_ _nonnull_all_;

/* For undo. What is not there or not active is fine. */
int virt_stop(Virt *v, VirtKind kind, const char *name) _must_check_ _nonnull_all_;
int virt_undefine(Virt *v, VirtKind kind, const char *name) _must_check_ _nonnull_all_;
