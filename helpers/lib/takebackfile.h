/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Takebackfile: the files that the ledger knows, as they were before. GRUB's menu is put back only where it
 * still is one to start with, else it is left to be made anew (remake.h). */

#include "takeback.h"

void takebackfile_run(Takeback *tb) _nonnull_all_;
