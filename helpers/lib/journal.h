/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Journal: the log sink for structured fields, and the thirteen events that have a MESSAGE_ID.
 *
 * The catalog (docs/gpuvm.catalog) explains each of them to `journalctl -x`. */

#include "macro.h"

/* Made with `systemd-id128 new`; never changed, never reused. */
#define EVENT_PHASE_DONE       "MESSAGE_ID=83cbe73fa5d842938208292156e8f53d"
#define EVENT_PHASE_FAILED     "MESSAGE_ID=3b3ee369ecbb4593887b3d594cf95cef"
#define EVENT_CHANGE           "MESSAGE_ID=f6d4c1f1b10647b0a4bb33663d5a7c57"
#define EVENT_REBOOT_SCHEDULED "MESSAGE_ID=0c373f565c374df089993b881d3916c3"
#define EVENT_REBOOT_REFUSED   "MESSAGE_ID=619e730fe36a44b69a373ccd30a07568"
#define EVENT_RESUMED          "MESSAGE_ID=95add797df3347d8a99ff5d7646e0e3e"
#define EVENT_GPU_ATTACHED     "MESSAGE_ID=f367938234344323abd99a8927680423"
#define EVENT_GPU_DETACHED     "MESSAGE_ID=a1325bfe3b8e4287b41c53cbe7bb5ae7"
#define EVENT_GPU_REFUSED      "MESSAGE_ID=4edb73f60ebe47a7ae3e090059e83fe8"
#define EVENT_TRIAL_FAILED     "MESSAGE_ID=aa7a8de5c68540338484371c5a4d040f"
#define EVENT_NETWORK_MOVED    "MESSAGE_ID=ffa5614ee8034b5f812ea744ef716100"
#define EVENT_NETWORK_BACK     "MESSAGE_ID=b7aabc665e854bbd990449e0d77d4a59"
#define EVENT_BOOTSTRAP_DONE   "MESSAGE_ID=cf137ebee07c4232a222a5db2d7bb2ba"

/* Adds the sink if stderr is the journal ($JOURNAL_STREAM). Fields given to log_fields() arrive as they are,
 * beside GPUVM_PHASE= and the unit that we are. phase: the noun, or NULL. */
void journal_open(const char *phase);

/* Tells one of these events, with the object that it is about in a field of its own. */
void journal_event(const char *event, const char *key, const char *value, const char *format, ...)
                _printf_(4, 5);

/* A line that somebody else says: the journal has it under his name, with field (a "KEY=value") beside. On
 * standard output where stderr is no journal. */
void journal_line(const char *name, const char *field, const char *line) _nonnull_all_;
