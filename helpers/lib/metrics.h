/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Metrics: numbers as Prometheus reads them: its text format, 0.0.4. Pure.
 *
 * A metric has its help and type once, then its samples. What stands in a label may be anybody's word: what
 * the format gives a meaning is escaped, and control characters and what is no UTF-8 become "?". */

#include "macro.h"

typedef struct Metrics {
        char **parts; /* of the text */
        int error;    /* the first one: nothing is added after it */
} Metrics;

void metrics_done(Metrics *m);

/* name: of a gauge. From here on its samples are added. */
void metrics_gauge(Metrics *m, const char *name, const char *help) _nonnull_all_;

enum { METRICS_LABELS = 8 };

typedef struct MetricsLabel {
        const char *name, *value; /* value: NULL is "" */
} MetricsLabel;

/* labels: up to one without a name. A value that is not a number (NAN) is not known, and left out. */
void metrics_add(Metrics *m, const char *name, const MetricsLabel *labels, double value)
                __attribute__((nonnull(1, 2)));
#define METRICS_LABELED(...) ((const MetricsLabel[]){ __VA_ARGS__, {} })

/* Returns 0, or the error that there was. */
int metrics_text(const Metrics *m, char **ret) _must_check_ _nonnull_all_;
