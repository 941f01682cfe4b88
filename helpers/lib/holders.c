/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <pthread.h>
#include <sched.h>

#include "account.h"
#include "below.h"
#include "console.h"
#include "fs.h"
#include "holders.h"
#include "nodes.h"
#include "openfile.h"
#include "parse.h"
#include "procfiles.h"
#include "strv.h"

enum {
        DESCRIBE_MAX = 8,
        /* What a thread more is worth: 2,000 processes take one 0.1 s. */
        PROCESSES_A_THREAD = 250,
        THREADS_MAX = 8,
};

typedef struct Scan {
        int root;
        Nodes nodes;
        Holders found;
} Scan;

static void scan_done(Scan *s) {
        nodes_done(&s->nodes);
        holders_done(&s->found);
}

static void holder_done(Holder *h) {
        free(h->user);
        free(h->comm);
        free(h->unit);
        free(h->what);
}

void holders_done(Holders *h) {
        for (size_t i = 0; i < h->n; i++)
                holder_done(&h->list[i]);
        free(h->list);
        *h = (Holders){};
}

void holders_drop(Holders *h, const char *comm) {
        size_t n = 0;

        for (size_t i = 0; i < h->n; i++)
                if (streq(strempty(h->list[i].comm), comm))
                        holder_done(&h->list[i]);
                else
                        h->list[n++] = h->list[i];
        h->n = n;
}

/* The last component of the process's own cgroup that is a service or a scope. The line of the unified
 * hierarchy starts with "0::", that of systemd's own in the old layout with "N:name=systemd:". */
static int read_unit(int proc, char **ret) {
        _cleanup_free_ char *text = NULL, *unit = NULL;
        _cleanup_strv_ char **lines = NULL;
        int r;

        r = fs_read_at(proc, "cgroup", FS_ATTR_MAX, &text);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        if (strv_split(text, "\n", &lines) < 0)
                return -ENOMEM;
        STRV_FOREACH(line, lines) {
                _cleanup_strv_ char **parts = NULL;
                const char *path = startswith(*line, "0::") ?: strstr(*line, ":name=systemd:");

                if (!path)
                        continue;
                if (strv_split(path, "/", &parts) < 0)
                        return -ENOMEM;
                STRV_FOREACH(p, parts)
                        if ((endswith(*p, ".service") || endswith(*p, ".scope")) &&
                            free_and_strdup(&unit, *p) < 0)
                                return -ENOMEM;
                if (unit)
                        break;
        }
        *ret = TAKE_PTR(unit);
        return 0;
}

static void make_printable(char *s) {
        for (; s && *s; s++)
                if ((unsigned char) *s < ' ' || *s == 0x7f)
                        *s = '?';
}

static int add_holder(Holders *found, pid_t pid, int proc, const char *what) {
        _cleanup_(holder_done) Holder h = { .pid = pid };
        struct stat st;
        Holder *t;
        int r = 0;

        if (proc >= 0) {
                r = fs_read_at(proc, "comm", FS_ATTR_MAX, &h.comm);
                if (r == -ENOMEM)
                        return r;
                if (h.comm)
                        h.comm[strcspn(h.comm, "\n")] = '\0';
                h.uid = fstat(proc, &st) >= 0 ? st.st_uid : 0;
                r = read_unit(proc, &h.unit);
        }
        if (r < 0)
                return r;
        make_printable(h.comm);
        h.what = strdup(what);
        t = reallocarray(found->list, found->n + 1, sizeof(*t));
        if (t)
                found->list = t;
        if (!t || !h.what)
                return -ENOMEM;
        found->list[found->n++] = h;
        h = (Holder){};
        return 0;
}

static int compare_holders(const void *a, const void *b) {
        return ((const Holder *) a)->pid - ((const Holder *) b)->pid;
}

/* Some of the processes, looked at by a thread of its own. */
typedef struct Share {
        const Nodes *nodes;
        int all; /* the directory of processes */
        char **pids;
        size_t begin, step;
        Holders found;
        int error;
} Share;

static int look_at_process(Share *h, ProcFiles *files, const char *name) {
        _cleanup_close_ int proc = -EBADF;
        const char *what = NULL;
        unsigned pid;
        int r;

        if (parse_uint(name, INT32_MAX, &pid) < 0)
                return 0;
        r = procfiles_find(files, h->all, name, &what);
        if (r == 0 || r == -ENOMEM)
                return r;
        proc = RET_NERRNO(openat(h->all, name, O_PATH | O_DIRECTORY | O_CLOEXEC));
        if (openfile_is_gone(proc))
                return 0;
        return add_holder(&h->found, (pid_t) pid, proc, r < 0 ? "open files that cannot be read" : what);
}

static void *look_at_share(void *p) {
        Share *h = p;
        _cleanup_(procfiles_done) ProcFiles files = { .nodes = h->nodes };
        size_t n = strv_length(h->pids);

        for (size_t i = h->begin; i < n && h->error >= 0; i += h->step)
                h->error = look_at_process(h, &files, h->pids[i]);
        return NULL;
}

static size_t count_threads(size_t n_processes) {
        size_t wanted = n_processes / PROCESSES_A_THREAD + 1;
        cpu_set_t cpus;

        if (sched_getaffinity(0, sizeof(cpus), &cpus) < 0)
                return 1;
        return MIN(wanted, MIN((size_t) CPU_COUNT(&cpus), (size_t) THREADS_MAX));
}

