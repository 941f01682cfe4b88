/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <sys/sysmacros.h>

#include "fs.h"
#include "openfile.h"
#include "procfiles.h"
#include "strv.h"

#define VFIO_ANONYMOUS "anon_inode:[vfio-device]"

enum {
        FLAGS_BEHIND_NAME = 7,   /* blanks behind the name in proc_pid_stat(5) */
        PF_KTHREAD = 0x00200000, /* include/linux/sched.h */
        TEXT_STEP = 64 * 1024,
        PID_PATH_MAX = 2 * 256 + sizeof("/proc//map_files/"), /* NAME_MAX twice */
};

void procfiles_done(ProcFiles *s) {
        free(s->text);
        *s = (ProcFiles){};
}

/* What was found in an fd directory. */
typedef struct Fds {
        size_t n;         /* open files */
        const char *name; /* of the node that is open (borrowed), or NULL */
        bool hidden;      /* one cannot be looked at */
        bool anonymous;   /* one is a VFIO device */
        bool group;       /* one is a VFIO group, but not ours */
} Fds;

static void look_at_fd(const ProcFiles *s, int dir, const char *name, Fds *f) {
        struct stat st;
        int r;

        f->n++;
        r = openfile_look_at(dir, name, &st);
        if (r < 0) {
                f->hidden = f->hidden ||
                                (openfile_is_forbidden(r) && !openfile_is_without_devices(dir, name));
                return;
        }
        f->name = nodes_match(s->nodes, &st);
        if (f->name || !s->nodes->any_vfio)
                return;
        if (S_ISCHR(st.st_mode) && s->nodes->vfio_major != 0 && major(st.st_rdev) == s->nodes->vfio_major)
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
static int scan_fds(const ProcFiles *s, int all, const char *path, Fds *f) {
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
static int read_whole(ProcFiles *s, int dir, const char *name) {
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
static int scan_maps(ProcFiles *s, int all, const char *pid, const char **ret) {
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
                *ret = r < 0 ? NULL : nodes_match(s->nodes, &st);
                if (*ret)
                        return 0;
        }
        return hidden ? -EACCES : 0;
}

/* The files of a process whose first thread has ended are those of the others. */
static int scan_threads(const ProcFiles *s, int all, const char *pid, Fds *f) {
        _cleanup_strv_ char **tasks = NULL;
        _cleanup_close_ int fd = -EBADF;
        char dir[PID_PATH_MAX];
        int r;

        (void) snprintf(dir, sizeof(dir), "%s/task", pid);
        fd = RET_NERRNO(openat(all, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        r = fd < 0 ? fd : fs_list_fd(fd, &tasks);
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

/* Half of all processes of a machine have nothing to look at: kernel threads, which run no program. Nor does
 * one that is ending, and its files go after its memory (do_exit() in kernel/exit.c), which takes seconds
 * where that is large: so the kernel's own mark counts, the flags of proc_pid_stat(5). */
static bool is_kernel_thread(int all, const char *pid) {
        char path[PID_PATH_MAX], text[512], *at, target;
        _cleanup_close_ int fd = -EBADF;
        ssize_t n;

        (void) snprintf(path, sizeof(path), "%s/exe", pid);
        if (readlinkat(all, path, &target, sizeof(target)) >= 0 || errno != ENOENT)
                return false;
        (void) snprintf(path, sizeof(path), "%s/stat", pid);
        fd = openat(all, path, O_RDONLY | O_CLOEXEC);
        n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
        if (n <= 0)
                return false;
        text[n] = '\0';
        /* The name before it may have brackets and blanks in it. */
        at = strrchr(text, ')');
        for (unsigned i = 0; at && i < FLAGS_BEHIND_NAME; i++)
                at = strchr(at + 1, ' ');
        return at && strtoul(at + 1, NULL, 10) & PF_KTHREAD;
}

int procfiles_find(ProcFiles *s, int all, const char *pid, const char **ret) {
        char dir[PID_PATH_MAX];
        Fds f = {};
        int r;

        if (is_kernel_thread(all, pid))
                return 0;
        (void) snprintf(dir, sizeof(dir), "%s/fd", pid);
        r = scan_fds(s, all, dir, &f);
        if (r >= 0 && f.n == 0)
                r = scan_threads(s, all, pid, &f);
        if (r >= 0 && !f.name)
                r = scan_maps(s, all, pid, &f.name);
        if (r < 0)
                return openfile_is_gone(r) ? 0 : r;
        *ret = f.name;
        return f.name ? 1 : 0;
}
