/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <sys/wait.h>

#include "busy.h"
#include "strv.h"
#include "tests/tree.h"

#define WORDS(s) s, sizeof(s)

TEST(tells_a_machine_from_a_question) {
        ASSERT(busy_is_vm("qemu-system-x86",
                          WORDS("/usr/bin/qemu-system-x86_64\0-machine\0pc-q35-7.2,accel=kvm")));
        ASSERT(busy_is_vm("kvm", WORDS("kvm\0-m\0002G")));
        ASSERT(!busy_is_vm(
                        "qemu-system-x86",
                        WORDS("/usr/bin/qemu-system-x86_64\0-S\0-machine\0none,accel=kvm:tcg\0-daemonize")));
        ASSERT(!busy_is_vm("qemu-system-x86", WORDS("qemu-system-x86_64\0-M\0none")));
        ASSERT(busy_is_vm("qemu-system-x86", WORDS("qemu-system-x86_64\0-name\0none")));
        ASSERT(!busy_is_vm("kvm-pit/1234", "", 0));
        ASSERT(!busy_is_vm("bash", WORDS("bash\0-c\0qemu-system-x86_64")));
        /* The words end where the size says, even without a NUL there. */
        ASSERT(busy_is_vm("qemu-system-x86", "qemu\0-machine", 13));
}

static void look(Busy *b, size_t want) {
        busy_done(b);
        ASSERT_EQ(busy_look(tree_root, b), 0);
        ASSERT_EQ(strv_length(b->reasons), want);
}

TEST(sees_running_machines) {
        _cleanup_(busy_done) Busy b = {};
        int root = tree_new();

        tree_put("/proc/1/comm", "systemd\n");
        tree_put("/proc/1/cmdline", "/sbin/init");
        tree_put("/proc/42/comm", "qemu-system-x86\n");
        look(&b, 0); /* gone between the two reads */
        ASSERT_EQ(fs_write_atomic(root, "/proc/42/cmdline", "qemu\0-m\0002G", 11, 0644), 0);
        look(&b, 1);
        ASSERT(!b.transient);
        ASSERT_STREQ(b.reasons[0], "a virtual machine is running (qemu-system-x86, process 42)");
}

TEST(sees_packages_left_half_way) {
        _cleanup_(busy_done) Busy b = {};
        int root = tree_new();

        ASSERT_EQ(fs_mkdir_p(root, "/proc", 0755), 0);
        tree_put("/var/lib/dpkg/status", "Package: a\nStatus: install ok installed\nVersion: 1\n\n");
        look(&b, 0);
        tree_put("/var/lib/dpkg/status", "Package: a\nStatus: install ok half-configured\nVersion: 1\n\n");
        look(&b, 1);
        ASSERT(!b.transient);
        ASSERT(strstr(b.reasons[0], "package a "));
}

TEST(waits_for_a_lock) {
        struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
        _cleanup_(busy_done) Busy b = {};
        int root = tree_new(), to[2], from[2];
        pid_t pid;
        char c = 0;

        ASSERT_EQ(fs_mkdir_p(root, "/proc", 0755), 0);
        tree_put("/var/lib/dpkg/status", "Package: a\nStatus: install ok half-configured\nVersion: 1\n\n");
        tree_put("/var/lib/dpkg/lock-frontend", "");
        ASSERT(pipe(to) == 0 && pipe(from) == 0);
        pid = fork();
        if (pid == 0) {
                int fd = fs_open(root, "/var/lib/dpkg/lock-frontend", O_RDWR, 0);

                if (fd < 0 || fcntl(fd, F_SETLK, &l) < 0 || write(from[1], &c, 1) != 1)
                        _exit(1);
                (void) close(to[1]);
                (void) !read(to[0], &c, 1);
                _exit(0);
        }
        ASSERT_EQ(read(from[0], &c, 1), 1);
        look(&b, 1); /* half-configured is what a dpkg at work looks like: only the lock is told */
        ASSERT(b.transient);
        (void) close(to[1]);
        ASSERT(waitpid(pid, NULL, 0) == pid);
        look(&b, 1);
        ASSERT(!b.transient);
}
