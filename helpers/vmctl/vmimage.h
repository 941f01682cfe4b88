/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Vmimage: what create shares with the commands for images: where they come from, and how a download is
 * shown. */

#include "conf.h"
#include "image.h"
#include "vmctl.h"

/* A line with a bar on a terminal, several times a second; whole lines every ten seconds elsewhere. */
typedef struct VmctlProgress {
        bool quiet, terminal, shown;
        int step;
        uint64_t told, window_usec, window_done, rate;
} VmctlProgress;

void vmctl_progress_begin(const Context *c, VmctlProgress *s) _nonnull_all_;
void vmctl_progress(const ImageProgress *p, void *userdata); /* an ImageProgressFunction */
void vmctl_progress_end(VmctlProgress *s) _nonnull_all_;

/* For image_get(): as the configuration says. progress stays needed. */
void vmctl_image_setup(const Conf *conf, int root, VmctlProgress *progress, ImageSetup *ret) _nonnull_all_;

/* Tells a failure of image_get(). Returns r. */
int vmctl_image_tell(int r, const ImageFailure *f) _nonnull_all_;
