/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <sys/random.h>

#include "domain.h"
#include "fs.h"
#include "guestjob.h"
#include "guestnet.h"
#include "imagefile.h"
#include "log.h"
#include "seed.h"

#define NVRAM_DIR "/var/lib/libvirt/qemu/nvram" /* libvirt leaves those of a machine without definition */
#define LOG_DIR   "/var/log/libvirt/qemu"       /* libvirt's own: virtlogd writes there */

enum { ANSWER_BYTES = 4 * 1024 * 1024, CUT_SEC = 20 };

void guestfiles_done(GuestFiles *f) {
        free(f->disk);
        free(f->seed);
        free(f->answer);
        free(f->log);
        free(f->variables);
        *f = (GuestFiles){};
}

typedef struct Running {
        const GuestJob *j;
        Virt *v;
        GuestFiles files;
        GuestLog *log;
        char mac[sizeof("52:54:00:00:00:00")];
        char *why;
} Running;

static void running_done(Running *g) {
        guestfiles_done(&g->files);
        guestlog_free(g->log);
        free(g->why);
}

/* Returns error. */
static int blame(Running *g, int error, const char *what, const char *said) {
        free(g->why);
        if (str_printf(&g->why, "%s: %s", what, isempty(said) ? strerror(-error) : said) < 0)
                g->why = NULL;
        return error;
}

static int name_files(Running *g) {
        const char *pool = g->j->pool, *name = g->j->made->name;

        return str_printf(&g->files.disk, "%s/%s.qcow2", pool, name) < 0 ||
                                        str_printf(&g->files.seed, "%s/%s-seed.iso", pool, name) < 0 ||
                                        str_printf(&g->files.answer, "%s/%s-answer.img", pool, name) < 0 ||
                                        str_printf(&g->files.log, LOG_DIR "/%s.console", name) < 0 ||
                                        str_printf(&g->files.variables, NVRAM_DIR "/%s_VARS.fd", name) < 0
                        ? -ENOMEM
                        : 0;
}

/* On record before any of them is there; what one that was cut has left goes. */
static int claim_files(Running *g) {
        const char *const paths[] = { g->files.disk, g->files.seed, g->files.answer, g->files.log,
                                      g->files.variables };
        int r = 0;

        for (size_t i = 0; i < ELEMENTSOF(paths) && r >= 0; i++) {
                r = rollback_add(g->j->made, ROLLBACK_FILE, paths[i]);
                if (r >= 0)
                        r = fs_remove_written(g->j->made->root, paths[i]);
        }
        return r < 0 ? blame(g, r, "its files cannot be recorded in " ROLLBACK_DIR, NULL) : 0;
}

static int write_seed(Running *g) {
        _cleanup_free_ char *meta = NULL, *network = NULL;
        _cleanup_free_ void *image = NULL;
        size_t size = 0;
        int r;

        r = str_printf(&meta, "{\"instance-id\":\"%s\",\"local-hostname\":\"gpuvm-job\"}\n",
                       g->j->made->name);
        if (r >= 0)
                r = guestnet_config(&(GuestNet){ .mac = g->mac }, &network);
        if (r >= 0)
                r = seed_make(&(Seed){ .meta_data = meta,
                                       .user_data = g->j->user_data,
                                       .network_config = network },
                              &image, &size);
        if (r >= 0)
                r = fs_write_atomic(g->j->made->root, g->files.seed, image, size, 0600);
        return r < 0 ? blame(g, r, "its seed cannot be made", NULL) : 0;
}

static int write_answer(Running *g) {
        _cleanup_close_ int fd = fs_open(g->j->made->root, g->files.answer, O_RDWR | O_CREAT | O_EXCL, 0600);
        int r;

        r = fd < 0 ? fd : write_all(fd, g->j->blank, strlen(g->j->blank));
        if (r >= 0)
                r = RET_NERRNO(ftruncate(fd, ANSWER_BYTES));
        return r < 0 ? blame(g, r, "the disk for its answer cannot be made", NULL) : 0;
}

static int make_disk(Running *g) {
        int r = imagefile_overlay(g->j->made->root, g->j->base, g->j->format, g->files.disk, g->j->size);

        return r < 0 ? blame(g, r, "its disk cannot be made", NULL) : 0;
}

