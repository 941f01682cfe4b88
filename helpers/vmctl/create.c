/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Create: a machine from nothing, or nothing at all. Each step is on disk before it is made (rollback.h);
 * what fails or is interrupted is taken back at once, what is killed by the next create. */

#include <signal.h>

#include "create.h"
#include "fs.h"
#include "queue.h"
#include "talos.h"
#include "vmunit.h"

#define START_LOCK "/run/gpuvm/start.lock"

enum { STARTS_MAX = 8, START_PATIENCE_SEC = 80 * 60 /* longer than a start may take */ };

static volatile sig_atomic_t interrupted;

static void on_signal(int number) {
        interrupted = number;
}

bool create_interrupted(void) {
        return interrupted != 0;
}

/* What kept others out while it was made: its definition does that now. */
static void let_go(Create *n) {
        for (size_t i = 0; i < n->n_leases; i++)
                (void) safe_close(n->leases[i]);
        n->n_leases = 0;
        if (n->base_hold > 0)
                (void) safe_close(n->base_hold);
        n->base_hold = 0;
}

void create_done(Create *n) {
        rollback_done(&n->rollback);
        let_go(n);
        free(n->leases);
        vmplan_done(&n->plan);
        vmhost_done(&n->host);
        conf_done(&n->conf);
        strv_free(n->keys);
        strv_free(n->offers);
        free(n->disk);
        free(n->seed);
        free(n->log);
        free(n->user);
        setup_done(n);
        free(n->rom_file);
        free(n->base_path);
        free(n->base_format);
        free(n->base_name);
        if (n->root >= 0)
                (void) safe_close(n->root);
}

static int undo_machine(Context *c, const Rollback *b, const char *uuid) {
        _cleanup_(virtvm_done) VirtVm vm = {};
        int r;

        r = virtvm_find(c->virt, b->name, METADATA_URI, &vm);
        if (r == -ENOENT || (r >= 0 && !streq(vm.uuid, uuid)))
                return 0;
        if (r >= 0 && vm_state_is_on(vm.state))
                r = virtvm_destroy(c->virt, b->name);
        if (r >= 0)
                r = virtvm_undefine(c->virt, b->name);
        return r < 0 ? vmctl_tell(c, r, "Cannot take back machine '%s'", b->name) : 0;
}

/* Its UUID, if it was made. */
static const char *machine_of(const Rollback *b) {
        for (size_t i = 0; i < b->n; i++)
                if (b->steps[i].kind == ROLLBACK_MACHINE)
                        return b->steps[i].object;
        return NULL;
}

/* RollbackUndo. */
static int undo(const Rollback *b, const RollbackStep *s, void *userdata) {
        Context *c = userdata;
        int r = 0;

        switch (s->kind) {
        case ROLLBACK_MACHINE:
                return undo_machine(c, b, s->object);
        case ROLLBACK_FILE:
                r = fs_remove_written(b->root, s->object);
                return r < 0 ? log_error_errno(r, "Cannot remove '%s': %m", s->object) : 0;
        case ROLLBACK_SETTINGS:
                r = vmunit_remove(b->root, s->object);
                return r < 0 ? log_error_errno(r, "Cannot remove the settings of '%s': %m", s->object) : 0;
        case ROLLBACK_UNIT:
                return power_take_back(c, b->name, machine_of(b));
        default:
                return r;
        }
}

void create_recover(Context *c, int root) {
        int r = rollback_recover(root, undo, c);

        if (r > 0)
                log_notice("Took back what %d machine%s had left that %s cut while being made", r,
                           r == 1 ? "" : "s", r == 1 ? "was" : "were");
        if (r < 0)
                (void) !vmctl_tell_record(root, r, "Cannot take back all that was cut before");
}

void create_take_signals(void) {
        const struct sigaction action = { .sa_handler = on_signal };

        (void) umask(0077);
        /* A libvirtd that dies is an error like others. */
        (void) sigaction(SIGPIPE, &(struct sigaction){ .sa_handler = SIG_IGN }, NULL);
        (void) sigaction(SIGINT, &action, NULL);
        (void) sigaction(SIGTERM, &action, NULL);
        (void) sigaction(SIGHUP, &action, NULL);
}

int create_step(Create *n, RollbackKind kind, const char *object, const char *what) {
        int r = interrupted ? -EINTR : rollback_add(&n->rollback, kind, object);

        if (r == -EINTR)
                return log_full_errno(LOG_ERR, EINTR, "Interrupted before %s", what);
        if (r < 0)
                return log_error_errno(r, "Cannot record %s in " ROLLBACK_DIR ": %m", what);
        log_debug("%s: %s", n->plan.name, what);
        return 0;
}

