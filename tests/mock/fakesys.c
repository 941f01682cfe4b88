/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* fakesys: an LD_PRELOAD library that makes a directory tree behave as the PCI bus in sysfs does when it is
 * written to: driver_override, d3cold_allowed, bind, unbind, drivers_probe, reset, remove, rescan. Errors,
 * hangs and kills on demand.
 *
 *   FAKESYS_ROOT=DIR        the tree; nothing outside is touched or counted
 *   FAKESYS_LOG=FILE        gets a line for each change that was let through
 *   FAKESYS_KILL_AT=N       SIGKILL to the whole program before its N-th change (from 1): sysfs writes, file
 *                           writes, renames and unlinks below DIR count, in the program and its children
 *   FAKESYS_TERM_AT=N       SIGTERM to the program before its N-th change
 *   FAKESYS_FAIL_AT=N:E     the N-th write to sysfs fails with errno E
 *   FAKESYS_HANG=TAIL       a write to a sysfs path that ends in TAIL, a read of a path below DIR that
 * does, or an open of one in /dev/vfio, never returns; one to unbind leaves the driver on its way out: its
 * links are gone, uevent names it; one to drivers_probe has made the links, as they are while a driver's
 * probe() runs FAKESYS_SLOW=MS:TAIL    a write to a sysfs path that ends in TAIL takes that long, and is made
 * also if the writer is killed meanwhile FAKESYS_EAGER=1         what was unbound is probed at once, as when
 * a driver is loaded meanwhile FAKESYS_BUSY=N:TAIL     the first N times that a path ending in TAIL is opened
 * below DIR, somebody else has it
 *
 * In the tree, devices/ADDRESS/fake_drivers names the drivers that claim the function by its ids, best first;
 * drivers/NAME/fake_refuses makes a driver's probe fail. A driver whose directory is missing is not loaded.
 * A function has the config space devices/ADDRESS/fake_config after its reset, if there is such a file, and
 * after it was removed and a rescan has found it: that finds all that was removed, unless there is a file
 * /fake_gone. */

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define BUS "/sys/bus/pci/"

typedef struct Shared {
        pid_t program; /* whose children the others are */
        long changes, sysfs_writes, busy;
} Shared;

static struct {
        ssize_t (*write)(int, const void *, size_t);
        ssize_t (*read)(int, void *, size_t);
        ssize_t (*pread)(int, void *, size_t, off_t);
        int (*renameat)(int, const char *, int, const char *);
        int (*unlinkat)(int, const char *, int);
        long (*syscall)(long, ...);
} real;
static const char *root;
static Shared *shared;

__attribute__((constructor)) static void setup(void) {
        real.write = dlsym(RTLD_NEXT, "write");
        real.read = dlsym(RTLD_NEXT, "read");
        real.pread = dlsym(RTLD_NEXT, "pread");
        real.renameat = dlsym(RTLD_NEXT, "renameat");
        real.unlinkat = dlsym(RTLD_NEXT, "unlinkat");
        real.syscall = dlsym(RTLD_NEXT, "syscall");
        root = getenv("FAKESYS_ROOT");
        shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (shared == MAP_FAILED)
                abort();
        shared->program = getpid();
}

static long number(const char *name) {
        const char *s = getenv(name);

        return s ? strtol(s, NULL, 10) : 0;
}

/* The path below the root that the descriptor stands for, or NULL. */
static const char *below_root(int fd, char buf[static PATH_MAX]) {
        char link[64];
        ssize_t n;

        if (!root)
                return NULL;
        (void) snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        n = readlink(link, buf, PATH_MAX - 1);
        if (n < 0)
                return NULL;
        buf[n] = '\0';
        return strncmp(buf, root, strlen(root)) == 0 && buf[strlen(root)] == '/' ? buf + strlen(root) : NULL;
}

static void note(const char *what, const char *path, const char *value) {
        const char *log = getenv("FAKESYS_LOG");
        int fd = log ? open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644) : -1;
        char line[PATH_MAX + 256];
        int n = snprintf(line, sizeof(line), "%s %s %s\n", what, path, value);

        if (fd >= 0 && real.write(fd, line, (size_t) n) != n)
                abort();
        if (fd >= 0)
                (void) close(fd);
}

/* A change is about to be made; the power may go now. */
static void change(void) {
        long n = __atomic_add_fetch(&shared->changes, 1, __ATOMIC_SEQ_CST);

        if (n == number("FAKESYS_TERM_AT"))
                (void) kill(shared->program, SIGTERM);
        if (n != number("FAKESYS_KILL_AT"))
                return;
        if (getpid() != shared->program)
                (void) kill(shared->program, SIGKILL);
        (void) kill(getpid(), SIGKILL);
}

