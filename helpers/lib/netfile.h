/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Netfile: what is asked of a network's owner, and the files in which it is asked.
 *
 * Each owner has a room that turns the files by which he runs the uplink now into those by which he runs the
 * bridge: what an administrator wrote is moved, not guessed from the state that it has led to. So addresses,
 * routes, name servers and the rest are carried over in the owner's own words, dynamic ones too. */

#include "netstate.h"

#include <sys/types.h>

typedef struct NetFile {
        char *path;
        char *text;
        mode_t mode;
} NetFile;

typedef struct NetFiles {
        NetFile *items;
        size_t n;
} NetFiles;

typedef struct NetWish {
        const char *bridge, *uplink; /* names */
        bool routed;                 /* the uplink stays as it is; the bridge has no port */
        const uint8_t *mac;          /* the uplink's: 6 bytes, which the bridge gets */
        unsigned mtu;                /* of the uplink, bytes */
        const char *address;         /* of a routed bridge: "192.0.2.1/24" */
        const char *client_id;       /* CLIENTID= of networkd's lease, or NULL */
} NetWish;

/* What a room returns besides 0 and -errno: *ret_reason (owned by the caller) says what cannot be carried
 * over.
 */
enum { NETFILE_REFUSED = 1 };

void netfiles_done(NetFiles *f);

/* Takes the text over, also on failure. */
int netfiles_add(NetFiles *f, char *text, mode_t mode, const char *path_format, ...) _must_check_
                _printf_(4, 5);

/* Sets *ret_reason. Returns NETFILE_REFUSED or -ENOMEM. */
int netfile_refuse(char **ret_reason, const char *format, ...) _must_check_ _printf_(2, 3);

/* True if the word is one of the blank-separated list; words are letters and digits. */
bool netfile_is_one_of(const char *word, const char *list) _must_check_ _nonnull_all_;

#define NETFILE_HEAD "# Written by gpuvm-bridge(8): 'gpuvm-bridge revert' takes it back.\n"
