/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Report: what the bootstrap did and how the machine stands, as one JSON document and as a page for humans.
 *
 * Pure over files: the records that phases left (phase.h), and sysfs. Nothing here needs root, so the status
 * command and the login message use it too. */

#include "conf.h"
#include "findings.h"
#include "pci.h"
#include "stopped.h"

/* The outcome of one look at the end state. */
typedef enum CheckResult { CHECK_OK, CHECK_SKIP, CHECK_WARN, CHECK_FAIL, _CHECK_MAX } CheckResult;
const char *check_result_to_string(CheckResult r);

/* "phases" (in bootstrap order; each as its record says, with what the last changing run changed and how long
 * it took), "all_phases" (their time together), "provisioning" (without the driver's), "iommu", "gpus" and
 * "host". Times have the limit beside them where one is meant. c: whose modes hold. bus: scanned by the
 * caller. */
int report_collect(int root, const Conf *c, const PciBus *bus, json_object **ret) _must_check_ _nonnull_all_;

/* Adds to "checks". remedy: or NULL. */
int report_add_check(json_object *report, const char *name, CheckResult result, const char *remedy,
                     const char *format, ...) _must_check_ _printf_(5, 6);

/* The same for each of the findings. */
int report_add_findings(json_object *report, const Findings *f) _must_check_ _nonnull_all_;

/* The worst of the checks. */
CheckResult report_worst(json_object *report) _nonnull_all_;

/* The texts of the checks with that result, NULL if there are none, and the first remedy among them
 * (borrowed;
 * "" if none). Returns 0 or -ENOMEM. */
int report_texts(json_object *report, CheckResult result, char ***ret,
                 const char **ret_remedy) _must_check_ _nonnull_all_;

/* Reads REPORT_PATH. -ENOENT: not verified yet; -EBADMSG: not a report. */
int report_read(int root, json_object **ret) _must_check_ _nonnull_all_;

/* Writes the page, at most 100 columns where names allow. Takes any JSON: what is missing or of another type
 * is left out. */
void report_print(json_object *report, FILE *f) _nonnull_all_;
int report_page(json_object *report, char **ret) _must_check_ _nonnull_all_;