/* What the bootstrap made, and somebody may have taken away. */
static int check_ground(Context *c, const Create *n) {
        VirtState state = { .active = true };
        int r;

        if (fs_exists(n->root, n->conf.pool_path) <= 0) {
                log_error("There is no directory '%s' for disks; 'gpu-vm-bootstrap' makes it",
                          n->conf.pool_path);
                return -ENOTDIR;
        }
        r = n->plan.network ? virt_state(c->virt, VIRT_NETWORK, n->plan.network, &state) : 0;
        if (r < 0)
                return vmctl_tell(c, r, "Cannot look at network '%s'", n->plan.network);
        if (!state.active) {
                log_error("libvirt's network '%s' is not %s; 'gpu-vm-bootstrap' sets the standard one up",
                          n->plan.network, state.defined ? "active" : "there");
                return -ENETDOWN;
        }
        return 0;
}

/* libvirtd has 20 workers, and each start holds one until QEMU runs: when all of them start something, nobody
 * gets an answer any more, not even who makes the next plan. More than the host has CPUs only keep each other
 * waiting. */
static int start(Context *c, const Create *n) {
        const unsigned places = MIN(MAX(n->host.cpus, 2U), (unsigned) STARTS_MAX);
        _cleanup_close_ int place = queue_enter(n->root, START_LOCK, places,
                                                START_PATIENCE_SEC * USEC_PER_SEC, create_interrupted);

        if (place == -EINTR)
                return log_full_errno(LOG_ERR, EINTR, "Interrupted while other machines were starting");
        if (place == -ETIMEDOUT)
                return log_error_errno(place,
                                       "%u other machines have been starting for %d s: 'fuser -v " START_LOCK
                                       "*' names who starts them",
                                       places, START_PATIENCE_SEC);
        if (place < 0)
                return log_error_errno(place, "Cannot lock " START_LOCK ": %m");
        return power_start(c, n->plan.name);
}

/* Its start would shut that one down. */
static int find_keeper(Context *c, Create *n) {
        STRV_FOREACH(name, n->apart) {
                VmState state;
                int r = virtvm_state(c->virt, *name, &state);

                if (r < 0 && r != -ENOENT)
                        return vmctl_tell(c, r, "Cannot look at virtual machine '%s'", *name);
                if (r >= 0 && vm_state_is_on(state))
                        n->keeper = *name;
        }
        return 0;
}

static int start_unless_kept(Context *c, Create *n) {
        int r = find_keeper(c, n);

        if (r >= 0 && !n->keeper && power_has_units(c))
                r = create_step(n, ROLLBACK_UNIT, vmunit_name(n->plan.name).text, "its start");
        return r < 0 || n->keeper ? r : start(c, n);
}

/* The record is at the end of all that is made, and so the first thing that is missing after a success. */
static int make(Context *c, Create *n) {
        int r;

        r = check_ground(c, n);
        if (r >= 0)
                r = base_find(c, n);
        if (r >= 0)
                r = disk_make(n);
        if (r >= 0)
                r = seed_write(c, n);
        if (r >= 0)
                r = machine_define(c, n);
        if (r >= 0)
                r = unit_prepare(c, n);
        if (r >= 0)
                r = start_unless_kept(c, n);
        if (r >= 0 && interrupted)
                r = log_full_errno(LOG_ERR, EINTR, "Interrupted");
        if (r < 0)
                return r;
        r = rollback_commit(&n->rollback);
        return r < 0 ? log_error_errno(r, "Cannot remove the record in " ROLLBACK_DIR ": %m") : 0;
}

static int make_or_take_back(Context *c, Create *n) {
        int r = make(c, n);

        if (r >= 0)
                return r;
        /* libvirtd may have been restarted meanwhile. Without it what else was made goes all the same. */
        (void) vmctl_connect_again(c);
        if (rollback_run(&n->rollback, undo, c) < 0)
                log_error("Not all could be taken back; the next 'vmctl create' tries again");
        else
                log_notice("What was made has been taken back");
        return r;
}

/* The reserved one; a lease, once the guest has been waited for. */
static int find_address(Context *c, const Create *n, char **ret) {
        if (n->plan.address)
                return str_printf(ret, "%.*s", (int) strcspn(n->plan.address, "/"), n->plan.address);
        return vmctl_has(c, OPT_WAIT) ? vmctl_address(c, n->plan.name, &(Metadata){}, ret) : 0;
}

static int show_talos_way_in(Context *c, const Create *n) {
        const char *version = vmctl_value(c, OPT_TALOS_VERSION);
        const char *patch = vmplan_has_gpu(&n->plan) ? talos_gpu_patch(version) : NULL;
        _cleanup_free_ char *address = NULL, *text = NULL;
        int r;

        if (n->machine_config)
                return 0;
        r = find_address(c, n, &address);
        if (r >= 0)
                r = talos_commands(n->plan.name, address, patch, &text);
        if (r < 0)
                return r == -ENOMEM ? log_oom() : r;
        printf("It waits for its configuration%s:\n%s", address ? "" : " at its ADDRESS", text);
        return 0;
}

