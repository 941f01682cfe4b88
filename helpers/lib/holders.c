/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <sys/sysmacros.h>

#include "fs.h"
#include "holders.h"
#include "nodes.h"
#include "parse.h"
#include "strv.h"

#define VFIO_ANONYMOUS "anon_inode:[vfio-device]"

enum { DESCRIBE_MAX = 8 };

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

static bool is_gone(int r) {
        return r == -ENOENT || r == -ESRCH || r == -ENOTDIR;
}

static bool is_forbidden(int error) {
        return error == EACCES || error == EPERM;
}

/* Looks through one fd directory. Returns the name of the node that is open (borrowed), NULL in ret for none;
 * ret_n: how many files are open. -EACCES if one of them cannot be looked at and no other is a node. */
static int scan_fds(const Scan *s, int proc, const char *dir, const char **ret, size_t *ret_n) {
        _cleanup_closedir_ DIR *d = NULL;
        bool anonymous = false, group = false, hidden = false;
        struct dirent *e;
        size_t n = 0;
        int fd;

        fd = RET_NERRNO(openat(proc, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (fd < 0)
                return fd;
        d = fdopendir(fd);
        if (!d) {
                (void) safe_close(fd);
                return -ENOMEM;
        }
        while ((errno = 0, e = readdir(d))) {
                const char *name;
                struct stat st;

                if (e->d_name[0] == '.')
                        continue;
                n++;
                if (fstatat(dirfd(d), e->d_name, &st, 0) < 0) {
                        hidden = hidden || is_forbidden(errno);
                        continue;
                }
                name = nodes_match(&s->nodes, &st);
                if (name) {
                        *ret = name;
                        *ret_n = n;
                        return 0;
                }
                if (!s->nodes.any_vfio)
                        continue;
                group = group ||
                                (S_ISCHR(st.st_mode) && s->nodes.vfio_major != 0 &&
                                 major(st.st_rdev) == s->nodes.vfio_major);
                if ((st.st_mode & S_IFMT) == 0) {
                        char target[sizeof(VFIO_ANONYMOUS) + 1];
                        ssize_t k = readlinkat(dirfd(d), e->d_name, target, sizeof(target));

                        anonymous = anonymous ||
                                        (k == (ssize_t) strlen(VFIO_ANONYMOUS) &&
                                         memcmp(target, VFIO_ANONYMOUS, (size_t) k) == 0);
                }
        }
        if (errno != 0)
                return -errno;
        if (hidden)
                return -EACCES;
        /* The device's own descriptor names no group. One who has kept it and closed the group may have ours.
         */
        *ret = anonymous && !group ? "a VFIO device" : NULL;
        *ret_n = n;
        return 0;
}

/* A mapping outlives the descriptor that it was made from. Only character devices interest, and those are
 * mapped from below /dev or shared; what lies behind is asked of the kernel, not of the path. */
static int scan_maps(const Scan *s, int proc, const char **ret) {
        _cleanup_free_ char *text = NULL;
        bool hidden = false;
        int r;

        r = fs_read_at(proc, "maps", FS_FILE_MAX, &text);
        if (r < 0)
                return r;
        for (char *line = text, *next; *line; line = next) {
                char *end = line + strcspn(line, "\n"), *range, *path;
                _cleanup_free_ char *file = NULL;
                const char *name;
                struct stat st;

                next = *end ? end + 1 : end;
                *end = '\0';
                range = strchr(line, ' ');
                path = strchr(line, '/');
                if (!range || !path || (range[4] != 's' && !startswith(path, "/dev/")))
                        continue;
                *range = '\0';
                if (str_printf(&file, "map_files/%s", line) < 0)
                        return -ENOMEM;
                if (fstatat(proc, file, &st, 0) < 0) {
                        /* Not for us to follow (no CAP_SYS_ADMIN): by its path, as the process sees it. */
                        free(file);
                        file = NULL;
                        if (str_printf(&file, "root%s", path) < 0)
                                return -ENOMEM;
                        if (fstatat(proc, file, &st, 0) < 0) {
                                hidden = hidden || is_forbidden(errno);
                                continue;
                        }
                }
                name = nodes_match(&s->nodes, &st);
                if (name) {
                        *ret = name;
                        return 0;
                }
        }
        return hidden ? -EACCES : 0;
}

/* The files of a process whose first thread has ended are those of the others. */
static int scan_threads(const Scan *s, int proc, const char *path, const char **ret) {
        _cleanup_strv_ char **tasks = NULL;
        _cleanup_free_ char *list = NULL;
        int r;

        if (str_printf(&list, "%s/task", path) < 0)
                return -ENOMEM;
        r = fs_list(s->root, list, &tasks);
        if (r < 0 || strv_length(tasks) < 2)
                return r;
        STRV_FOREACH(t, tasks) {
                _cleanup_free_ char *dir = NULL;
                size_t n;

                if (str_printf(&dir, "task/%s/fd", *t) < 0)
                        return -ENOMEM;
                r = scan_fds(s, proc, dir, ret, &n);
                if (r < 0 && !is_gone(r))
                        return r;
                if (*ret)
                        return 0;
        }
        return 0;
}

static int scan_process(Scan *s, const char *name) {
        _cleanup_free_ char *path = NULL;
        _cleanup_close_ int proc = -EBADF;
        const char *what = NULL;
        size_t n_files = 0;
        unsigned pid;
        int r;

        if (parse_uint(name, INT32_MAX, &pid) < 0)
                return 0;
        if (str_printf(&path, "/proc/%s", name) < 0)
                return -ENOMEM;
        proc = fs_open(s->root, path, O_PATH | O_DIRECTORY, 0);
        if (proc < 0)
                return is_gone(proc) ? 0 : proc;
        r = scan_fds(s, proc, "fd", &what, &n_files);
        if (r >= 0 && !what && n_files == 0)
                r = scan_threads(s, proc, path, &what);
        if (r >= 0 && !what)
                r = scan_maps(s, proc, &what);
        if (r == -ENOMEM)
                return r;
        if (is_gone(r))
                return 0;
        if (r < 0)
                what = "open files that cannot be read";
        return what ? add_holder(s, (pid_t) pid, proc, what) : 0;
}

static int scan_processes(Scan *s) {
        _cleanup_strv_ char **names = NULL;
        int r;

        r = fs_list(s->root, "/proc", &names);
        if (r < 0)
                return r == -ENOENT ? 0 : r;
        STRV_FOREACH(name, names) {
                r = scan_process(s, *name);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Returns 1 if a text console is drawn on a frame buffer. */
static int console_on_framebuffer(int root) {
        _cleanup_strv_ char **names = NULL;
        int r;

        r = fs_list(root, "/sys/class/vtconsole", &names);
        if (r < 0)
                return r == -ENOENT ? 0 : r;
        STRV_FOREACH(name, names) {
                _cleanup_free_ char *name_path = NULL, *bind_path = NULL, *text = NULL;
                uint64_t bound = 0;

                if (str_printf(&name_path, "/sys/class/vtconsole/%s/name", *name) < 0 ||
                    str_printf(&bind_path, "/sys/class/vtconsole/%s/bind", *name) < 0)
                        return -ENOMEM;
                if (fs_read_line(root, name_path, &text) >= 0 && strstr(text, "frame buffer") &&
                    fs_read_u64(root, bind_path, &bound) >= 0 && bound == 1)
                        return 1;
        }
        return 0;
}

/* Returns 1 if one of the kernel's drivers for the firmware's frame buffer is at work. */
static int firmware_framebuffer(int root) {
        static const char *const drivers[] = { "efi-framebuffer", "simple-framebuffer", "vesa-framebuffer" };

        for (size_t i = 0; i < ELEMENTSOF(drivers); i++) {
                _cleanup_free_ char *path = NULL;
                int r;

                if (str_printf(&path, "/sys/bus/platform/drivers/%s/%s.0", drivers[i], drivers[i]) < 0)
                        return -ENOMEM;
                r = fs_exists(root, path);
                if (r != 0)
                        return r;
        }
        return 0;
}

/* The text console is no process and has nothing open. It is drawn by the GPU that the firmware started with,
 * as long as no driver took that over, or by the first frame buffer. */
static int scan_console(Scan *s, const PciDevice *d) {
        _cleanup_free_ char *fb0 = NULL;
        int r;

        if (!pci_is_display(d) || (d->driver && nodes_is_vfio_driver(d->driver)))
                return 0;
        r = console_on_framebuffer(s->root);
        if (r <= 0)
                return r;
        if (str_printf(&fb0, "/sys/bus/pci/devices/%s/graphics/fb0", d->name) < 0)
                return -ENOMEM;
        r = fs_exists(s->root, fb0);
        if (r == 0 && d->boot_vga && !d->driver)
                r = firmware_framebuffer(s->root);
        if (r <= 0)
                return r;
        return add_holder(s, 0, -EBADF, "the text console");
}

int holders_scan(int root, const PciDevice *const *devices, size_t n, Holders *ret) {
        _cleanup_(scan_done) Scan s = { .root = root };
        int r;

        r = nodes_of(root, devices, n, &s.nodes);
        for (size_t i = 0; i < n && r >= 0; i++)
                r = scan_console(&s, devices[i]);
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
                        r = strv_extendf(&l, "%s is drawn by it", o->what);
                else
                        r = strv_extendf(&l, "%s (pid %d, uid %u%s%s) has %s open", strna(o->comm),
                                         (int) o->pid, (unsigned) o->uid, o->unit ? ", " : "",
                                         strempty(o->unit), o->what);
        }
        if (r >= 0 && h->n > DESCRIBE_MAX)
                r = strv_extendf(&l, "and %zu more", h->n - DESCRIBE_MAX);
        if (r < 0)
                return r;
        *ret = strv_join(l, "; ");
        return *ret ? 0 : -ENOMEM;
}
