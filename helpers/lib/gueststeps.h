/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Gueststeps: the setup of a guest after its first boot, as small oneshot units of the guest's own systemd,
 * one after the other: gpuvm-setup@driver.service and so on, each wanted by gpuvm-setup.target. One that
 * fails keeps those behind it from starting, unless it is optional, and nothing else; the target started
 * again goes on there, and so does the next boot.
 *
 * The programs and units are files of this tree (helpers/guest), which are part of vmctl; what differs from
 * machine to machine is in GUESTSTEPS_SETTINGS. Pure. */

#include "cloudinit.h"
#include "guestwish.h"

#define GUESTSTEPS_SETTINGS "/etc/gpuvm-setup.conf"

enum { GUESTSTEPS_MAX = 11 };

/* Their names in order, up to NULL; none for a guest that wants nothing. */
void gueststeps_list(const GuestWish *w, const char *ret[static GUESTSTEPS_MAX]) __attribute__((nonnull(1)));

/* Whether there are any. */
bool gueststeps_wanted(const GuestWish *w) _nonnull_all_;

/* Secrets may be NULL: the API's key, and Hugging Face's token. */
int gueststeps_files(const GuestWish *w, const char *api_key, const char *hf_token, CloudInitFile **ret,
                     size_t *ret_n) _must_check_ __attribute__((nonnull(1, 4, 5)));
void gueststeps_free(CloudInitFile *files, size_t n);
