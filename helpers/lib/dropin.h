/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Dropin: a configuration file and its NAME.d directories in /etc, /run and /usr/lib, merged by file name.
 *
 * Of the file itself the first one counts.
 * A name in /etc hides the same name in /run, and that the one in /usr/lib; a symbolic link to /dev/null
 * hides it without putting anything in its place. libc only. */

#include "macro.h"

/* Something that is left out, and why. */
typedef void (*DropinProblem)(const char *path, const char *text, void *userdata);

/* The files to read, in the order in which they are to be read: NAME, then every *.conf of the NAME.d
 * directories by file name. NAME is given first where it is there and cannot be looked at, too; masked ones
 * are left out. Returns 0 or -ENOMEM. */
int dropin_list(int root, const char *name, DropinProblem problem, void *userdata,
                char ***ret) _must_check_ _nonnull_all_;

/* The names of files below /etc/DIRECTORY, /run/DIRECTORY and /usr/lib/DIRECTORY that end in suffix, sorted,
 * masked ones too. Returns 0 or -ENOMEM. */
int dropin_names(int root, const char *directory, const char *suffix, DropinProblem problem, void *userdata,
                 char ***ret) _must_check_ _nonnull_all_;

/* Reads one of them. Left out (ret_data is NULL), and told, if it is no regular file, cannot be read, is over
 * 4 MiB, or, below the machine's own root, could have been written by somebody else than root: it tells root
 * what to do. Returns 0 or -ENOMEM. */
int dropin_read(int root, const char *path, DropinProblem problem, void *userdata, char **ret_data,
                size_t *ret_size) _must_check_;
