/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Imagejob: a guest that does something for an image (guestjob.h), as the commands for images show it. Each
 * function tells what goes wrong. */

#include "buildinit.h"
#include "conf.h"
#include "guestjob.h"
#include "imageentry.h"
#include "vmctl.h"

typedef struct ImageJob {
        Context *c;
        int root;
        const Conf *conf;
        BuildJob job;
        const char *name;       /* of the image, for messages */
        const ImageEntry *base; /* what the guest runs from */
        const char *user_data;
        uint64_t size; /* bytes of its disk */
        Rollback made;
        GuestFiles files;
        BuildAnswer answer;
} ImageJob;

/* That whoever calls may change images, or a recorded host is meant. */
int imagejob_check_right(const Context *c, int root) _must_check_ _nonnull_all_;

/* That it can be done here: root, libvirt on this machine, a directory for disks, a network for guests. What
 * was cut before is taken back, and signals are waited for from here on. */
int imagejob_prepare(Context *c, int root, const Conf *conf) _must_check_ _nonnull_all_;

/* Runs it. The guest's disk is there until imagejob_end(). */
int imagejob_run(ImageJob *j) _must_check_ _nonnull_all_;

/* Takes everything back that there is of it. Returns r, or what goes wrong now. */
int imagejob_end(ImageJob *j, int r) _must_check_ _nonnull_all_;

/* Boots an image that was built here, to see that it becomes a machine of its own and has the driver that it
 * should have, and says so. After imagejob_prepare(). */
int imagejob_boot(Context *c, int root, const Conf *conf, const ImageEntry *e,
                  bool driver) _must_check_ _nonnull_all_;
