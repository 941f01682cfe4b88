/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Logfile: the same lines, with timestamps, in /var/log/gpu-vm-bootstrap.log. */

#include "macro.h"

#define LOGFILE_PATH "/var/log/gpu-vm-bootstrap.log"

/* Adds the sink if the file can be opened for appending; tmpfiles.d makes it, an administrator may remove it.
 * Made here only if create is true. */
void logfile_open(int root, bool create);
