/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Netkeyfile: a bridge in the language of NetworkManager, nm-settings-keyfile(5).
 *
 * Two profiles beside the present one, which stays as it is: the bridge, with the present one's addresses,
 * and its port, which comes before the present one by its priority. With both removed all is as before. */

#include "netfile.h"

#define NETKEYFILE_DIR "/etc/NetworkManager/system-connections/"

/* current: the keyfile that is up; NULL: one that NetworkManager made up, with everything automatic. Returns
 * 0, NETFILE_REFUSED or -errno. Pure. */
int netkeyfile_make(const NetWish *w, const char *current, NetFiles *ret, char **ret_reason) _must_check_
                __attribute__((nonnull(1, 3, 4)));

int netkeyfile_make_routed(const NetWish *w, NetFiles *ret) _must_check_ _nonnull_all_;

/* The same for the same machine, so that a second run writes the same files. */
enum { NETKEYFILE_UUID_SIZE = 37 };
void netkeyfile_uuid(const NetWish *w, bool port, char ret[static NETKEYFILE_UUID_SIZE]) _nonnull_all_;
