/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Create: a machine in the making, and its steps. Each step tells what goes wrong with it. */

#include "conf.h"
#include "gueststeps.h"
#include "imagesource.h"
#include "rollback.h"
#include "vmctl.h"
#include "vmkind.h"
#include "vmplan.h"

#define CREATE_LOG_DIR "/var/log/libvirt/qemu" /* libvirt's own: virtlogd writes there */

typedef struct Create {
        const char *kind;
        const char *description;    /* or NULL */
        const char *machine_config; /* Talos; NULL: maintenance mode */
        char *const *apart;         /* machines that are never on together with it; NULL: none */
        const char *keeper;         /* one of them, for which it is left off; NULL: it is started */
        int root;
        uint64_t begin_usec; /* when it was begun */
        Conf conf;
        VmHost host;
        VmPlan plan;
        Rollback rollback;
        int *leases; /* on its GPUs (gpulease.h) */
        size_t n_leases;
        char **keys;   /* for ssh */
        char **offers; /* of plan_offers(), until the host is looked at */
        char *user;
        char *disk, *seed, *log;                   /* paths */
        char *base_path, *base_format, *base_name; /* what the disk is made from */
        uint64_t base_size;                        /* virtual, in bytes */
        int base_hold;                             /* keeps it there; 0: none */
        const ImageRelease *release;               /* of Ubuntu or Debian; NULL: not known */
        bool is_over;                              /* nobody supports it any more */
        char *rom_file;
        char *store;         /* a directory of models for the guest; NULL: none */
        bool store_readonly; /* libvirt keeps it so */
        bool bios, rom_off;
        VmFile asked;   /* what its options would be in a file */
        GuestWish wish; /* of that */
        char **secrets, **packages;
        CloudInitFile *files; /* for the guest */
        size_t n_files;
} Create;

void create_done(Create *n);

/* All of it, as its options say. apart: machines that are never on together with it, whose GPUs it may have
 * too; NULL: none. It is left off while one of them is on. Returns an exit status, or -errno after a message.
 */
int create_kind(Context *c, const char *kind, char *const *apart) _must_check_ __attribute__((nonnull(1, 2)));

/* From now on signals that are meant to end us only say so by create_interrupted(), and what is made is
 * root's alone. */
void create_take_signals(void);
/* A signal has come: what is begun is to be taken back. */
bool create_interrupted(void);

/* Takes back what was cut while it was made, as far as that goes; tells what does not. */
void create_recover(Context *c, int root) _nonnull_all_;

/* To be called before each thing that is made: 0, or -errno after a message. */
int create_step(Create *n, RollbackKind kind, const char *object,
                const char *what) _must_check_ _nonnull_all_;

/* create-plan.c */
/* What is wrong with what was asked for, before anybody is asked. */
int plan_check(Context *c, Create *n) _must_check_ _nonnull_all_;
/* Asks on the bridge for addresses that nobody has, or for the one that was given. Before the lock is taken,
 * because it takes half a second: who is quicker takes one of them, the next one takes another. */
int plan_offers(Context *c, Create *n) _must_check_ _nonnull_all_;
int plan_fill(Context *c, Create *n) _must_check_ _nonnull_all_;
/* Looks, fills and claims what is chosen, with others kept out meanwhile. */
int plan_claim(Context *c, Create *n) _must_check_ _nonnull_all_;

/* create-taken.c */
/* Refuses an address that somebody on the link answers for. */
int plan_ask(Context *c, const Create *n) _must_check_ _nonnull_all_;
int plan_look(Context *c, Create *n) _must_check_ _nonnull_all_;
/* Once its GPUs are leased: whether one was given away between the look and the lease. */
int plan_look_again(Context *c, Create *n) _must_check_ _nonnull_all_;

/* create-show.c */
void create_show(Context *c, const Create *n, bool dry) _nonnull_all_;
int create_show_json(Context *c, const Create *n) _must_check_ _nonnull_all_;

/* create-disk.c */
int base_find(Context *c, Create *n) _must_check_ _nonnull_all_;
int disk_make(Create *n) _must_check_ _nonnull_all_;

/* create-guest.c */
int user_find(Context *c, Create *n) _must_check_ _nonnull_all_;
/* After user_find(). */
int keys_find(Context *c, Create *n) _must_check_ _nonnull_all_;
int seed_write(Context *c, Create *n) _must_check_ _nonnull_all_;
int machine_define(Context *c, Create *n) _must_check_ _nonnull_all_;
int unit_prepare(Context *c, Create *n) _must_check_ _nonnull_all_;

/* create-setup.c */
/* What is asked for, as far as it can be looked at before the host is. */
int setup_read(Context *c, Create *n) _must_check_ _nonnull_all_;
/* What is asked for inside the guest, once it is known whether it has a GPU. */
int setup_check(const Create *n) _must_check_ _nonnull_all_;
/* The files that the guest gets, once it is known which GPUs it has. */
int setup_files(Create *n) _must_check_ _nonnull_all_;
void setup_done(Create *n);
/* What the host has to have for a store of models, and whether it can keep it read-only. */
int store_find(Context *c, Create *n) _must_check_ _nonnull_all_;

/* create-wait.c. Until the guest is ready; its seed is taken away then. Tells what goes wrong. */
int create_wait(Context *c, const Create *n) _must_check_ _nonnull_all_;
/* The same of one that is there, made with such options before; one that is off is not waited for. */
int create_wait_made(Context *c, const char *kind, const char *name) _must_check_ _nonnull_all_;

/* power.c. Through the machine's unit where systemd runs, through libvirt elsewhere. Each tells what goes
 * wrong. */
bool power_has_units(Context *c) _nonnull_all_;
/* Until it runs; it need not be ready then. */
int power_start(Context *c, const char *name) _must_check_ _nonnull_all_;
/* Of a machine that is off: waits until its unit has ended as well, and the GPUs are back where they were. */
int power_end(Context *c, const char *name, char *const *gpus) _must_check_ __attribute__((nonnull(1, 2)));
/* Off with it, and its unit. uuid: NULL, or what the machine must have. */
int power_take_back(Context *c, const char *name, const char *uuid) _must_check_
                __attribute__((nonnull(1, 2)));
