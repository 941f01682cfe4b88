/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Gpuname: what people call a card, from the hardware database of this machine. For people alone: nothing is
 * decided by a name. */

#include "macro.h"

/* "GeForce RTX 4090" for the modalias of AD102 [GeForce RTX 4090]; NULL if the database has no such card, or
 * there is none. Returns 0 or -ENOMEM. */
int gpuname_read(const char *modalias, char **ret) _must_check_ _nonnull_all_;

/* Pure: what is in the last brackets, or all of it. */
int gpuname_shorten(const char *model, char **ret) _must_check_ _nonnull_all_;
