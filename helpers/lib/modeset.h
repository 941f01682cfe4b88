/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Modeset: the options of NVIDIA's display driver on a host that lends its GPUs to VMs.
 *
 * With modeset=1, the default since driver 560, and fbdev=1 the host's consoles and display managers are
 * shown on each GPU, which then is never idle. With both off nvidia-drm leaves the displays alone and the
 * GPUs still compute. A host whose own desktop is on such a GPU keeps them. */

#include "conf.h"
#include "keep.h"
#include "phase.h"
#include "undo.h"

/* Behind what NVIDIA's packages and Ubuntu's ubuntu-drivers put there: of options given twice the last one
 * counts. */
#define MODESET_PATH   "/etc/modprobe.d/zz-gpuvm.conf"
#define MODESET_DRACUT "/etc/dracut.conf.d/gpuvm-modeset.conf"
#define MODESET_SEEN   STATE_DIR "/modeset"

/* Pure: true if a flexible NVIDIA GPU can be lent, and none is needed as a display. desktop: this host starts
 * a display manager. ret_display: the GPU for whose sake not, else NULL. */
int modeset_is_wanted(const Conf *c, const PciBus *bus, const KeepList *keep, bool desktop, bool *ret,
                      const PciDevice **ret_display) _must_check_ _nonnull_all_;

/* Writes the options where they are wanted and removes them where not. Returns 1 if images of the initramfs
 * with the driver in them were made with others, 0 if not. A negative result has been told. */
int modeset_apply(Phase *p, Undo *u, const Conf *c, const PciBus *bus) _must_check_ _nonnull_all_;

/* After the images were made anew, or did not have to be: notes what they have. */
int modeset_settle(int root) _must_check_;