/* Moves what was found. */
static int gather(Holders *to, Holders *from) {
        Holder *t;

        if (from->n == 0)
                return 0;
        t = reallocarray(to->list, to->n + from->n, sizeof(*t));
        if (!t)
                return -ENOMEM;
        memcpy(t + to->n, from->list, from->n * sizeof(*t));
        to->list = t;
        to->n += from->n;
        from->n = 0;
        return 0;
}

static int scan_processes(Scan *s) {
        _cleanup_close_ int all = fs_open(s->root, "/proc", O_RDONLY | O_DIRECTORY, 0);
        _cleanup_strv_ char **pids = NULL;
        pthread_t threads[THREADS_MAX];
        Share shares[THREADS_MAX];
        size_t n, started = 0;
        int r;

        r = all < 0 ? all : fs_list_fd(all, &pids);
        if (r < 0)
                return r == -ENOENT ? 0 : r;
        n = count_threads(strv_length(pids));
        for (size_t i = 0; i < n; i++)
                shares[i] = (Share){ .nodes = &s->nodes, .all = all, .pids = pids, .begin = i, .step = n };
        /* The first share is this thread's, and so are those for which there is no other. */
        while (started + 1 < n &&
               pthread_create(&threads[started + 1], NULL, look_at_share, &shares[started + 1]) == 0)
                started++;
        look_at_share(&shares[0]);
        for (size_t i = 1; i < n; i++)
                if (i <= started)
                        (void) pthread_join(threads[i], NULL);
                else
                        look_at_share(&shares[i]);
        for (size_t i = 0; i < n; i++) {
                if (r >= 0)
                        r = shares[i].error < 0 ? shares[i].error : gather(&s->found, &shares[i].found);
                holders_done(&shares[i].found);
        }
        if (r >= 0 && s->found.n > 1)
                qsort(s->found.list, s->found.n, sizeof(Holder), compare_holders);
        return r;
}

static int look_at_kernel(Scan *s, const PciDevice *d) {
        _cleanup_strv_ char **users = NULL;
        int r;

        r = console_is_on(s->root, d);
        if (r > 0)
                r = add_holder(&s->found, 0, -EBADF, "the text console is drawn by it");
        if (r >= 0)
                r = below_users(s->root, d, &users);
        STRV_FOREACH(user, users) {
                if (r >= 0)
                        r = add_holder(&s->found, 0, -EBADF, *user);
        }
        return r;
}

/* As the host's own file has them: libraries that ask other hosts for accounts may hang, while a GPU waits.
 */
static int name_users(Scan *s) {
        for (size_t i = 0; i < s->found.n; i++) {
                Holder *h = &s->found.list[i];

                if (h->pid != 0 && account_find_name(s->root, h->uid, &h->user) == -ENOMEM)
                        return -ENOMEM;
                make_printable(h->user);
        }
        return 0;
}

static int scan_kernel(Scan *s, const PciDevice *const *devices, size_t n) {
        int r = 0;

        for (size_t i = 0; i < n && r >= 0; i++)
                r = look_at_kernel(s, devices[i]);
        return r;
}

int holders_scan_kernel(int root, const PciDevice *const *devices, size_t n, Holders *ret) {
        _cleanup_(scan_done) Scan s = { .root = root };
        int r = scan_kernel(&s, devices, n);

        if (r < 0)
                return r;
        *ret = s.found;
        s.found = (Holders){};
        return 0;
}

int holders_scan(int root, const PciDevice *const *devices, size_t n, Holders *ret) {
        _cleanup_(scan_done) Scan s = { .root = root };
        int r;

        r = nodes_of(root, devices, n, &s.nodes);
        if (r >= 0)
                r = scan_kernel(&s, devices, n);
        /* Nothing that could be open: half of all hand-overs, and the boot path. */
        if (r >= 0 && (s.nodes.n > 0 || s.nodes.any_nvidia || s.nodes.any_vfio))
                r = scan_processes(&s);
        if (r >= 0)
                r = name_users(&s);
        if (r < 0)
                return r;
        *ret = s.found;
        s.found = (Holders){};
        return 0;
}

static int describe(const Holder *h, char ***l) {
        char id[sizeof("4294967295")];

        if (h->pid == 0)
                return strv_extend(l, h->what);
        (void) snprintf(id, sizeof(id), "%u", (unsigned) h->uid);
        return strv_extendf(l, "%s (pid %d, %s %s%s%s) has %s%s", strna(h->comm), (int) h->pid,
                            h->user ? "user" : "uid", h->user ?: id, h->unit ? ", " : "", strempty(h->unit),
                            h->what, startswith(h->what, "open ") ? "" : " open");
}

int holders_describe(const Holders *h, char **ret) {
        _cleanup_strv_ char **l = NULL;
        int r = 0;

        for (size_t i = 0; i < h->n && i < DESCRIBE_MAX && r >= 0; i++)
                r = describe(&h->list[i], &l);
        if (r >= 0 && h->n > DESCRIBE_MAX)
                r = strv_extendf(&l, "and %zu more", h->n - DESCRIBE_MAX);
        if (r < 0)
                return r;
        *ret = strv_join(l, "; ");
        return *ret ? 0 : -ENOMEM;
}
