/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The guest's job: its options, its console, its end. */

#include <ctype.h>
#include <inttypes.h>

#include "create.h"
#include "fs.h"
#include "imagejob.h"
#include "parse.h"
#include "vmhost.h"

enum {
        CPUS_MAX = 4,
        TIMEOUT_SEC = 5400, /* a driver is built within 15 minutes, with KVM */
        EMULATED_SEC = 14400,
        MEMORY_KIB = 4 * 1024 * 1024, /* DKMS and its compilers */
        MEMORY_MIB_MAX = 1024 * 1024,
        NAME_BYTES = 63,
};

static const char *network_of(Context *c) {
        return vmctl_value(c, OPT_NETWORK) ?: "default";
}

static int check_network(Context *c) {
        const char *name = network_of(c);
        VirtState state;
        int r;

        r = virt_state(c->virt, VIRT_NETWORK, name, &state);
        if (r < 0)
                return vmctl_tell(c, r, "Cannot look at network '%s'", name);
        if (state.active)
                return 0;
        log_error("libvirt's network '%s' is not %s. The guest needs one with DHCP: 'virsh net-start %s', or another "
                  "one by --network",
                  name, state.defined ? "active" : "there", name);
        return -ENETDOWN;
}

int imagejob_check_right(const Context *c, int root) {
        if (!fs_is_host(root) || geteuid() == 0)
                return 0;
        return log_full_errno(LOG_ERR, EACCES, "Images are root's. Try 'sudo vmctl %s'", c->command->name);
}

int imagejob_prepare(Context *c, int root, const Conf *conf) {
        int r;

        r = vmctl_connect(c);
        if (r < 0)
                return r;
        if (!fs_is_host(root) || !vmctl_is_local(c)) {
                log_error("The guest that does it runs on the host that runs vmctl, with its own libvirt");
                return -EOPNOTSUPP;
        }
        r = imagejob_check_right(c, root);
        if (r < 0)
                return r;
        create_take_signals();
        create_recover(c, root);
        if (fs_exists(root, conf->pool_path) <= 0) {
                log_error("There is no directory '%s' for disks; 'gpu-vm-bootstrap' makes it",
                          conf->pool_path);
                return -ENOTDIR;
        }
        return check_network(c);
}

/* "build-ubuntu-24-04-gpu": a name that records and machines may have. */
static int begin(ImageJob *j) {
        _cleanup_free_ char *name = NULL;
        int r;

        if (str_printf(&name, "%s-%.*s", j->job == BUILD_JOB_BUILD ? "build" : "verify", NAME_BYTES - 8,
                       j->name) < 0)
                return log_oom();
        for (char *s = name; *s; s++)
                if (!isalnum((unsigned char) *s))
                        *s = '-';
        for (char *s = name + strlen(name); s[-1] == '-'; s--)
                s[-1] = '\0';
        r = rollback_begin(j->root, name, &j->made);
        if (r == -EEXIST)
                return log_full_errno(LOG_ERR, EBUSY,
                                      "Somebody else is at work at '%s' just now: " ROLLBACK_DIR
                                      "/%s is theirs",
                                      j->name, name);
        return r < 0 ? log_error_errno(r, "Cannot claim '%s' in " ROLLBACK_DIR ": %m", name) : 0;
}

static void on_line(const char *line, void *userdata) {
        ImageJob *j = userdata;

        if (vmctl_has(j->c, OPT_QUIET))
                log_debug("%s: %s", j->name, line);
        else
                log_info("%s: %s", j->name, line);
}

/* As asked for, or what suits. */
static int choose(ImageJob *j, GuestJob *g) {
        const char *memory = vmctl_value(j->c, OPT_MEMORY), *cpus = vmctl_value(j->c, OPT_CPUS),
                   *timeout = vmctl_value(j->c, OPT_TIMEOUT), *firmware = vmctl_value(j->c, OPT_FIRMWARE);
        const long host = sysconf(_SC_NPROCESSORS_ONLN);
        unsigned mib = 0;

        g->kvm = vmhost_has_kvm(j->root);
        g->cpus = (unsigned) MIN(MAX(host, 1L), (long) CPUS_MAX);
        g->memory_kib = MEMORY_KIB;
        g->timeout_usec = (g->kvm ? TIMEOUT_SEC : EMULATED_SEC) * USEC_PER_SEC;
        g->bios = firmware && streq(firmware, "bios");
        if (firmware && !g->bios && !streq(firmware, "uefi")) {
                log_error("'%s' is no --firmware: uefi or bios", firmware);
                return -EINVAL;
        }
        if (cpus && (parse_uint(cpus, 1024, &g->cpus) < 0 || g->cpus == 0)) {
                log_error("'%s' is no number of CPUs", cpus);
                return -EINVAL;
        }
        if (memory && parse_uint(memory, MEMORY_MIB_MAX, &mib) >= 0)
                g->memory_kib = (uint64_t) mib * 1024;
        else if (memory && parse_size(memory, &g->memory_kib) >= 0)
                g->memory_kib /= 1024;
        else if (memory)
                g->memory_kib = 0;
        if (g->memory_kib < 64 * 1024) {
                log_error("'%s' is no size of memory for it; '4096' (MiB) or '4G' would be", memory);
                return -EINVAL;
        }
        if (timeout && parse_sec(timeout, &g->timeout_usec) < 0) {
                log_error("'%s' is no time for --timeout; '90' or '5min' would be", timeout);
                return -EINVAL;
        }
        return 0;
}

