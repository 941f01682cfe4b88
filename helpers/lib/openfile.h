/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Openfile: what a process has open or mapped, looked at by its entry in /proc. */

#include <sys/stat.h>

#include "macro.h"

/* Type and device number, and nothing else, of what the entry of an open directory leads to. */
int openfile_look_at(int dir, const char *name, struct stat *ret) _must_check_ _nonnull_all_;

/* Whether such an error means that the process or its file is gone, or that it may not be looked at. */
bool openfile_is_gone(int r);
bool openfile_is_forbidden(int r);

/* True if it is on a file system where nothing is a device, so that who may not look misses nothing. */
bool openfile_is_without_devices(int dir, const char *name) _nonnull_all_;
