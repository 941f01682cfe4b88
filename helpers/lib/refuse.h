/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Refuse: what a user is told by a room that does not do what he wants: a sentence, beside the error. */

#include "macro.h"

/* Returns the error; -ENOMEM without a sentence. */
int refuse(char **reterr, int error, const char *format, ...) _printf_(3, 4) _nonnull_all_;