static int run(ImageJob *j, char **answer, size_t *size, uint64_t *timeout_usec) {
        _cleanup_free_ char *why = NULL;
        GuestJob g = {
                .made = &j->made,
                .pool = j->conf->pool_path,
                .base = j->base->path,
                .format = j->base->format,
                .size = MAX(j->size, j->base->size),
                .user_data = j->user_data,
                .blank = BUILDINIT_BLANK,
                .network = network_of(j->c),
                .line = on_line,
                .userdata = j,
                .stop = create_interrupted,
        };
        int r;

        r = choose(j, &g);
        if (r < 0)
                return r;
        *timeout_usec = g.timeout_usec;
        r = guestjob_run(j->c->virt, &g, BUILDINIT_ANSWER_MAX, &j->files, answer, size, &why);
        if (r == -EINTR)
                return log_full_errno(LOG_ERR, EINTR, "Interrupted");
        if (r == -ETIMEDOUT && !why)
                return log_error_errno(r,
                                       "The guest for '%s' did not end within %" PRIu64
                                       " s. What it said last is above; --timeout gives it longer",
                                       j->name, g.timeout_usec / USEC_PER_SEC);
        return r < 0 ? log_error_errno(r, "The guest for '%s' could not be run: %s", j->name, strna(why)) : 0;
}

int imagejob_run(ImageJob *j) {
        _cleanup_free_ char *text = NULL;
        uint64_t timeout_usec;
        size_t size = 0;
        int r;

        r = begin(j);
        if (r >= 0)
                r = run(j, &text, &size, &timeout_usec);
        if (r < 0)
                return r;
        r = buildinit_answer(text, size, &j->answer);
        if (r == -ENODATA)
                return log_full_errno(
                                LOG_ERR, EIO,
                                "The guest for '%s' went off before it was done. What it said is above; does "
                                "its image have cloud-init?",
                                j->name);
        if (r < 0)
                return log_error_errno(r, "The answer of the guest for '%s' makes no sense: %m", j->name);
        if (j->answer.done)
                return 0;
        return log_full_errno(LOG_ERR, EIO, "'%s' failed in its guest, at step '%s': %s", j->name,
                              j->answer.step, j->answer.reason);
}

/* RollbackUndo: there are files alone, the machine has ended. */
static int undo(const Rollback *b, const RollbackStep *s, void *userdata) {
        int r = s->kind == ROLLBACK_FILE ? fs_remove_written(b->root, s->object) : 0;

        return r < 0 ? log_error_errno(r, "Cannot remove '%s': %m", s->object) : 0;
}

int imagejob_end(ImageJob *j, int r) {
        int q = j->made.name ? rollback_run(&j->made, undo, NULL) : 0;

        guestfiles_done(&j->files);
        build_answer_done(&j->answer);
        return r < 0 ? r : q;
}

int imagejob_boot(Context *c, int root, const Conf *conf, const ImageEntry *e, bool driver) {
        char *nvidia[] = { (char *) "nvidia", NULL };
        const BuildPlan plan = { .driver = driver ? nvidia : NULL };
        _cleanup_free_ char *user_data = NULL;
        ImageJob j = { .c = c,
                       .root = root,
                       .conf = conf,
                       .job = BUILD_JOB_VERIFY,
                       .name = e->name,
                       .base = e };
        int r;

        r = buildinit_user_data(BUILD_JOB_VERIFY, &plan, &user_data);
        if (r < 0)
                return log_oom();
        j.user_data = user_data;
        r = imagejob_run(&j);
        if (r >= 0 && !vmctl_has(c, OPT_QUIET) && !vmctl_has(c, OPT_JSON))
                printf("%s boots: kernel %s, %s%s\n", e->name, j.answer.kernel,
                       *j.answer.driver ? "with NVIDIA's driver " : "without a driver", j.answer.driver);
        return imagejob_end(&j, r);
}
