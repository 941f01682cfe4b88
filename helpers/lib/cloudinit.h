/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Cloudinit: what a guest with cloud-init is told at its first boot: user-data and meta-data of NoCloud.
 * Pure.
 *
 * Emitted as JSON, which is YAML. Nobody gets a password, and ssh takes keys alone. */

#include "macro.h"

typedef enum CloudInitKind {
        CLOUDINIT_DEBIAN,
        CLOUDINIT_UBUNTU_SERVER,
        CLOUDINIT_UBUNTU_DESKTOP, /* a minimal GNOME */
        _CLOUDINIT_KIND_MAX,
} CloudInitKind;

typedef struct CloudInitFile {
        char *path, *text;
        unsigned mode;
} CloudInitFile;

typedef struct CloudInit {
        CloudInitKind kind;
        const char *hostname;
        const char *instance_id;     /* the machine's UUID: another one, and all is done again */
        const char *user;            /* made, with sudo */
        const char *const *ssh_keys; /* lines of authorized_keys, up to NULL; at least one */
        bool gpu;                    /* install NVIDIA's driver, then restart once (Ubuntu) */
        bool end_of_life;            /* this release of Ubuntu has moved to old-releases */

        char *const *packages; /* beside ours: "NAME", "NAME=VERSION" (guestwish.h), up to NULL; or NULL */
        const CloudInitFile *files;
        size_t n_files;
        bool setup; /* among the files is gpuvm-setup.target (gueststeps.h), which has the rest done */
} CloudInit;

/* What tells cloud-init that a user-data is one; JSON behind it is YAML. */
#define CLOUDINIT_HEADER "#cloud-config\n"

/* The files as write_files of a user-data that is being made. 0 or -ENOMEM. */
struct json_object;
int cloudinit_add_files(struct json_object *o, const CloudInitFile *files, size_t n) _must_check_
                __attribute__((nonnull(1)));
/* The text of a user-data that has been made, with its header and a newline at its end. 0 or -ENOMEM. */
int cloudinit_print(struct json_object *o, char **ret) _must_check_ _nonnull_all_;

/* A user name that useradd(8) takes, and that is no account of the image: 0 or -EINVAL. */
int cloudinit_check_user(const char *user) _must_check_ _nonnull_all_;

/* A label of RFC 1123: 0 or -EINVAL. */
int cloudinit_check_hostname(const char *name) _must_check_ _nonnull_all_;

/* One line of authorized_keys(5): key type, key, comment in ASCII; options are refused. 0 or -EINVAL. */
int cloudinit_check_ssh_key(const char *line) _must_check_ _nonnull_all_;

/* Makes such a line of one whose comment may be anything but control characters: without the comment where
 * that is not ASCII. cloud-init drops the whole user-data for one byte that YAML has not, and nobody could
 * enter the guest. 0, -EINVAL or -ENOMEM. */
int cloudinit_take_ssh_key(const char *line, char **ret) _must_check_ _nonnull_all_;

/* Each returns 0, -EINVAL if something in it is not as above, or -ENOMEM. */
int cloudinit_user_data(const CloudInit *c, char **ret) _must_check_ _nonnull_all_;
int cloudinit_meta_data(const CloudInit *c, char **ret) _must_check_ _nonnull_all_;
