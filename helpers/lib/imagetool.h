/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Imagetool: initramfs-tools and dracut. An image that they made is looked at before it may replace one that
 * starts the machine. */

#include <sys/types.h>

#include "phase.h"

typedef enum ImageTool { IMAGE_TOOL_NONE, IMAGE_TOOL_INITRAMFS_TOOLS, IMAGE_TOOL_DRACUT } ImageTool;

/* Which one makes the images of this machine. */
int imagetool_find(int root, ImageTool *ret) _must_check_ _nonnull_all_;

/* Makes an image as temp, with room looked for before, the contents listed and sizes compared after.
 * old_size: of the one that is there, in bytes. Not durable yet. A negative result has been told. */
int imagetool_build(Phase *p, ImageTool tool, const char *kernel, const char *temp,
                    off_t old_size) _must_check_ _nonnull_all_;

/* True if the image has a file whose name matches the pattern (fnmatch(3)); false also where it cannot be
 * listed. */
bool imagetool_holds(Phase *p, ImageTool tool, const char *image, const char *pattern) _nonnull_all_;
