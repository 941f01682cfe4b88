/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Child: other people's programs, on a leash.
 *
 * By absolute path, never through a shell; environment made from scratch (PATH, LC_ALL=C.UTF-8 and what the
 * caller adds); stdin is /dev/null, every other descriptor closed; a session of its own, killed whole at the
 * deadline. Under --root=DIR the program is DIR's own (a stub in a recorded tree) and finds DIR in
 * $GPUVM_ROOT. */

#include "macro.h"

/* Called with each complete line, newline removed. */
typedef void (*ChildLine)(const char *line, void *userdata);

typedef struct Child {
        const char *const *argv;        /* argv[0] is the absolute path */
        const char *const *environment; /* "KEY=value", NULL terminated, or NULL */
        int root;                       /* where argv[0] is looked up; see fs.h */
        const char *root_path;          /* its path, or NULL for "/" */
        uint64_t timeout_usec;          /* required: nothing waits for ever */
        ChildLine on_stdout;            /* or NULL: goes to our stderr */
        ChildLine on_stderr;            /* or NULL: goes to our stderr */
        void *userdata;
        bool pieces;                  /* stdout as it comes, with its newlines: lines are cut at 4 KiB */
        int pass_fd;                  /* kept open as descriptor 3 for the child; 0 or less: none */
        void (*tick)(void *userdata); /* called every few seconds while waiting, or NULL: see phase_alive() */
        bool (*stop)(void); /* asked as often, and after each signal: true kills the session; or NULL */
} Child;

/* Returns the exit status (0..255), 128 + N if signal N ended it, -ETIMEDOUT or -EINTR (stop) after the
 * session was killed, -ENOENT if there is no such program, or another -errno. */
int child_run(const Child *child) _must_check_ _nonnull_all_;

/* Runs and collects stdout, at most max bytes (-EFBIG beyond). Result as child_run(). */
int child_output(const Child *child, size_t max, char **ret) _must_check_ _nonnull_all_;

/* Where gpuvm's own helpers are: beside this program while it is not installed. */
int child_find_directory(char **ret) _must_check_ _nonnull_all_;
