/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Vmctl: the options and commands, in one table each. Dispatch, help, suggestions, the completions of shells
 * and the manual page's synopsis all come from there.
 *
 * A command is a function of a file of its own noun. It returns an exit status, or -errno after it has told
 * what went wrong, which becomes one: see vmctl_status(). */

#include "ipknown.h"
#include "log.h"
#include "macro.h"
#include "metadata.h"
#include "strv.h"
#include "virtvm.h"

enum {
        VMCTL_DONE = 0,
        VMCTL_FAILED = 1,
        VMCTL_USAGE = 2,
        VMCTL_NOT_FOUND = 3, /* -ENOENT */
        VMCTL_BUSY = 4,      /* -EBUSY, -EEXIST */
        VMCTL_PRIVILEGE = 5, /* -EACCES, -EPERM */
};

typedef enum Opt {
        /* of every command */
        OPT_HELP,
        OPT_VERSION,
        OPT_CONNECT,
        OPT_JSON,
        OPT_QUIET,
        OPT_VERBOSE,
        /* of some */
        OPT_ALL,
        OPT_API_KEY_FILE,
        OPT_ARCH,
        OPT_AUTOSTART,
        OPT_BUNDLE,
        OPT_CLOCKS,
        OPT_COMPRESS,
        OPT_CPUS,
        OPT_CUDA_TOOLKIT,
        OPT_DESCRIPTION,
        OPT_DISK,
        OPT_DRIVER,
        OPT_DRIVER_UPDATES,
        OPT_DRY_RUN,
        OPT_ENGINE,
        OPT_FIREWALL,
        OPT_FIRMWARE,
        OPT_FIX,
        OPT_FOLLOW,
        OPT_FORCE,
        OPT_FROM,
        OPT_GATEWAY,
        OPT_GPU,
        OPT_GPU_COMPUTE,
        OPT_HF_TOKEN_FILE,
        OPT_HUGEPAGES,
        OPT_IDLE,
        OPT_IMAGE,
        OPT_IP,
        OPT_JOIN,
        OPT_LISTEN,
        OPT_MAC,
        OPT_MACHINE_CONFIG,
        OPT_MEMORY,
        OPT_MODEL_BACKUP,
        OPT_MODEL_DAYS,
        OPT_MODEL_STORE,
        OPT_NAME,
        OPT_NETWORK,
        OPT_NO_GPU,
        OPT_NO_VERIFY,
        OPT_OLLAMA_LISTEN,
        OPT_OLLAMA_MODELS,
        OPT_OLLAMA_PORT,
        OPT_OLLAMA_SUM,
        OPT_OLLAMA_VERSION,
        OPT_OUTPUT,
        OPT_PACKAGES,
        OPT_PERSISTENCED,
        OPT_PIN,
        OPT_REFRESH,
        OPT_RELEASE,
        OPT_ROM,
        OPT_ROOT,
        OPT_SCHEMATIC,
        OPT_SERVER,
        OPT_SIZE,
        OPT_SMOKE,
        OPT_SSH_KEY,
        OPT_STOP_UNITS,
        OPT_SVG,
        OPT_SWAP,
        OPT_TALOS_VERSION,
        OPT_TIMEOUT,
        OPT_TREE,
        OPT_USER,
        OPT_USER_DATA,
        OPT_VLLM_ARGUMENTS,
        OPT_VLLM_MODEL,
        OPT_VLLM_PORT,
        OPT_VLLM_VERSION,
        OPT_WAIT,
        OPT_WHEN_IDLE,
        OPT_WITH_CUDA,
        OPT_WITH_NVIDIA,
        OPT_YES,
        _OPT_MAX,
} Opt;

/* A set of them: there are more than an uint64_t has bits. */
typedef unsigned __int128 OptSet;

#define OPT_BIT(o) ((OptSet) 1 << (o))
#define OPT(o)     OPT_BIT(OPT_##o)
#define OPT_COMMON (OPT(HELP) | OPT(VERSION) | OPT(CONNECT) | OPT(JSON) | OPT(QUIET) | OPT(VERBOSE))

/* What a shell may offer for a value or an argument. */
typedef enum Complete { COMPLETE_NOTHING, COMPLETE_VM, COMPLETE_FILE, COMPLETE_WORDS } Complete;

typedef struct Option {
        const char *name;
        char letter;          /* 0: none */
        const char *argument; /* NULL: a flag; "[TIME]": may be left out */
        const char *help;
        Complete complete;
        const char *words; /* for COMPLETE_WORDS, with blanks between */
} Option;

typedef struct Context Context;

typedef struct Command {
        const char *name;      /* "list", "ip list" */
        const char *arguments; /* as help and the manual show them; NULL: none */
        const char *summary;
        unsigned min, max; /* number of arguments */
        OptSet options;    /* beside OPT_COMMON */
        Complete complete; /* of its arguments */
        const char *words; /* for COMPLETE_WORDS */
        int (*run)(Context *c, char **args);
} Command;

static_assert(_OPT_MAX <= 128, "OptSet has 128 bits");

extern const Option vmctl_options[_OPT_MAX];
extern const Command vmctl_commands[]; /* up to one without a name */

struct Context {
        const Command *command;
        char **values[_OPT_MAX]; /* what was given, in order; a flag's value is "" */
        Virt *virt;              /* see vmctl_connect() */
};

static inline bool vmctl_has(const Context *c, Opt o) {
        return c->values[o] != NULL;
}

/* By its long name; _OPT_MAX if there is none. */
Opt vmctl_find_option(const char *name) _nonnull_all_;

/* The last value, or NULL. */
const char *vmctl_value(const Context *c, Opt o) _nonnull_all_;

/* Maps what a command returned. */
int vmctl_status(int r);