/* Any: nobody sees it but the network it is in for a while. */
static int make_mac(Running *g) {
        uint8_t b[3];

        if (getrandom(b, sizeof(b), 0) != sizeof(b))
                return negative_errno();
        (void) snprintf(g->mac, sizeof(g->mac), "52:54:00:%02x:%02x:%02x", b[0], b[1], b[2]);
        return 0;
}

static int start(Running *g) {
        const DomainDisk disks[] = { { .path = g->files.disk, .format = "qcow2" },
                                     { .path = g->files.answer, .format = "raw" } };
        const Domain d = {
                .type = g->j->kvm ? DOMAIN_KVM : DOMAIN_QEMU,
#ifdef __aarch64__
                .arch = DOMAIN_AARCH64,
#endif
                .name = g->j->made->name,
                .vcpus = g->j->cpus,
                .memory_kib = g->j->memory_kib,
                .numa_node = -1,
                .bios = g->j->bios,
                .disks = disks,
                .n_disks = ELEMENTSOF(disks),
                .seed = g->files.seed,
                .network = g->j->network,
                .mac = g->mac,
                .serial_log = g->files.log,
        };
        _cleanup_free_ char *xml = NULL;
        int r;

        r = domain_xml(&d, &xml);
        if (r >= 0)
                r = fs_mkdir_p(g->j->made->root, LOG_DIR, 0755);
        if (r >= 0)
                r = guestlog_open(g->j->made->root, g->files.log, &g->log);
        if (r < 0)
                return blame(g, r, "its definition cannot be made", NULL);
        /* libvirt may still be about to end the one that was cut. */
        r = virtvm_wait_off(g->v, d.name, CUT_SEC * USEC_PER_SEC, NULL, NULL);
        if (r == 0)
                return blame(g, -EBUSY, "libvirt still runs another one of this name", NULL);
        r = r < 0 ? r : virtvm_start_once(g->v, xml);
        return r < 0 ? blame(g, r, "libvirt does not start it", virt_message(g->v)) : 0;
}

/* Returns -EINTR to end the wait. */
static int on_tick(void *userdata) {
        Running *g = userdata;
        int more;

        do
                more = guestlog_read(g->log, g->j->line, g->j->userdata);
        while (more > 0);
        return g->j->stop && g->j->stop() ? -EINTR : 0;
}

static int wait_off(Running *g) {
        int r = virtvm_wait_off(g->v, g->j->made->name, g->j->timeout_usec, on_tick, g);

        if (r > 0) {
                (void) on_tick(g); /* what it said at last */
                return 0;
        }
        if (virtvm_destroy(g->v, g->j->made->name) < 0)
                log_debug("%s: not destroyed: %s", g->j->made->name, virt_message(g->v));
        if (r == 0)
                return -ETIMEDOUT;
        return r == -EINTR ? r : blame(g, r, "libvirt does not answer", virt_message(g->v));
}

static int read_answer(Running *g, size_t max, char **ret, size_t *ret_size) {
        _cleanup_close_ int fd = fs_open(g->j->made->root, g->files.answer, O_RDONLY | O_NOFOLLOW, 0);
        _cleanup_free_ char *text = calloc(1, max + 1);
        ssize_t n;

        if (!text)
                return -ENOMEM;
        n = fd < 0 ? -1 : pread(fd, text, max, 0);
        if (n < 0)
                return blame(g, fd < 0 ? fd : negative_errno(), "its answer cannot be read", NULL);
        *ret = TAKE_PTR(text);
        *ret_size = (size_t) n;
        return 0;
}

static int run(Running *g) {
        int r;

        r = name_files(g);
        if (r >= 0)
                r = make_mac(g);
        if (r >= 0)
                r = claim_files(g);
        if (r >= 0)
                r = make_disk(g);
        if (r >= 0)
                r = write_seed(g);
        if (r >= 0)
                r = write_answer(g);
        if (r >= 0)
                r = start(g);
        return r < 0 ? r : wait_off(g);
}

int guestjob_run(Virt *v, const GuestJob *j, size_t max, GuestFiles *ret_files, char **ret_answer,
                 size_t *ret_size, char **reterr) {
        _cleanup_(running_done) Running g = { .j = j, .v = v };
        int r;

        r = run(&g);
        if (r >= 0)
                r = read_answer(&g, max, ret_answer, ret_size);
        if (r < 0) {
                *reterr = TAKE_PTR(g.why);
                return r;
        }
        *ret_files = g.files;
        g.files = (GuestFiles){};
        return 0;
}
