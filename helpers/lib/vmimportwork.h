/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the parts of the room vmimport share: one machine while it is read. */

#include "vmimport.h"

/* What may stand in a catalog, whatever it is called there. */
typedef enum Slot {
        SLOT_NONE,
        SLOT_NAME,
        SLOT_ID,
        SLOT_TYPE,
        SLOT_DESCRIPTION,
        SLOT_CORES,
        SLOT_SOCKETS,
        SLOT_MEMORY,
        SLOT_MEMORY_GB,
        SLOT_DISK,
        SLOT_SYSTEM,
        SLOT_ISO,
        SLOT_TEMPLATE,
        SLOT_ADDRESS,
        SLOT_PREFIX,
        SLOT_GATEWAY,
        SLOT_MAC,
        SLOT_GPU, /* whether, or which */
        SLOT_GPU_ENABLED,
        SLOT_GPU_DEVICE,
        SLOT_GPU_MODEL,
        SLOT_GPU_SLOT,
        SLOT_USER,
        SLOT_KEYS,
        SLOT_PACKAGES,
        SLOT_ONBOOT,
        SLOT_FIRMWARE,
        SLOT_HUGEPAGES,
        SLOT_AGENT,
        SLOT_CLOUDINIT,
        _SLOT_MAX,
} Slot;

typedef struct Reading {
        const char *path;
        const VmImportWish *w;
        ConfProblem problem;
        void *userdata;
        const YamlNode *network; /* of the whole catalog; NULL: it says nothing */
        const YamlNode *slots[_SLOT_MAX];
        VmImported *vm;
} Reading;

/* What is wrong, and counted. Returns 0. */
int vmimport_tell(Reading *g, unsigned line, const char *format, ...) _printf_(3, 4);
int vmimport_note(Reading *g, const char *format, ...) _must_check_ _printf_(2, 3);

/* Its text: 1; 0 if there is none, or after it was told that it is something else. */
int vmimport_text(Reading *g, Slot s, const char **ret) _must_check_ _nonnull_all_;

/* Whether it is true: 1 with an answer; 0 where nothing is said (no), or after a message. */
int vmimport_flag(Reading *g, Slot s, bool *ret) _must_check_ _nonnull_all_;
/* The value is no such value: "what" says what would be. Returns 0. */
int vmimport_wrong(Reading *g, Slot s, const char *what) _nonnull_all_;
/* One more value for a key of ours, from that slot's line. 0 or -ENOMEM. */
int vmimport_set(Reading *g, VmKey k, Slot s, const char *value) _must_check_ _nonnull_all_;

/* The slots as values; in vmimportdev.c those of its devices. 0 or -ENOMEM. */
int vmimport_make(Reading *g) _must_check_ _nonnull_all_;
int vmimport_make_network(Reading *g) _must_check_ _nonnull_all_;
int vmimport_make_gpu(Reading *g) _must_check_ _nonnull_all_;