/* In connect.c. virt_open(), with half a minute for another host: -ETIMEDOUT. */
int vmctl_open(const char *uri, Virt **ret, char **reterr_message) _must_check_ _nonnull_all_;
/* Connects once. Tells what is wrong. */
int vmctl_connect(Context *c) _must_check_ _nonnull_all_;
/* If libvirt does not answer any more, because it was restarted; without success all stays as it was. */
int vmctl_connect_again(Context *c) _nonnull_all_;
const char *vmctl_uri(Context *c) _nonnull_all_;
/* True if it is the system's libvirt on this machine: what it runs are this machine's files and GPUs. */
bool vmctl_is_local(Context *c) _nonnull_all_;

/* A machine of ours by its name. Tells what is wrong: -ENOENT, -EPERM for one that is somebody else's. */
int vmctl_find(Context *c, const char *name, VirtVm *ret_vm,
               Metadata *ret_metadata) _must_check_ _nonnull_all_;
/* For one that is somebody else's. Returns -EPERM. */
int vmctl_refuse(const char *name) _must_check_ _nonnull_all_;

/* Whether it was cut while it was made, as far as that can be seen: it is not whole. Returns 1, 0 or -errno.
 */
int vmctl_is_cut(Context *c, const VirtVm *vm) _must_check_ _nonnull_all_;
/* An error of rollback.h's, with the record that it is about. what: "Cannot ..." Returns the error. */
int vmctl_tell_record(int root, int error, const char *what) _must_check_ _nonnull_all_;

/* For the user: what libvirt said, or else the error. */
int vmctl_tell(Context *c, int r, const char *format, ...) _must_check_ _printf_(3, 4);

/* In help.c and completion.c. Each returns an exit status. */
int help_overview(void);
int help_command(const Command *c) _nonnull_all_;
int help_find(char **words, const Command **ret) _must_check_; /* 1, or 0 after a message; words used up */
int cmd_help(Context *c, char **args);
int cmd_completion(Context *c, char **args);

/* From now on what is printed holds no control characters but newlines and tabs: what comes from files,
 * machines and libvirt's definitions may be anybody's words, and steers no terminal. They become "\u001b" as
 * JSON has them. */
int output_begin(void) _must_check_;

/* Rows and columns on standard output; libsmartcols' own. Each value may be NULL. */
struct libscols_table;
struct libscols_table *table_new(const char *const *columns) _nonnull_all_;
int table_add(struct libscols_table *t, const char *const *values) _must_check_ __attribute__((nonnull(2)));
/* As a tree by the first column. Below a line that was added before, or NULL; the new line, or NULL without
 * memory. */
struct libscols_line;
struct libscols_table *table_new_tree(const char *const *columns) _nonnull_all_;
struct libscols_line *table_add_below(struct libscols_table *t, struct libscols_line *parent,
                                      const char *const *values) _must_check_ __attribute__((nonnull(3)));
void table_free(struct libscols_table *t);
/* Prints and frees. */
int table_print(struct libscols_table *t) _must_check_;

/* For people: "16 GiB", "1.5 GiB", "512 MiB". */
typedef struct SizeText {
        char text[32];
} SizeText;
SizeText size_text(uint64_t kib);

/* A file of whoever called, by any path; as fs_read(). */
int vmctl_read_file(const char *path, size_t max, char **ret, size_t *ret_size) _must_check_
                __attribute__((nonnull(1, 3)));

/* Asks on the terminal. Returns 1 for yes, 0 for no, -ENXIO after a message where there is none. */
int vmctl_ask(const char *question) _must_check_ _nonnull_all_;

/* In address.c: the first address that is known, without its prefix length: metadata, lease, agent, ARP.
 * Returns 1, or 0. */
int vmctl_address(Context *c, const char *name, const Metadata *m, char **ret) _must_check_ _nonnull_all_;

/* In ip.c: addresses that libvirt knows of, of machines and of its networks, and those that are claimed.
 * Tells what is wrong. ret_networks: as virt_networks(), or NULL. */
int vmctl_known(Context *c, int root, IpKnown *k, char ***ret_networks) _must_check_
                __attribute__((nonnull(1, 3)));

/* One file each. */
int cmd_create(Context *c, char **args);
int cmd_list(Context *c, char **args);
int cmd_info(Context *c, char **args);
int cmd_start(Context *c, char **args);
int cmd_stop(Context *c, char **args);
int cmd_restart(Context *c, char **args);
int cmd_apply(Context *c, char **args);
int cmd_diff(Context *c, char **args);
int cmd_export(Context *c, char **args);
int cmd_import_catalog(Context *c, char **args);
int cmd_validate(Context *c, char **args);
int cmd_check_machine(Context *c, char **args);
int cmd_delete(Context *c, char **args);
int cmd_console(Context *c, char **args);
int cmd_ssh(Context *c, char **args);
int cmd_events(Context *c, char **args);
int cmd_metrics(Context *c, char **args);
int cmd_ip_list(Context *c, char **args);
int cmd_ip_check(Context *c, char **args);
int cmd_check(Context *c, char **args);
int cmd_gpu_attach(Context *c, char **args);
int cmd_gpu_detach(Context *c, char **args);
int cmd_gpu_status(Context *c, char **args);
int cmd_gpu_holders(Context *c, char **args);
int cmd_gpu_mode(Context *c, char **args);
int cmd_gpu_reset(Context *c, char **args);
int cmd_gpu_recover(Context *c, char **args);
int cmd_image_list(Context *c, char **args);
int cmd_image_build(Context *c, char **args);
int cmd_image_pull(Context *c, char **args);
int cmd_image_verify(Context *c, char **args);
int cmd_image_remove(Context *c, char **args);
int cmd_image_gc(Context *c, char **args);
