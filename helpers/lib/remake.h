/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Remake: the part of takeback.h that makes anew what is made from files: grub.cfg, the initramfs, what udev
 * and systemd have read. Each once, however many records ask for it. */

#include "takeback.h"

/* Failures are told, and kept in tb->error. */
void remake(Takeback *tb) _nonnull_all_;