__attribute__((format(printf, 2, 3))) static char *path_of(char buf[static PATH_MAX], const char *format,
                                                           ...) {
        int n = snprintf(buf, PATH_MAX, "%s" BUS, root);
        va_list ap;

        va_start(ap, format);
        (void) vsnprintf(buf + n, (size_t) (PATH_MAX - n), format, ap);
        va_end(ap);
        return buf;
}

/* A link may well lead nowhere: what it says counts from the tree's root. */
static bool there(const char *path) {
        return faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void first_line(const char *path, char *buf, size_t size) {
        FILE *f = fopen(path, "re");

        if (!f || !fgets(buf, (int) size, f))
                *buf = '\0';
        buf[strcspn(buf, "\n")] = '\0';
        if (f)
                (void) fclose(f);
}

/* The override as the kernel has it: "" for none. */
static void get_override(const char *device, char *buf, size_t size) {
        char path[PATH_MAX];

        first_line(path_of(path, "devices/%s/driver_override", device), buf, size);
        if (strcmp(buf, "(null)") == 0)
                *buf = '\0';
}

static bool claims(const char *driver, const char *device) {
        char path[PATH_MAX], override[128], ids[256], *state = NULL;

        get_override(device, override, sizeof(override));
        if (*override)
                return strcmp(override, driver) == 0;
        first_line(path_of(path, "devices/%s/fake_drivers", device), ids, sizeof(ids));
        for (char *d = strtok_r(ids, " ", &state); d; d = strtok_r(NULL, " ", &state))
                if (strcmp(d, driver) == 0)
                        return true;
        return false;
}

static void hang(void) {
        for (;;)
                (void) pause();
}

/* The driver that uevent names, as dev_uevent() in the kernel does; "" for none. */
static void get_driver(const char *device, char *buf, size_t size) {
        char path[PATH_MAX], line[256];

        first_line(path_of(path, "devices/%s/uevent", device), line, sizeof(line));
        (void) snprintf(buf, size, "%s", strncmp(line, "DRIVER=", 7) == 0 ? line + 7 : "");
}

static void set_driver(const char *device, const char *driver) {
        char path[PATH_MAX];
        FILE *f = fopen(path_of(path, "devices/%s/uevent", device), "we");

        if (!f || (driver && fprintf(f, "DRIVER=%s\n", driver) < 0) || fputs("PCI_CLASS=30000\n", f) < 0 ||
            fclose(f) != 0)
                abort();
}

/* True while the driver that it had is on its way out, with the device locked. */
static bool is_leaving(const char *device) {
        char path[PATH_MAX], driver[128];

        get_driver(device, driver, sizeof(driver));
        return *driver && !there(path_of(path, "devices/%s/driver", device));
}

static int bind_to(const char *driver, const char *device) {
        char path[PATH_MAX], target[PATH_MAX];

        if (is_leaving(device))
                hang();
        if (there(path_of(path, "devices/%s/driver", device)))
                return -EBUSY;
        if (!there(path_of(path, "drivers/%s", driver)) ||
            there(path_of(path, "drivers/%s/fake_refuses", driver)) || !claims(driver, device))
                return -ENODEV;
        (void) snprintf(target, sizeof(target), BUS "drivers/%s", driver);
        if (symlink(target, path_of(path, "devices/%s/driver", device)) < 0)
                return -errno;
        (void) snprintf(target, sizeof(target), BUS "devices/%s", device);
        set_driver(device, driver);
        return symlink(target, path_of(path, "drivers/%s/%s", driver, device)) < 0 ? -errno : 0;
}

/* As bus_rescan_devices_helper(): no driver taking the device is no error, nor is one that is on its way out.
 */
static int probe(const char *device) {
        char path[PATH_MAX], candidates[256], *state = NULL;

        if (!there(path_of(path, "devices/%s", device)))
                return -EINVAL;
        if (there(path_of(path, "devices/%s/driver", device)) || is_leaving(device))
                return 0;
        get_override(device, candidates, sizeof(candidates));
        if (!*candidates)
                first_line(path_of(path, "devices/%s/fake_drivers", device), candidates, sizeof(candidates));
        for (char *d = strtok_r(candidates, " ", &state); d; d = strtok_r(NULL, " ", &state))
                if (bind_to(d, device) == 0)
                        break;
        return 0;
}

static int unbind_from(const char *driver, const char *device, bool hangs) {
        char path[PATH_MAX];

        if (real.unlinkat(AT_FDCWD, path_of(path, "drivers/%s/%s", driver, device), 0) < 0)
                return -ENODEV;
        if (real.unlinkat(AT_FDCWD, path_of(path, "devices/%s/driver", device), 0) < 0)
                return -errno;
        set_driver(device, hangs ? driver : NULL);
        if (hangs)
                hang();
        return getenv("FAKESYS_EAGER") ? probe(device) : 0;
}

static int set_override(int fd, const char *value) {
        const char *text = *value ? value : "(null)";

        if (ftruncate(fd, 0) < 0 || lseek(fd, 0, SEEK_SET) < 0 || real.write(fd, text, strlen(text)) < 0 ||
            real.write(fd, "\n", 1) < 0)
                return -errno;
        return 0;
}

/* What its configuration reads as from now on. */
static int renew_config(const char *device) {
        char from[PATH_MAX], to[PATH_MAX], data[64];
        FILE *f = fopen(path_of(from, "devices/%s/fake_config", device), "re");
        size_t n;

        if (!f)
                return 0;
        n = fread(data, 1, sizeof(data), f);
        (void) fclose(f);
        f = fopen(path_of(to, "devices/%s/config", device), "we");
        if (!f || fwrite(data, 1, n, f) != n || fclose(f) != 0)
                abort();
        return 0;
}

static int remove_device(const char *device) {
        char from[PATH_MAX], to[PATH_MAX];

        (void) snprintf(to, sizeof(to), "%s/fake_removed", root);
        (void) mkdir(to, 0755);
        (void) snprintf(to, sizeof(to), "%s/fake_removed/%s", root, device);
        return rename(path_of(from, "devices/%s", device), to) < 0 ? -errno : 0;
}

static int rescan(void) {
        char path[PATH_MAX], from[PATH_MAX * 2], to[PATH_MAX];
        struct dirent *e;
        DIR *d;

        (void) snprintf(path, sizeof(path), "%s/fake_gone", root);
        if (there(path))
                return 0;
        (void) snprintf(path, sizeof(path), "%s/fake_removed", root);
        d = opendir(path);
        while (d && (e = readdir(d)))
                if (*e->d_name != '.') {
                        (void) snprintf(from, sizeof(from), "%s/%s", path, e->d_name);
                        if (rename(from, path_of(to, "devices/%s", e->d_name)) < 0)
                                abort();
                        (void) renew_config(e->d_name);
                }
        if (d)
                (void) closedir(d);
        return 0;
}

/* What a device is told to do: its name is before the last slash. */
static int handle_device(const char *path, const char *value) {
        char device[128];

        if (strcmp(value, "1") != 0 || sscanf(path, "devices/%127[^/]/", device) != 1)
                return -EINVAL;
        if (strcmp(strrchr(path, '/'), "/reset") == 0)
                return renew_config(device);
        return strcmp(strrchr(path, '/'), "/remove") == 0 ? remove_device(device) : rescan();
}

static bool ends_in(const char *path, const char *tail) {
        return strlen(path) >= strlen(tail) && strcmp(path + strlen(path) - strlen(tail), tail) == 0;
}

static bool hangs_at(const char *path) {
        const char *tail = getenv("FAKESYS_HANG");

        return tail && ends_in(path, tail);
}

/* What the kernel does with it; path is relative to the bus. */
static int handle(int fd, const char *path, const char *value) {
        char driver[128];
        const char *tail;

        if (strcmp(path, "drivers_probe") == 0) {
                int r = probe(value);

                if (hangs_at(path))
                        hang();
                return r;
        }
        if (sscanf(path, "drivers/%127[^/]", driver) == 1) {
                tail = path + strlen("drivers/") + strlen(driver);
                if (strcmp(tail, "/unbind") == 0)
                        return unbind_from(driver, value, hangs_at(path));
                if (strcmp(tail, "/bind") == 0)
                        return bind_to(driver, value);
        }
        tail = strrchr(path, '/');
        if (tail && strcmp(tail, "/driver_override") == 0)
                return set_override(fd, value);
        if (tail && strcmp(tail, "/d3cold_allowed") == 0 && strlen(value) == 1 && strspn(value, "01") == 1)
                return set_override(fd, value);
        if (tail &&
            (strcmp(tail, "/reset") == 0 || strcmp(tail, "/remove") == 0 || strcmp(tail, "/rescan") == 0))
                return handle_device(path, value);
        return -EACCES; /* nothing else is ever written by us */
}

/* The kernel is at work on its own: a process that nobody kills. */
static int handle_slowly(int fd, const char *path, const char *value) {
        const char *slow = getenv("FAKESYS_SLOW"), *tail = slow ? strchr(slow, ':') : NULL;
        int status;
        pid_t pid;

        if (!tail || !ends_in(path, tail + 1))
                return handle(fd, path, value);
        pid = fork();
        if (pid == 0) {
                (void) usleep((useconds_t) (strtol(slow, NULL, 10) * 1000));
                _exit(-handle(fd, path, value));
        }
        if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
                abort();
        return -WEXITSTATUS(status);
}

static ssize_t write_sysfs(int fd, const char *path, const void *data, size_t size) {
        const char *fail = getenv("FAKESYS_FAIL_AT"), *last = strrchr(path, '/');
        char value[256];
        long at = 0;
        int error = 0, r;

        if (size == 0)
                return 0;
        (void) snprintf(value, sizeof(value), "%.*s", (int) size, (const char *) data);
        value[strcspn(value, "\n")] = '\0';
        if (hangs_at(path) && strcmp(path, "drivers_probe") != 0 && !(last && strcmp(last, "/unbind") == 0))
                hang();
        if (fail && sscanf(fail, "%ld:%d", &at, &error) == 2 &&
            __atomic_add_fetch(&shared->sysfs_writes, 1, __ATOMIC_SEQ_CST) == at) {
                errno = error;
                return -1;
        }
        note("write", path, value);
        r = handle_slowly(fd, path, value);
        if (r < 0) {
                errno = -r;
                return -1;
        }
        return (ssize_t) size;
}

/* In a recorded tree a device is reached by its link below the bus or by where that leads. */
static const char *bus_path(const char *path, char buf[static PATH_MAX]) {
        const char *last, *before;

        if (strncmp(path, BUS, strlen(BUS)) == 0)
                return path + strlen(BUS);
        if (strncmp(path, "/sys/devices/", strlen("/sys/devices/")) != 0)
                return NULL;
        last = strrchr(path, '/');
        before = last;
        while (before > path && before[-1] != '/')
                before--;
        (void) snprintf(buf, PATH_MAX, "devices/%s", before);
        return buf;
}

/* For one who counts system calls: what lies between an open and a close parenthesis is the kernel's. */
static void kernel(const char *mark) {
        int saved = errno;

        (void) real.write(-1, mark, 1);
        errno = saved;
}

__attribute__((visibility("default"))) ssize_t write(int fd, const void *data, size_t size) {
        char buf[PATH_MAX], other[PATH_MAX];
        const char *path, *bus = NULL;
        ssize_t n = -1;

        kernel("(");
        path = below_root(fd, buf);
        if (path) {
                change();
                bus = bus_path(path, other);
        }
        if (bus)
                n = write_sysfs(fd, bus, data, size);
        kernel(")");
        return bus ? n : real.write(fd, data, size);
}

static void hang_if_read(int fd) {
        char buf[PATH_MAX];
        const char *path = getenv("FAKESYS_HANG") ? below_root(fd, buf) : NULL;

        if (path && hangs_at(path))
                hang();
}

__attribute__((visibility("default"))) ssize_t read(int fd, void *data, size_t size) {
        hang_if_read(fd);
        return real.read(fd, data, size);
}

__attribute__((visibility("default"))) ssize_t pread(int fd, void *data, size_t size, off_t offset) {
        hang_if_read(fd);
        return real.pread(fd, data, size, offset);
}

static bool is_busy(int dir, const char *path, const struct open_how *how) {
        const char *busy = getenv("FAKESYS_BUSY"), *tail = busy ? strchr(busy, ':') : NULL;
        char buf[PATH_MAX];

        /* To look at a node is not to open it. The tree itself has no name in it. */
        if (how->flags & O_PATH)
                return false;
        if (strncmp(path, "dev/vfio/", strlen("dev/vfio/")) == 0 && hangs_at(path))
                hang();
        if (!tail || !root || !ends_in(path, tail + 1) || (!below_root(dir, buf) && strcmp(buf, root) != 0))
                return false;
        return __atomic_add_fetch(&shared->busy, 1, __ATOMIC_SEQ_CST) <= strtol(busy, NULL, 10);
}

/* openat2(2) has no function of its own. */
__attribute__((visibility("default"))) long syscall(long call, ...) {
        long a[6];
        va_list ap;

        va_start(ap, call);
        for (size_t i = 0; i < 6; i++)
                a[i] = va_arg(ap, long);
        va_end(ap);
        if (call == SYS_openat2 && is_busy((int) a[0], (const char *) a[1], (const struct open_how *) a[2])) {
                errno = EBUSY;
                return -1;
        }
        return real.syscall(call, a[0], a[1], a[2], a[3], a[4], a[5]);
}

__attribute__((visibility("default"))) int renameat(int from_dir, const char *from, int to_dir,
                                                    const char *to) {
        char buf[PATH_MAX];
        const char *path = below_root(to_dir, buf);

        if (path) {
                change();
                note("rename", path, to);
        }
        return real.renameat(from_dir, from, to_dir, to);
}

__attribute__((visibility("default"))) int unlinkat(int dir, const char *name, int flags) {
        char buf[PATH_MAX];
        const char *path = dir == AT_FDCWD ? NULL : below_root(dir, buf);

        if (path) {
                change();
                note("unlink", path, name);
        }
        return real.unlinkat(dir, name, flags);
}
