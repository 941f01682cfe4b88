/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Account: users and groups as /etc/passwd and /etc/group have them. Accounts kept elsewhere (LDAP and the
 * like) are not seen: usermod(8) could not change those either. */

#include <sys/types.h>

#include "macro.h"

/* Returns 1 and the ids, 0 if there is no such user, or -errno. */
int account_find_user(int root, const char *user, uid_t *ret_uid, gid_t *ret_gid) _must_check_ _nonnull_all_;

/* Returns 1 and the name of the first one with that id, 0 if there is none, or -errno. */
int account_find_name(int root, uid_t uid, char **ret) _must_check_ _nonnull_all_;

/* Returns 1 if the user is in the group, by list or as own group; 0 if not; -ENOENT if there is no such
 * group, -ESRCH if there is no such user. */
int account_is_member(int root, const char *user, const char *group) _must_check_ _nonnull_all_;
