/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Vmfile: a machine as it is declared: /etc/gpuvm/vms/NAME.vm, in systemd's syntax, and its drop-ins.
 *
 * One table says which key is which option of 'vmctl create': what can be made by hand can be declared, and
 * means the same. Pure; libc only: the generator reads these files at boot. What a value has to look like is
 * create's to say, but for what units are made of. */

#include "conf.h"

typedef enum VmKey {
        VMKEY_KIND,
        VMKEY_DESCRIPTION,
        VMKEY_CPUS,
        VMKEY_MEMORY,
        VMKEY_DISK,
        VMKEY_IMAGE,
        VMKEY_RELEASE,
        VMKEY_SERVER,
        VMKEY_FIRMWARE,
        VMKEY_HUGEPAGES,
        VMKEY_PIN,
        VMKEY_READY,
        VMKEY_READY_SEC,
        VMKEY_WATCHDOG,
        VMKEY_WATCHDOG_SEC,
        VMKEY_GPU,
        VMKEY_ROM,
        VMKEY_WHEN_IDLE,
        VMKEY_NETWORK,
        VMKEY_ADDRESS,
        VMKEY_GATEWAY,
        VMKEY_MAC,
        VMKEY_USER,
        VMKEY_SSH_KEY,
        VMKEY_USER_DATA,
        VMKEY_JOIN,
        VMKEY_PACKAGES,
        VMKEY_CUDA_TOOLKIT,
        VMKEY_FIREWALL,
        VMKEY_PERSISTENCED,
        VMKEY_CLOCKS,
        VMKEY_ENGINE,
        VMKEY_LISTEN,
        VMKEY_OLLAMA_LISTEN,
        VMKEY_VLLM_PORT,
        VMKEY_OLLAMA_PORT,
        VMKEY_VLLM_MODEL,
        VMKEY_VLLM_ARGUMENTS,
        VMKEY_OLLAMA_MODELS,
        VMKEY_VLLM_VERSION,
        VMKEY_OLLAMA_VERSION,
        VMKEY_OLLAMA_SUM,
        VMKEY_API_KEY_FILE,
        VMKEY_HF_TOKEN_FILE,
        VMKEY_DRIVER,
        VMKEY_DRIVER_UPDATES,
        VMKEY_SWAP,
        VMKEY_IDLE,
        VMKEY_MODEL_BACKUP,
        VMKEY_MODEL_DAYS,
        VMKEY_MODEL_STORE,
        VMKEY_TALOS_VERSION,
        VMKEY_SCHEMATIC,
        VMKEY_MACHINE_CONFIG,
        VMKEY_WANTED_BY,
        _VMKEY_MAX,
} VmKey;

typedef enum VmKeyType {
        VMKEY_TEXT,  /* the last assignment counts */
        VMKEY_FLAG,  /* likewise; yes or no */
        VMKEY_TIME,  /* likewise; "90", "5min" */
        VMKEY_WAIT,  /* likewise; yes, no, or a time */
        VMKEY_WORDS, /* a list with blanks between; a repeated assignment appends */
        VMKEY_LINES, /* each assignment is one of several */
} VmKeyType;

typedef struct VmKeyRow {
        const char *section, *name;
        VmKeyType type;
        const char *option;       /* of 'vmctl create'; NULL: none */
        const char *const *words; /* what alone it may be, up to NULL; NULL: anything */
        const char *const *kinds; /* of machines that it is for, likewise */
} VmKeyRow;

extern const VmKeyRow vmkey_rows[_VMKEY_MAX];

/* Whether it is for machines of that kind. ret_kinds: if not, those that it is for: "ubuntu, debian or llm".
 */
bool vmkey_is_for(VmKey k, const char *kind, char ret_kinds[static 128]) _nonnull_all_;

typedef struct VmFile {
        char *name;                 /* of the machine: the file's without ".vm" */
        char **files;               /* that it was read from, the main one first */
        char **values[_VMKEY_MAX];  /* NULL: not set, or emptied */
        unsigned lines[_VMKEY_MAX]; /* of the last assignment */
        size_t sources[_VMKEY_MAX]; /* the file that is in, by its index in files */
        unsigned n_problems;        /* nothing is made from a file that has some */
} VmFile;

void vmfile_done(VmFile *f);

/* path: added to the files, and what problems name; data need not end in NUL. Returns 0, with n_problems
 * counted, or -ENOMEM. */
int vmfile_parse(VmFile *f, const char *path, const char *data, size_t size, ConfProblem problem,
                 void *userdata) _must_check_ __attribute__((nonnull(1, 2, 3)));

/* After the last of its files: what is wrong with the whole. As vmfile_parse(). */
int vmfile_check(VmFile *f, ConfProblem problem, void *userdata) _must_check_ __attribute__((nonnull(1)));

/* The last value, or NULL. */
const char *vmfile_value(const VmFile *f, VmKey k) _nonnull_all_;
/* Of a flag. */
bool vmfile_flag(const VmFile *f, VmKey k) _nonnull_all_;
/* What Gpu= asks for, in the form of gpuwish_format(). Returns 1; 0 if it names GPUs, or says nothing; or
 * -ENOMEM. */
int vmfile_gpu_wish(const VmFile *f, char **ret) _must_check_ _nonnull_all_;
/* How long its start waits for GPUs that are in use; 0: not at all. */
uint64_t vmfile_patience(const VmFile *f) _nonnull_all_;
/* Where its last assignment is; file: NULL if there is none. */
typedef struct VmFilePlace {
        const char *file;
        unsigned line;
} VmFilePlace;
VmFilePlace vmfile_place(const VmFile *f, VmKey k) _nonnull_all_;

/* In vmfileformat.c: the other way round. One more value, behind those that there are; NULL is none. Returns
 * 0 or -ENOMEM. */
int vmfile_add(VmFile *f, VmKey k, const char *value) _must_check_ __attribute__((nonnull(1)));
/* Whether one line can hold it: no control characters, no blanks around it, no backslash at its end. */
bool vmfile_fits(const char *value) _nonnull_all_;
/* As a file that is read to the same values, in the table's order. Returns 0, -EINVAL for a value that no
 * line can hold, or -ENOMEM. */
int vmfile_format(const VmFile *f, char **ret) _must_check_ _nonnull_all_;
