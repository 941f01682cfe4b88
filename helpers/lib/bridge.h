/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Bridge: how far the change of the network is, on disk.
 *
 * /var/lib/gpuvm/bridge.pending is written and fsynced before each step that it is about. As long as the
 * change is not kept, whoever finds the file takes it back: the timer that was armed before the first step,
 * and the next boot before any network is up. One that is kept has another name, so that no boot has to look.
 * The files themselves are in the ledger (undo.h), as they were.
 */

#include "netfile.h"
#include "netowner.h"

#define BRIDGE_PENDING "/var/lib/gpuvm/bridge.pending"
#define BRIDGE_KEPT_AT "/var/lib/gpuvm/bridge"
#define BRIDGE_STEP    "bridge" /* in the ledger */

enum { BRIDGE_FILES_MAX = 8 };

typedef enum BridgeStage {
        BRIDGE_ARMED,     /* the timer runs; nothing is changed */
        BRIDGE_CHANGING,  /* files are written, and the owner is told */
        BRIDGE_CHANGED,   /* waits for its proof, or for confirm */
        BRIDGE_REVERTING, /* files are on their way back */
        BRIDGE_KEPT,      /* over: it stays */
} BridgeStage;

typedef struct BridgeState {
        BridgeStage stage;
        NetOwner owner;
        bool routed;
        bool forwarding; /* the host forwarded IPv4 already */
        char *boot_id;   /* of the boot that made the change; NULL: there is none */
        char *uplink, *bridge;
        char *profile;    /* NetworkManager's, that was up before; NULL for others */
        char **files;     /* that the change writes */
        char *zone;       /* of firewalld's, that the bridge is bound to by us; NULL: none */
        bool zone_uplink; /* and the uplink */
} BridgeState;

void bridge_done(BridgeState *s);

/* Strict: anything that we do not write is -EBADMSG. */
int bridge_parse(const char *text, size_t size, BridgeState *ret) _must_check_ _nonnull_all_;
int bridge_format(const BridgeState *s, char **ret) _must_check_ _nonnull_all_;
const char *bridge_stage_to_string(BridgeStage s);

/* Returns 1, or 0 and an empty one if there is none. -EBADMSG: nothing is changed any more. */
int bridge_load(int root, BridgeState *ret) _must_check_ _nonnull_all_;
/* On disk when it returns 0. */
int bridge_save(int root, const BridgeState *s) _must_check_ _nonnull_all_;
int bridge_forget(int root) _must_check_;

/* True if a bridge of this name is ours and stays. */
bool bridge_is_kept(const BridgeState *s, const char *bridge) _must_check_ _nonnull_all_;

/* Held for each step, so that the timer and the helper do not change files at once: the lock's descriptor, or
 * -ETIMEDOUT after the time in microseconds. */
int bridge_lock(int root, uint64_t timeout_usec) _must_check_;

/* Under the lock: goes from one stage to the next on disk, unless somebody has taken the change over:
 * -ESTALE. Somebody who has gone there already is welcome: the user may confirm what the helper is about to.
 */
int bridge_advance(int root, BridgeState *s, BridgeStage from, BridgeStage to) _must_check_ _nonnull_all_;

/* The first of the change's files that somebody has written to since, or NULL: going back would lose that. */
int bridge_find_changed(int root, const BridgeState *s, const char **ret_path) _must_check_ _nonnull_all_;

/* Removes what a write of the change's files may have left beside them when it was cut off; the files stay as
 * they are. Returns 0 or the first -errno. */
int bridge_sweep(int root, const BridgeState *s) _must_check_ _nonnull_all_;

/* Puts the files of the change back as the ledger has them, and forgets those records; each step may be cut
 * off and done again. Returns 0 or -errno. reterr_path (borrowed from s) says which file. */
int bridge_restore(int root, const BridgeState *s, const char **reterr_path) _must_check_ _nonnull_all_;
