/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <linux/filter.h>
#include <linux/fuse.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include "holders.h"
#include "nodes.h"
#include "tests/tree.h"

#define GPU   "/sys/bus/pci/devices/0000:01:00.0"
#define AUDIO "/sys/bus/pci/devices/0000:01:00.1"

static PciDevice gpu = { .name = "0000:01:00.0", .vendor = 0x10de, .class = 0x030000, .iommu_group = 12 };
static PciDevice audio = { .name = "0000:01:00.1", .vendor = 0x10de, .class = 0x040300, .iommu_group = 12 };
static const PciDevice *const both[] = { &gpu, &audio };

/* A process as /proc shows it. fd: the node that is open, or NULL. */
static void process(const char *pid, const char *fd) {
        char path[128];

        (void) snprintf(path, sizeof(path), "/proc/%s/comm", pid);
        tree_put(path, "X\033org\n");
        (void) snprintf(path, sizeof(path), "/proc/%s/maps", pid);
        tree_put(path,
                 "00400000-00452000 r-xp 00000000 08:02 173521 /usr/bin/dbus-daemon\n"
                 "7fff000-8fff000 rw-p 00000000 00:00 0 [stack]\n");
        (void) snprintf(path, sizeof(path), "/proc/%s/cgroup", pid);
        tree_put(path, "12:pids:/x.service\n0::/system.slice/gdm.service/sub\n");
        (void) snprintf(path, sizeof(path), "/proc/%s/fd/0", pid);
        tree_link(path, "/dev/null");
        (void) snprintf(path, sizeof(path), "/proc/%s/fd/7", pid);
        if (fd)
                tree_link(path, fd);
}

/* The GPU's card node is what /dev/zero is here: numbers count, names do not. */
static int machine(void) {
        int root = tree_new();

        gpu.driver = (char *) "nouveau";
        audio.driver = (char *) "snd_hda_intel";
        tree_put(GPU "/drm/card1/dev", "1:5\n");
        tree_put(AUDIO "/sound/card0/pcmC0D3p/dev", "1:7\n");
        return root;
}

/* Whoever runs the tests owns what is in the made-up /proc. */
static void tester_is(const char *name) {
        char line[64];

        (void) snprintf(line, sizeof(line), "%s:x:%u:0::/:/bin/sh\n", name, (unsigned) geteuid());
        tree_put("/etc/passwd", line);
}

TEST(finds_by_number) {
        _cleanup_(holders_done) Holders h = {};
        _cleanup_free_ char *text = NULL;
        int root = machine();

        tester_is("ada");
        process("812", "/dev/zero");
        process("813", "/dev/full");
        process("814", "/dev/null");
        ASSERT_EQ(holders_scan(root, both, 2, &h), 0);
        ASSERT_EQ(h.n, 2);
        ASSERT_EQ(h.list[0].pid, 812);
        ASSERT_STREQ(h.list[0].what, "drm/card1");
        ASSERT_STREQ(h.list[0].unit, "gdm.service");
        ASSERT_STREQ(h.list[0].comm, "X?org");
        ASSERT_STREQ(h.list[1].what, "snd/pcmC0D3p");
        ASSERT_EQ(holders_describe(&h, &text), 0);
        ASSERT(strstr(text, "X?org (pid 812, user ada, gdm.service) has drm/card1 open; "));
}

TEST(one_without_an_account_is_a_number) {
        _cleanup_(holders_done) Holders h = {};
        _cleanup_free_ char *text = NULL;
        char id[32];
        int root = machine();

        process("812", "/dev/zero");
        ASSERT_EQ(holders_scan(root, both, 2, &h), 0);
        ASSERT_EQ(h.n, 1);
        ASSERT(!h.list[0].user);
        ASSERT_EQ(holders_describe(&h, &text), 0);
        (void) snprintf(id, sizeof(id), "(pid 812, uid %u, gdm", (unsigned) geteuid());
        ASSERT(strstr(text, id));
}