static int show_way_in(Context *c, const Create *n) {
        const char *name = n->plan.name;

        if (n->keeper) {
                printf("%s is made, and off: %s is on, and they share a GPU. 'vmctl start %s' shuts %s down and starts it.\n",
                       name, n->keeper, name, n->keeper);
                return 0;
        }
        printf("%s is running. 'vmctl console %s' shows it, 'vmctl ip list' its address.\n", name, name);
        if (streq(n->kind, "talos"))
                return show_talos_way_in(c, n);
        printf("  vmctl ssh %s\n", name);
        return 0;
}

static int prepare(Context *c, Create *n, const char *kind) {
        int r;

        n->kind = kind;
        n->begin_usec = monotonic_usec();
        n->machine_config = vmctl_value(c, OPT_MACHINE_CONFIG);
        n->root = fs_open_root(vmctl_value(c, OPT_ROOT));
        if (n->root < 0)
                return log_error_errno(n->root, "Cannot open root directory '%s': %m",
                                       strempty(vmctl_value(c, OPT_ROOT)));
        r = conf_load_and_warn(n->root, &n->conf);
        if (r < 0)
                return log_oom();
        r = setup_read(c, n);
        return r < 0 ? r : plan_check(c, n);
}

static int check_place(Context *c, const Create *n) {
        if (!fs_is_host(n->root) || !vmctl_is_local(c)) {
                log_error("Machines are made on the host that runs vmctl, with its own libvirt; --dry-run works elsewhere");
                return -EOPNOTSUPP;
        }
        if (geteuid() != 0)
                return log_full_errno(LOG_ERR, EACCES,
                                      "Disks and GPUs are root's. Try 'sudo vmctl create %s', or --dry-run",
                                      n->kind);
        return 0;
}

static int create(Context *c, Create *n) {
        int r, waited = 0;

        r = vmctl_connect(c);
        if (r >= 0)
                r = check_place(c, n);
        if (r >= 0)
                r = user_find(c, n);
        if (r >= 0)
                r = keys_find(c, n);
        if (r >= 0)
                r = store_find(c, n);
        if (r < 0)
                return r;
        create_take_signals();
        create_recover(c, n->root);
        r = plan_offers(c, n);
        if (r >= 0)
                r = plan_claim(c, n);
        if (r < 0)
                return r;
        if (!vmctl_has(c, OPT_QUIET) && !vmctl_has(c, OPT_JSON))
                create_show(c, n, false);
        r = make_or_take_back(c, n);
        let_go(n);
        /* The machine is there, and stays: what it does from now on is its own. */
        if (r >= 0 && !n->keeper && vmctl_has(c, OPT_WAIT))
                waited = create_wait(c, n);
        if (r >= 0 && vmctl_has(c, OPT_JSON))
                r = create_show_json(c, n);
        if (r >= 0)
                r = waited;
        if (vmctl_has(c, OPT_JSON))
                return r;
        return r >= 0 && !vmctl_has(c, OPT_QUIET) ? show_way_in(c, n) : r;
}

/* libvirt knows what is taken. A recorded host has none, unless one is named. */
static int dry_run(Context *c, Create *n) {
        int r;

        if ((fs_is_host(n->root) || vmctl_has(c, OPT_CONNECT)) && vmctl_connect(c) < 0)
                log_notice("This plan knows nothing of other machines: names, addresses and GPUs may be taken");
        r = user_find(c, n);
        if (r >= 0)
                r = store_find(c, n);
        if (r >= 0)
                r = plan_offers(c, n);
        if (r >= 0)
                r = plan_look(c, n);
        if (r >= 0)
                r = plan_fill(c, n);
        if (r >= 0 && vmctl_has(c, OPT_JSON))
                return create_show_json(c, n);
        if (r >= 0 && !vmctl_has(c, OPT_QUIET))
                create_show(c, n, true);
        return r;
}

int create_kind(Context *c, const char *kind, char *const *apart) {
        static const char *const kinds[] = { "talos", "ubuntu", "debian", "llm", "worker", NULL };
        _cleanup_(create_done) Create n = { .root = -EBADF, .apart = apart };
        const char *const *known = kinds;
        int r;

        while (*known && !streq(*known, kind))
                known++;
        if (!*known) {
                log_error("'%s' is no kind of machine: talos, ubuntu, debian, llm or worker", kind);
                return VMCTL_USAGE;
        }
        r = prepare(c, &n, *known);
        if (r >= 0)
                r = vmctl_has(c, OPT_DRY_RUN) ? dry_run(c, &n) : create(c, &n);
        /* Of what it needs: the machine is not what was not found. */
        return r == -EINVAL ? VMCTL_USAGE : r == -ENOENT ? VMCTL_FAILED : r;
}

int cmd_create(Context *c, char **args) {
        return create_kind(c, args[0], NULL);
}
