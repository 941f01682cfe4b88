/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <sys/sysmacros.h>

#include "below.h"
#include "console.h"
#include "fs.h"
#include "holders.h"
#include "nodes.h"
#include "openfile.h"
#include "parse.h"
#include "strv.h"

#define VFIO_ANONYMOUS "anon_inode:[vfio-device]"

enum {
        DESCRIBE_MAX = 8,
        TEXT_STEP = 64 * 1024,
        PID_PATH_MAX = 2 * 256 + sizeof("/proc//map_files/"), /* NAME_MAX twice */
};

typedef struct Scan {
        int root;
        Nodes nodes;
        Holders found;
        char *text; /* the mappings of a process: one buffer for all */
        size_t room;
} Scan;

static void scan_done(Scan *s) {
        nodes_done(&s->nodes);
        holders_done(&s->found);
        free(s->text);
}

static void holder_done(Holder *h) {
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

static int add_holder(Scan *s, pid_t pid, int proc, const char *what) {
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
        for (char *p = h.comm; p && *p; p++)
                if ((unsigned char) *p < ' ' || *p == 0x7f)
                        *p = '?';
        h.what = strdup(what);
        t = reallocarray(s->found.list, s->found.n + 1, sizeof(*t));
        if (t)
                s->found.list = t;
        if (!t || !h.what)
                return -ENOMEM;
        s->found.list[s->found.n++] = h;
        h = (Holder){};
        return 0;
}

/* What was found in an fd directory. */
typedef struct Fds {
        size_t n;         /* open files */
        const char *name; /* of the node that is open (borrowed), or NULL */
        bool hidden;      /* one cannot be looked at */
        bool anonymous;   /* one is a VFIO device */
        bool group;       /* one is a VFIO group, but not ours */
} Fds;

static void look_at_fd(const Scan *s, int dir, const char *name, Fds *f) {
        struct stat st;
        int r;

        f->n++;
        r = openfile_look_at(dir, name, &st);
        if (r < 0) {
                f->hidden = f->hidden ||
                                (openfile_is_forbidden(r) && !openfile_is_without_devices(dir, name));
                return;
        }
        f->name = nodes_match(&s->nodes, &st);
        if (f->name || !s->nodes.any_vfio)
                return;
        if (S_ISCHR(st.st_mode) && s->nodes.vfio_major != 0 && major(st.st_rdev) == s->nodes.vfio_major)
                f->group = true;
        if ((st.st_mode & S_IFMT) == 0) {
                char target[sizeof(VFIO_ANONYMOUS) + 1];
                ssize_t k = readlinkat(dir, name, target, sizeof(target));

                if (k == (ssize_t) strlen(VFIO_ANONYMOUS) && memcmp(target, VFIO_ANONYMOUS, (size_t) k) == 0)
                        f->anonymous = true;
        }
}

/* Looks through one fd directory, as far as the first node. getdents64(2) itself: readdir(3) would cost three
 * more system calls for each of thousands of processes. -EACCES if a file cannot be looked at and no other is
 * a node. */
static int scan_fds(const Scan *s, int all, const char *path, Fds *f) {
        _cleanup_close_ int dir = RET_NERRNO(openat(all, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        char entries[8192] __attribute__((aligned(__alignof__(struct dirent64))));
        ssize_t n;

        if (dir < 0)
                return dir;
        while ((n = getdents64(dir, entries, sizeof(entries))) > 0)
                for (ssize_t i = 0; i < n;) {
                        const struct dirent64 *e = (const void *) (entries + i);

                        i += e->d_reclen;
                        if (e->d_name[0] != '.')
                                look_at_fd(s, dir, e->d_name, f);
                        if (f->name)
                                return 0;
                }
        if (n < 0)
                return -errno;
        /* The device's own descriptor names no group. One who has kept it and closed the group may have ours.
         */
        if (f->anonymous && !f->group)
                f->name = "a VFIO device";
        return f->hidden && !f->name ? -EACCES : 0;
}

/* All of a file into the buffer, with a NUL behind it. */
static int read_whole(Scan *s, int dir, const char *name) {
        _cleanup_close_ int fd = RET_NERRNO(openat(dir, name, O_RDONLY | O_CLOEXEC));
        size_t size = 0;

        if (fd < 0)
                return fd;
        for (;;) {
                ssize_t n;

                if (s->room - size < TEXT_STEP / 2) {
                        char *t = s->room < FS_FILE_MAX ? realloc(s->text, s->room + TEXT_STEP) : NULL;

                        if (!t)
                                return s->room < FS_FILE_MAX ? -ENOMEM : -EFBIG;
                        s->text = t;
                        s->room += TEXT_STEP;
                }
                n = read(fd, s->text + size, s->room - size - 1);
                if (n < 0 && errno != EINTR)
                        return -errno;
                if (n == 0)
                        break;
                size += (size_t) MAX(n, (ssize_t) 0);
        }
        s->text[size] = '\0';
        return 0;
}

/* One mapping. Asked of the kernel, or, where that is not for us to ask (no CAP_CHECKPOINT_RESTORE), by its
 * path as the process sees it. */
static int look_at_mapping(int all, const char *pid, const char *range, const char *path, struct stat *ret) {
        _cleanup_free_ char *file = NULL, *seen = NULL;
        int r;

        if (str_printf(&file, "%s/map_files/%s", pid, range) < 0 ||
            str_printf(&seen, "%s/root%s", pid, path) < 0)
                return -ENOMEM;
        r = openfile_look_at(all, file, ret);
        if (openfile_is_forbidden(r) && openfile_is_without_devices(all, file))
                return -ENODEV;
        return r < 0 ? openfile_look_at(all, seen, ret) : 0;
}

/* A mapping outlives the descriptor that it was made from. Only character devices interest, and those are
 * mapped from below /dev or shared; what lies behind is asked of the kernel, not of the path. */
static int scan_maps(Scan *s, int all, const char *pid, const char **ret) {
        char maps[PID_PATH_MAX];
        bool hidden = false;
        int r;

        (void) snprintf(maps, sizeof(maps), "%s/maps", pid);
        r = read_whole(s, all, maps);
        if (r < 0)
                return r;
        for (char *line = s->text, *next; *line; line = next) {
                char *end = line + strcspn(line, "\n"), *range, *path;
                struct stat st;

                next = *end ? end + 1 : end;
                *end = '\0';
                range = strchr(line, ' ');
                path = strchr(line, '/');
                if (!range || !path || (range[4] != 's' && !startswith(path, "/dev/")))
                        continue;
                *range = '\0';
                r = look_at_mapping(all, pid, line, path, &st);
                if (r == -ENOMEM)
                        return r;
                hidden = hidden || openfile_is_forbidden(r);
                *ret = r < 0 ? NULL : nodes_match(&s->nodes, &st);
                if (*ret)
                        return 0;
        }
        return hidden ? -EACCES : 0;
}

/* The files of a process whose first thread has ended are those of the others. */
static int scan_threads(const Scan *s, int all, const char *pid, Fds *f) {
        _cleanup_strv_ char **tasks = NULL;
        char dir[PID_PATH_MAX];
        int r;

        (void) snprintf(dir, sizeof(dir), "/proc/%s/task", pid);
        r = fs_list(s->root, dir, &tasks);
        if (r < 0 || strv_length(tasks) < 2)
                return r;
        STRV_FOREACH(t, tasks) {
                (void) snprintf(dir, sizeof(dir), "%s/task/%s/fd", pid, *t);
                r = scan_fds(s, all, dir, f);
                if (r < 0 && !openfile_is_gone(r))
                        return r;
                if (f->name)
                        return 0;
        }
        return 0;
}

/* all: the directory of processes. */
static int scan_process(Scan *s, int all, const char *name) {
        _cleanup_close_ int proc = -EBADF;
        char dir[PID_PATH_MAX];
        Fds f = {};
        unsigned pid;
        int r;

        if (parse_uint(name, INT32_MAX, &pid) < 0)
                return 0;
        (void) snprintf(dir, sizeof(dir), "%s/fd", name);
        r = scan_fds(s, all, dir, &f);
        if (r >= 0 && f.n == 0)
                r = scan_threads(s, all, name, &f);
        if (r >= 0 && !f.name)
                r = scan_maps(s, all, name, &f.name);
        if (r == -ENOMEM)
                return r;
        if (openfile_is_gone(r) || (r >= 0 && !f.name))
                return 0;
        proc = RET_NERRNO(openat(all, name, O_PATH | O_DIRECTORY | O_CLOEXEC));
        if (openfile_is_gone(proc))
                return 0;
        return add_holder(s, (pid_t) pid, proc, r < 0 ? "open files that cannot be read" : f.name);
}

static int compare_holders(const void *a, const void *b) {
        return ((const Holder *) a)->pid - ((const Holder *) b)->pid;
}

static int scan_processes(Scan *s) {
        _cleanup_closedir_ DIR *d = NULL;
        struct dirent *e;
        int fd, r;

        fd = fs_open(s->root, "/proc", O_RDONLY | O_DIRECTORY, 0);
        if (fd < 0)
                return fd == -ENOENT ? 0 : fd;
        d = fdopendir(fd);
        if (!d) {
                (void) safe_close(fd);
                return -ENOMEM;
        }
        while ((errno = 0, e = readdir(d))) {
                r = scan_process(s, dirfd(d), e->d_name);
                if (r < 0)
                        return r;
        }
        if (errno != 0)
                return -errno;
        if (s->found.n > 1)
                qsort(s->found.list, s->found.n, sizeof(Holder), compare_holders);
        return 0;
}

static int scan_kernel(Scan *s, const PciDevice *d) {
        _cleanup_strv_ char **users = NULL;
        int r;

        r = console_is_on(s->root, d);
        if (r > 0)
                r = add_holder(s, 0, -EBADF, "the text console is drawn by it");
        if (r >= 0)
                r = below_users(s->root, d, &users);
        STRV_FOREACH(user, users) {
                if (r >= 0)
                        r = add_holder(s, 0, -EBADF, *user);
        }
        return r;
}

int holders_scan(int root, const PciDevice *const *devices, size_t n, Holders *ret) {
        _cleanup_(scan_done) Scan s = { .root = root };
        int r;

        r = nodes_of(root, devices, n, &s.nodes);
        for (size_t i = 0; i < n && r >= 0; i++)
                r = scan_kernel(&s, devices[i]);
        /* Nothing that could be open: half of all hand-overs, and the boot path. */
        if (r >= 0 && (s.nodes.n > 0 || s.nodes.any_nvidia || s.nodes.any_vfio))
                r = scan_processes(&s);
        if (r < 0)
                return r;
        *ret = s.found;
        s.found = (Holders){};
        return 0;
}

int holders_describe(const Holders *h, char **ret) {
        _cleanup_strv_ char **l = NULL;
        int r = 0;

        for (size_t i = 0; i < h->n && i < DESCRIBE_MAX && r >= 0; i++) {
                const Holder *o = &h->list[i];

                if (o->pid == 0)
                        r = strv_extend(&l, o->what);
                else
                        r = strv_extendf(&l, "%s (pid %d, uid %u%s%s) has %s%s", strna(o->comm), (int) o->pid,
                                         (unsigned) o->uid, o->unit ? ", " : "", strempty(o->unit), o->what,
                                         startswith(o->what, "open ") ? "" : " open");
        }
        if (r >= 0 && h->n > DESCRIBE_MAX)
                r = strv_extendf(&l, "and %zu more", h->n - DESCRIBE_MAX);
        if (r < 0)
                return r;
        *ret = strv_join(l, "; ");
        return *ret ? 0 : -ENOMEM;
}