/* RestrictSUIDSGID= of the unit is such a filter: it cannot look into the arguments of openat2(). */
static int forbid_openat2(void) {
        struct sock_filter code[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        struct sock_fprog program = { ELEMENTSOF(code), code };

        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return -errno;
        return RET_NERRNO(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
}

TEST(in_the_units_sandbox_files_can_be_read) {
        PciDevice d = { .name = "ffff:ff:1f.7", .vendor = 0x10de, .class = 0x030000, .iommu_group = -1 };
        const PciDevice *const devices[] = { &d };
        _cleanup_(holders_done) Holders h = {};
        int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        /* Not in the driver's list: each open file of each process of this machine is looked at. */
        d.driver = (char *) "nvidia";
        ASSERT(root >= 0);
        ASSERT_EQ(forbid_openat2(), 0);
        ASSERT_EQ(holders_scan(root, devices, 1, &h), 0);
        /* Threads of the kernel have no files, and so none that cannot be read. */
        for (size_t i = 0; i < h.n; i++) {
                ASSERT(h.list[i].pid != getpid());
                ASSERT(geteuid() != 0 || !streq(strempty(h.list[i].comm), "kthreadd"));
        }
        (void) safe_close(root);
}

TEST(only_the_functions_asked_for) {
        _cleanup_(holders_done) Holders h = {};
        int root = machine();

        process("813", "/dev/full");
        ASSERT_EQ(holders_scan(root, both, 1, &h), 0);
        ASSERT_EQ(h.n, 0);
}

TEST(without_a_driver_nothing_is_open) {
        _cleanup_(holders_done) Holders h = {};
        int root = machine();

        process("812", "/dev/zero");
        gpu.driver = audio.driver = NULL;
        ASSERT_EQ(holders_scan(root, both, 2, &h), 0);
        ASSERT_EQ(h.n, 0);
}

TEST(finds_mappings) {
        _cleanup_(holders_done) Holders h = {};
        int root = machine();

        process("20", NULL);
        tree_put("/proc/20/maps", "1000-2000 rw-s 00000000 00:06 9 /odd/name (deleted)\n");
        tree_link("/proc/20/map_files/1000-2000", "/dev/zero");
        process("21", NULL);
        tree_put("/proc/21/maps", "1000-2000 rw-p 00000000 00:06 9 /dev/zero\n");
        tree_link("/proc/21/root", "/");
        process("22", NULL);
        tree_put("/proc/22/maps", "1000-2000 r--p 00000000 00:06 9 /lib/libc.so\n1000-2000 rw-s");
        ASSERT_EQ(holders_scan(root, both, 2, &h), 0);
        ASSERT_EQ(h.n, 2);
        ASSERT_EQ(h.list[0].pid, 20);
        ASSERT_EQ(h.list[1].pid, 21);
}

TEST(threads_outlive_the_first) {
        _cleanup_(holders_done) Holders h = {};
        int root = machine();

        process("30", NULL);
        ASSERT_EQ(unlinkat(root, "proc/30/fd/0", 0), 0);
        tree_link("/proc/30/task/30/fd/1", "/dev/null");
        tree_link("/proc/30/task/31/fd/4", "/dev/zero");
        ASSERT_EQ(holders_scan(root, both, 2, &h), 0);
        ASSERT_EQ(h.n, 1);
        ASSERT_EQ(h.list[0].pid, 30);
}

TEST(what_cannot_be_read_holds) {
        _cleanup_(holders_done) Holders h = {};
        _cleanup_free_ char *text = NULL;
        int root = machine();

        if (geteuid() != 0)
                SKIP("needs root to become somebody else");
        process("40", NULL);
        ASSERT_EQ(fchmodat(root, "proc/40/fd", 0700, 0), 0);
        ASSERT_EQ(chmod(tree_path, 0755), 0);
        ASSERT_EQ(seteuid(65534), 0);
        ASSERT_EQ(holders_scan(root, both, 2, &h), 0);
        ASSERT_EQ(seteuid(0), 0);
        ASSERT_EQ(h.n, 1);
        ASSERT(strstr(h.list[0].what, "cannot be read"));
        ASSERT_EQ(holders_describe(&h, &text), 0);
        ASSERT(strstr(text, ") has open files that cannot be read"));
        ASSERT(!strstr(text, "read open"));
}

/* The directory can be read, what is open cannot be looked at. */
TEST(what_cannot_be_looked_at_holds) {
        _cleanup_(holders_done) Holders h = {};
        char hidden[64];
        int root = machine();

        if (geteuid() != 0)
                SKIP("needs root to become somebody else");
        tree_put("/private/file", "");
        ASSERT_EQ(fchmodat(root, "private", 0700, 0), 0);
        (void) snprintf(hidden, sizeof(hidden), "%s/private/file", tree_path);
        process("40", hidden);
        process("41", NULL);
        tree_put("/proc/41/maps", "1000-2000 rw-s 00000000 00:06 9 /private/file\n");
        tree_link("/proc/41/map_files/1000-2000", hidden);
        tree_link("/proc/41/root", tree_path);
        process("42", NULL);
        ASSERT_EQ(chmod(tree_path, 0755), 0);
        ASSERT_EQ(seteuid(65534), 0);
        ASSERT_EQ(holders_scan(root, both, 2, &h), 0);
        ASSERT_EQ(seteuid(0), 0);
        ASSERT_EQ(h.n, 2);
        ASSERT_EQ(h.list[0].pid, 40);
        ASSERT(strstr(h.list[0].what, "cannot be read"));
        ASSERT_EQ(h.list[1].pid, 41);
        ASSERT(strstr(h.list[1].what, "cannot be read"));
}

/* A FUSE server that can do nothing but be there: enough for its top directory to be opened. */
static void serve_fuse(int fd) {
        char request[FUSE_MIN_READ_BUFFER];

        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        while (read(fd, request, sizeof(request)) > 0) {
                const struct fuse_in_header *in = (const void *) request;
                struct {
                        struct fuse_out_header header;
                        struct fuse_init_out init;
                } out = {
                        .header = { .unique = in->unique, .len = sizeof(out.header), .error = -ENOSYS },
                        .init = { .major = FUSE_KERNEL_VERSION,
                                  .minor = FUSE_KERNEL_MINOR_VERSION,
                                  .max_write = 4096 },
                };

                if (in->opcode == FUSE_INIT) {
                        out.header.error = 0;
                        out.header.len = sizeof(out);
                }
                if (write(fd, &out, out.header.len) < 0)
                        break;
        }
        _exit(0);
}

/* A process of nobody's with a file open on nobody's own FUSE file system. Returns its pid. */
static pid_t fuse_user(const char *where, unsigned long flags) {
        int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC), ready[2];
        char options[128], byte;
        pid_t user;

        if (fd < 0)
                SKIP("needs FUSE");
        (void) snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=65534,group_id=65534", fd);
        ASSERT_EQ(mount("test", where, "fuse.test", flags, options), 0);
        if (fork() == 0)
                serve_fuse(fd);
        (void) close(fd);
        ASSERT_EQ(pipe(ready), 0);
        user = fork();
        if (user == 0) {
                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                if (setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0 ||
                    open(where, O_RDONLY | O_DIRECTORY) < 0 || write(ready[1], "x", 1) != 1)
                        _exit(1);
                for (;;)
                        (void) pause();
        }
        (void) close(ready[1]);
        ASSERT_EQ(read(ready[0], &byte, 1), 1);
        return user;
}

static size_t holders_with_fuse(unsigned long flags) {
        _cleanup_(holders_done) Holders h = {};
        char where[64], from[64], to[64];
        int root = machine();
        pid_t user;

        if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0)
                SKIP("needs root and namespaces");
        ASSERT_EQ(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
        ASSERT_EQ(chmod(tree_path, 0755), 0);
        ASSERT_EQ(fs_mkdir_p(root, "/mnt", 0755), 0);
        (void) snprintf(where, sizeof(where), "%s/mnt", tree_path);
        user = fuse_user(where, flags);
        (void) snprintf(from, sizeof(from), "/proc/%d", (int) user);
        (void) snprintf(to, sizeof(to), "%s/proc/%d", tree_path, (int) user);
        ASSERT_EQ(fs_mkdir_p(root, to + strlen(tree_path), 0755), 0);
        ASSERT_EQ(mount(from, to, NULL, MS_BIND, NULL), 0);
        /* Opened again: the first one is of the namespace without our mounts. */
        root = fs_open_root(tree_path);
        ASSERT_EQ(holders_scan(root, both, 2, &h), 0);
        (void) close(root);
        ASSERT_EQ(kill(user, SIGKILL), 0);
        (void) umount2(to, MNT_DETACH);
        (void) umount2(where, MNT_DETACH);
        return h.n;
}

TEST(a_users_own_file_system_has_no_devices) {
        ASSERT_EQ(holders_with_fuse(MS_NODEV | MS_NOSUID), 0);
}

TEST(one_that_might_have_devices_holds) {
        ASSERT_EQ(holders_with_fuse(MS_NOSUID), 1);
}

/* Its memory is gone, and so its program; its files are not. */
TEST(one_that_is_ending_is_none_of_the_kernel) {
        _cleanup_(holders_done) Holders h = {};
        int root = machine();

        process("40", "/dev/zero");
        tree_put("/proc/40/stat", "40 (a ) b) Z 1 40 40 0 -1 4194560 0 0\n");
        ASSERT_EQ(fs_mkdir_p(root, "/proc/40/task/40", 0755), 0);
        process("41", "/dev/zero");
        tree_put("/proc/41/stat", "41 (kthreadd) S 0 0 0 0 -1 2129984 0 0\n");
        process("42", "/dev/zero");
        tree_put("/proc/42/stat", "42 (cut");
        ASSERT_EQ(holders_scan(root, both, 2, &h), 0);
        ASSERT_EQ(h.n, 2);
        ASSERT_EQ(h.list[0].pid, 40);
        ASSERT_EQ(h.list[1].pid, 42);
}

static void *wait_for_ever(void *unused) {
        for (;;)
                (void) pause();
        return unused;
}

/* A process with /dev/zero open whose first thread has ended: it looks like a thread of the kernel. Returns
 * its pid. */
static pid_t headless(void) {
        char exe[64], target;
        pid_t pid = fork();

        if (pid == 0) {
                pthread_t thread;

                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                if (open("/dev/zero", O_RDONLY) < 0 ||
                    pthread_create(&thread, NULL, wait_for_ever, NULL) != 0)
                        _exit(1);
                pthread_exit(NULL);
        }
        (void) snprintf(exe, sizeof(exe), "/proc/%d/exe", (int) pid);
        for (int i = 0; i < 5000 && readlink(exe, &target, sizeof(target)) >= 0; i++)
                (void) usleep(1000);
        ASSERT_EQ(readlink(exe, &target, sizeof(target)), -1);
        return pid;
}

TEST(without_its_first_thread_a_process_is_none_of_the_kernel) {
        _cleanup_(holders_done) Holders h = {};
        char from[64], to[64];
        int root = machine();
        pid_t pid;

        if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0)
                SKIP("needs root and namespaces");
        ASSERT_EQ(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
        pid = headless();
        (void) snprintf(from, sizeof(from), "/proc/%d", (int) pid);
        (void) snprintf(to, sizeof(to), "%s/proc/%d", tree_path, (int) pid);
        ASSERT_EQ(fs_mkdir_p(root, to + strlen(tree_path), 0755), 0);
        ASSERT_EQ(mount(from, to, NULL, MS_BIND, NULL), 0);
        root = fs_open_root(tree_path);
        ASSERT_EQ(holders_scan(root, both, 2, &h), 0);
        (void) close(root);
        ASSERT_EQ(kill(pid, SIGKILL), 0);
        (void) umount2(to, MNT_DETACH);
        ASSERT_EQ(h.n, 1);
        ASSERT_EQ(h.list[0].pid, pid);
}

TEST(every_way_to_a_display) {
        static const struct {
                const char *path, *number, *name;
        } ways[] = {
                { "/graphics/fb1/dev", "29:1", "fb1" },
                { "/i2c-4/i2c-dev/i2c-4/dev", "89:4", "i2c-4" },
                { "/drm/card1/card1-DP-1/drm_dp_aux0/dev", "237:0", "drm_dp_aux0" },
                { "/drm/card1/card1-DP-1/i2c-7/i2c-dev/i2c-7/dev", "89:7", "i2c-7" },
                { "/drm_dp_aux_dev/drm_dp_aux2/dev", "237:2", "drm_dp_aux2" },
        };
        _cleanup_(nodes_done) Nodes nodes = {};
        int root = machine();

        for (size_t i = 0; i < ELEMENTSOF(ways); i++) {
                char path[128];

                (void) snprintf(path, sizeof(path), GPU "%s", ways[i].path);
                tree_put(path, ways[i].number);
        }
        /* As sysfs has them: the way back up, and a second way to an adapter. */
        tree_link(GPU "/drm/card1/card1-DP-1/device", "../../card1");
        tree_link(GPU "/drm/card1/card1-DP-1/ddc", "../../../i2c-4");
        ASSERT_EQ(nodes_of(root, both, 2, &nodes), 0);
        ASSERT_EQ(nodes.n, ELEMENTSOF(ways) + 2);
        for (size_t i = 0; i < ELEMENTSOF(ways); i++) {
                unsigned major_number, minor_number;
                struct stat st = { .st_mode = S_IFCHR };

                ASSERT_EQ(sscanf(ways[i].number, "%u:%u", &major_number, &minor_number), 2);
                st.st_rdev = makedev(major_number, minor_number);
                ASSERT_STREQ(nodes_match(&nodes, &st), ways[i].name);
        }
}

TEST(nvidia_by_its_minor) {
        _cleanup_(nodes_done) Nodes nodes = {};
        struct stat st = { .st_mode = S_IFCHR, .st_rdev = 195 << 8 | 3 };
        int root = machine();

        gpu.driver = (char *) "nvidia";
        tree_put("/proc/driver/nvidia/gpus/0000:01:00.0/information",
                 "Model: \t\t NVIDIA H200\nDevice Minor: \t 3\n");
        ASSERT_EQ(nodes_of(root, both, 2, &nodes), 0);
        ASSERT_STREQ(nodes_match(&nodes, &st), "/dev/nvidia3");
        st.st_rdev = 195 << 8 | 4;
        ASSERT(!nodes_match(&nodes, &st));
        st.st_rdev = 195 << 8 | 255;
        ASSERT(!nodes_match(&nodes, &st));
}

TEST(nvidia_without_a_minor_is_any) {
        _cleanup_(nodes_done) Nodes nodes = {};
        struct stat st = { .st_mode = S_IFCHR, .st_rdev = 195 << 8 | 4 };
        int root = machine();

        gpu.driver = (char *) "nvidia";
        ASSERT_EQ(nodes_of(root, both, 2, &nodes), 0);
        ASSERT(nodes_match(&nodes, &st));
        st.st_rdev = 195 << 8 | 255; /* /dev/nvidiactl belongs to none */
        ASSERT(!nodes_match(&nodes, &st));
        st.st_mode = S_IFREG;
        st.st_rdev = 195 << 8 | 4;
        ASSERT(!nodes_match(&nodes, &st));
}

TEST(vfio_users) {
        _cleanup_(holders_done) Holders h = {};
        int root = machine();

        gpu.driver = audio.driver = (char *) "vfio-pci";
        tree_put("/sys/class/vfio/12/dev", "1:3\n");
        process("50", NULL); /* its standard input is what the group's node is here */
        ASSERT_EQ(holders_scan(root, both, 2, &h), 0);
        ASSERT_EQ(h.n, 1);
        ASSERT_EQ(h.list[0].pid, 50);
        ASSERT_STREQ(h.list[0].what, "/dev/vfio/12");
}

TEST(the_console_holds) {
        _cleanup_(holders_done) Holders h = {};
        int root = machine();

        tree_put("/sys/class/vtconsole/vtcon0/name", "(S) dummy device\n");
        tree_put("/sys/class/vtconsole/vtcon0/bind", "1\n");
        tree_put("/sys/class/vtconsole/vtcon1/name", "(M) frame buffer device\n");
        tree_put("/sys/class/vtconsole/vtcon1/bind", "1\n");
        ASSERT_EQ(holders_scan(root, both, 2, &h), 0);
        ASSERT_EQ(h.n, 0);
        tree_put(GPU "/graphics/fb0/dev", "29:0\n");
        ASSERT_EQ(holders_scan(root, both, 2, &h), 0);
        ASSERT_EQ(h.n, 1);
        ASSERT_EQ(h.list[0].pid, 0);
        holders_done(&h);
        tree_put("/sys/class/vtconsole/vtcon1/bind", "0\n");
        ASSERT_EQ(holders_scan(root, both, 2, &h), 0);
        ASSERT_EQ(h.n, 0);
}

TEST(the_firmware_console_holds) {
        _cleanup_(holders_done) Holders h = {};
        int root = machine();

        gpu.driver = NULL;
        gpu.boot_vga = true;
        tree_put("/sys/class/vtconsole/vtcon1/name", "(M) frame buffer device\n");
        tree_put("/sys/class/vtconsole/vtcon1/bind", "1\n");
        ASSERT_EQ(holders_scan(root, both, 2, &h), 0);
        ASSERT_EQ(h.n, 0);
        tree_put("/sys/bus/platform/drivers/efi-framebuffer/efi-framebuffer.0/uevent", "");
        ASSERT_EQ(holders_scan(root, both, 2, &h), 0);
        ASSERT_EQ(h.n, 1);
        holders_done(&h);
        gpu.driver = (char *) "vfio-pci";
        ASSERT_EQ(holders_scan(root, both, 2, &h), 0);
        ASSERT_EQ(h.n, 0);
}

/* NVIDIA's driver without a frame buffer of its own: that of the firmware is still drawn on. */
TEST(the_firmware_console_holds_under_nvidias_driver) {
        _cleanup_(holders_done) Holders h = {};
        int root = machine();

        gpu.driver = (char *) "nvidia";
        gpu.boot_vga = true;
        tree_put("/sys/class/vtconsole/vtcon1/name", "(M) frame buffer device\n");
        tree_put("/sys/class/vtconsole/vtcon1/bind", "1\n");
        tree_put("/sys/bus/platform/drivers/simple-framebuffer/simple-framebuffer.0/uevent", "");
        ASSERT_EQ(holders_scan(root, both, 2, &h), 0);
        ASSERT_EQ(h.n, 1);
        ASSERT_STREQ(h.list[0].what, "the text console is drawn by it");
        holders_done(&h);
        /* A driver that has one has taken the firmware's place. */
        tree_put(GPU "/graphics/fb1/dev", "29:1\n");
        ASSERT_EQ(holders_scan(root, both, 2, &h), 0);
        ASSERT_EQ(h.n, 0);
}

/* A controller that goes along because somebody has accepted that. */
TEST(disks_hold) {
        PciDevice nvme = { .name = "0000:03:00.0", .class = 0x010802, .driver = (char *) "nvme" };
        const PciDevice *const it[] = { &nvme };
        struct stat block = { .st_mode = S_IFBLK, .st_rdev = makedev(259, 1) };
        struct stat character = { .st_mode = S_IFCHR, .st_rdev = makedev(259, 1) };
        _cleanup_(holders_done) Holders h = {};
        _cleanup_(nodes_done) Nodes nodes = {};
        _cleanup_free_ char *text = NULL;
        int root = machine();

        tree_put("/sys/bus/pci/devices/0000:03:00.0/uevent", "");
        tree_link("/sys/class/block/nvme0n1", "../../devices/pci0000:00/0000:03:00.0/nvme/nvme0/nvme0n1");
        tree_link("/sys/class/block/sda", "../../devices/pci0000:00/0000:04:00.0/ata1/host0/sda");
        tree_put("/sys/devices/pci0000:00/0000:03:00.0/nvme/nvme0/nvme0n1/dev", "259:1\n");
        tree_put("/sys/devices/pci0000:00/0000:04:00.0/ata1/host0/sda/dev", "8:0\n");
        tree_put("/sys/devices/pci0000:00/0000:04:00.0/ata1/host0/sda/holders/dm-7/uevent", "");
        ASSERT_EQ(nodes_of(root, it, 1, &nodes), 0);
        ASSERT_STREQ(nodes_match(&nodes, &block), "/dev/nvme0n1");
        ASSERT(!nodes_match(&nodes, &character));
        block.st_rdev = makedev(8, 0);
        ASSERT(!nodes_match(&nodes, &block));
        ASSERT_EQ(holders_scan(root, it, 1, &h), 0);
        ASSERT_EQ(h.n, 0);
        /* Another disk of it, of which there are two ways. */
        tree_link("/sys/class/block/nvme1n1", "../../devices/virtual/nvme-subsystem/nvme-subsys1/nvme1n1");
        tree_link("/sys/class/block/nvme1n1p1",
                  "../../devices/virtual/nvme-subsystem/nvme-subsys1/nvme1n1/nvme1n1p1");
        tree_link("/sys/devices/virtual/nvme-subsystem/nvme-subsys1/nvme1",
                  "../../../pci0000:00/0000:03:00.0/nvme/nvme1");
        tree_put("/sys/devices/virtual/nvme-subsystem/nvme-subsys1/nvme1n1/holders/md0/uevent", "");
        tree_put("/sys/devices/virtual/nvme-subsystem/nvme-subsys1/nvme1n1/nvme1n1p1/dev", "259:7\n");
        tree_put("/proc/self/mountinfo", "1 0 259:7 / /srv rw - ext4 /dev/nvme1n1p1 rw\n");
        tree_put("/proc/swaps", "Filename Type Size Used Priority\n/dev/nvme0n1 partition 8 0 -2\n");
        ASSERT_EQ(holders_scan(root, it, 1, &h), 0);
        ASSERT_EQ(holders_describe(&h, &text), 0);
        ASSERT_STREQ(text, "nvme0n1 is swap space; nvme1n1 is part of md0; nvme1n1p1 is mounted on /srv");
        holders_done(&h);
        nvme.driver = (char *) "vfio-pci";
        ASSERT_EQ(holders_scan(root, it, 1, &h), 0);
        ASSERT_EQ(h.n, 0);
}

TEST(interfaces_that_are_up_hold) {
        PciDevice nic = { .name = "0000:03:00.0", .class = 0x020000, .driver = (char *) "igb" };
        const PciDevice *const it[] = { &nic };
        _cleanup_(holders_done) Holders h = {};
        int root = machine();

        tree_put("/sys/bus/pci/devices/0000:03:00.0/uevent", "");
        tree_link("/sys/class/net/eth1", "../../devices/pci0000:00/0000:03:00.0/net/eth1");
        tree_link("/sys/class/net/eth2", "../../devices/pci0000:00/0000:03:00.1/net/eth2");
        tree_put("/sys/devices/pci0000:00/0000:03:00.0/net/eth1/flags", "0x1002\n");
        tree_put("/sys/devices/pci0000:00/0000:03:00.1/net/eth2/flags", "0x1003\n");
        ASSERT_EQ(holders_scan(root, it, 1, &h), 0);
        ASSERT_EQ(h.n, 0);
        tree_put("/sys/devices/pci0000:00/0000:03:00.0/net/eth1/flags", "0x1003\n");
        ASSERT_EQ(holders_scan(root, it, 1, &h), 0);
        ASSERT_EQ(h.n, 1);
        ASSERT_STREQ(h.list[0].what, "the interface eth1 is up");
}

/* More than one thread looks through. */
TEST(many_processes) {
        enum {
                MANY = 900,
                EVERY = 7,
        };
        _cleanup_(holders_done) Holders h = {};
        int root = machine();
        char pid[16];

        for (int i = 1; i <= MANY; i++) {
                (void) snprintf(pid, sizeof(pid), "%d", i);
                process(pid, i % EVERY == 0 ? "/dev/full" : NULL);
        }
        ASSERT_EQ(holders_scan(root, both, 2, &h), 0);
        ASSERT_EQ(h.n, MANY / EVERY);
        for (size_t i = 0; i < h.n; i++)
                ASSERT_EQ(h.list[i].pid, (int) (i + 1) * EVERY);
}
