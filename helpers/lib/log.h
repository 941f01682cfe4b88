/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Log: one line per event, told once, by programs only (rooms return errors).
 *
 * Lines go to stderr: plain words on a terminal, a "<N>" syslog prefix (sd-daemon(3)) when stderr is the
 * journal. In a generator they go to /dev/kmsg, because nothing else is running (systemd.generator(7)). A
 * program that wants structured fields or a file as well adds a sink (journal.h, logfile.h). Control
 * characters in a message are escaped, so a name with a newline in it cannot forge a line. */

#include <syslog.h>

#include "macro.h"

/* A sink gets the finished text and "KEY=value" fields, NULL terminated, or NULL for none. Returns true if
 * the line needs no telling on stderr any more. */
typedef bool (*LogSink)(int level, const char *text, const char *const *fields);

/* Reads $GPUVM_LOG_LEVEL (debug, info, notice, warning, err or 0..7), looks at stderr. name: the program's.
 */
void log_setup(const char *name) _nonnull_all_;

/* Sends everything to /dev/kmsg from now on. */
void log_to_kmsg(void);

/* At most two sinks. */
void log_add_sink(LogSink sink) _nonnull_all_;

void log_set_max_level(int level);
int log_max_level(void);
const char *log_program(void);

/* True if systemd connected stderr to the journal. */
bool log_stderr_is_journal(void);

/* level: LOG_ERR ... LOG_DEBUG. fields: see LogSink. */
void log_fields(int level, const char *const *fields, const char *format, ...) _printf_(3, 4);

/* Sets errno from error, so that the format may use %m; returns error negative, so that it can stand in a
 * return statement. */
int log_full_errno(int level, int error, const char *format, ...) _printf_(3, 4);

#define log_error(...)   log_fields(LOG_ERR, NULL, __VA_ARGS__)
#define log_warning(...) log_fields(LOG_WARNING, NULL, __VA_ARGS__)
#define log_notice(...)  log_fields(LOG_NOTICE, NULL, __VA_ARGS__)
#define log_info(...)    log_fields(LOG_INFO, NULL, __VA_ARGS__)
#define log_debug(...)   log_fields(LOG_DEBUG, NULL, __VA_ARGS__)

#define log_error_errno(error, ...)   log_full_errno(LOG_ERR, error, __VA_ARGS__)
#define log_warning_errno(error, ...) log_full_errno(LOG_WARNING, error, __VA_ARGS__)
#define log_debug_errno(error, ...)   log_full_errno(LOG_DEBUG, error, __VA_ARGS__)

#define log_oom() log_error_errno(ENOMEM, "Out of memory")
