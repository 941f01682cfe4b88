/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Create: a machine in the making, and its steps. Each step tells what goes wrong with it. */

#include "conf.h"
#include "rollback.h"
#include "vmctl.h"
#include "vmplan.h"

typedef struct Create {
        const char *kind;
        const char *machine_config; /* Talos; NULL: maintenance mode */
        int root;
        Conf conf;
        VmHost host;
        VmPlan plan;
        Rollback rollback;
        char **keys; /* for ssh */
        char *user;
        char *disk, *seed;                         /* paths */
        char *base_path, *base_format, *base_name; /* what the disk is made from */
        uint64_t base_size;                        /* virtual, in bytes */
        int base_hold;                             /* keeps it there; 0: none */
        bool has_seed;
} Create;

void create_done(Create *n);

/* To be called before each thing that is made: 0, or -errno after a message. */
int create_step(Create *n, RollbackKind kind, const char *object,
                const char *what) _must_check_ _nonnull_all_;

/* create-disk.c */
int base_find(Context *c, Create *n) _must_check_ _nonnull_all_;
int disk_make(Create *n) _must_check_ _nonnull_all_;

/* create-guest.c */
int keys_find(Context *c, Create *n) _must_check_ _nonnull_all_;
int seed_write(Context *c, Create *n) _must_check_ _nonnull_all_;
int machine_define(Context *c, Create *n) _must_check_ _nonnull_all_;

/* power.c. Hands over the GPUs, each recorded before, and starts the machine. */
int power_start(Context *c, const char *name, const VmGpu *const *gpus, size_t n_gpus,
                Rollback *b) _must_check_ __attribute__((nonnull(1, 2, 5)));
int power_stop_unit(const char *unit) _must_check_ _nonnull_all_;
