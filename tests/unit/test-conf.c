/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <sys/stat.h>

#include "conf.h"
#include "strv.h"
#include "tests/tree.h"

static void remember(const char *file, unsigned line, const char *text, void *userdata) {
        char **all = userdata;
        _cleanup_free_ char *old = *all;

        ASSERT_EQ(str_printf(all, "%s%s:%u %s\n", strempty(old), file ?: "cmdline", line, text), 0);
}

/* Parses on top of the defaults; the problems in what. */
static void parse(Conf *c, char **what, const char *text) {
        *what = NULL;
        ASSERT_EQ(conf_init(c), 0);
        ASSERT_EQ(conf_parse("f", text, strlen(text), remember, what, c), 0);
}

static void parse_clean(Conf *c, const char *text) {
        char *what;

        parse(c, &what, text);
        ASSERT_STREQ(strempty(what), "");
}

#define CONF _cleanup_(conf_done) Conf c

TEST(defaults) {
        CONF;

        ASSERT_EQ(conf_init(&c), 0);
        ASSERT(c.enabled && c.nvidia && c.kvm && c.vfio && c.bridge && c.container_toolkit == CONTAINER_AUTO);
        ASSERT(!c.override_iommu_off && !c.user && !c.uplink && !c.accept_siblings);
        ASSERT_EQ(c.update_system, UPDATE_NO);
        ASSERT_EQ(c.reboot, REBOOT_AUTO);
        ASSERT_EQ(c.reboot_delay_usec, 60 * USEC_PER_SEC);
        ASSERT_EQ(c.gpu_mode, GPU_FLEXIBLE);
        ASSERT_EQ(c.revert_usec, 90 * USEC_PER_SEC);
        ASSERT_STREQ(c.bridge_name, "br0");
        ASSERT_STREQ(c.pool, "gpuvm");
        ASSERT_STREQ(c.pool_path, "/var/lib/libvirt/images/gpuvm");
}

TEST(last_wins_and_empty_resets) {
        CONF;

        parse_clean(&c,
                    "[Bootstrap]\nReboot=never\nReboot=ask\nUser=ann\nUser=\nKvm=no\n[Gpu]\nMode=exclusive\n"
                    "Mode=\n[Network]\nBridge=virbr7\nBridge=\n[Bootstrap]\nVfio=0\n");
        ASSERT_EQ(c.reboot, REBOOT_ASK);
        ASSERT(!c.user && !c.kvm && !c.vfio);
        ASSERT_EQ(c.gpu_mode, GPU_FLEXIBLE);
        ASSERT_STREQ(c.bridge_name, "br0");
}

TEST(the_last_line_may_lack_its_end) {
        CONF;

        parse_clean(&c, "[Bootstrap]\nKvm=no");
        ASSERT(!c.kvm);
        ASSERT_EQ(conf_parse("f", "[Gpu 01:00.0]\nMode=exclusive\\", 29, NULL, NULL, &c), 0);
        ASSERT_EQ(conf_gpu_mode(&c, "0000:01:00.0", ""), GPU_EXCLUSIVE);
}

TEST(lists_append_and_reset) {
        CONF;

        parse_clean(&c,
                    "[Gpu]\nAcceptSiblings=0000:01:00.1 \"0000:0A:00.1\"\nAcceptSiblings=02:00.0 01:00.1\n");
        ASSERT_EQ(strv_length(c.accept_siblings), 3);
        ASSERT_STREQ(c.accept_siblings[1], "0000:0a:00.1");
        ASSERT_STREQ(c.accept_siblings[2], "0000:02:00.0");
        ASSERT_EQ(conf_parse("g", "[Gpu]\nAcceptSiblings=\n", 22, NULL, NULL, &c), 0);
        ASSERT(!c.accept_siblings);
}

TEST(gpus_by_address_and_path) {
        CONF;

        parse_clean(&c,
                    "[Gpu 01:00.0]\nMode=exclusive\n[Gpu 0000:01:00.0]\nAcceptSiblings=0000:03:00.0\n"
                    "[Gpu pci-0000:00:03.0/00.0]\nMode=exclusive\n[Gpu 0000:05:00.0]\nMode=exclusive\nMode=\n"
                    "[Gpu]\nMode=flexible\nAcceptSiblings=0000:09:00.0\n");
        ASSERT_EQ(c.n_gpus, 3);
        ASSERT_EQ(conf_gpu_mode(&c, "0000:01:00.0", "x"), GPU_EXCLUSIVE);
        ASSERT_EQ(conf_gpu_mode(&c, "0000:02:00.0", "pci-0000:00:03.0/00.0"), GPU_EXCLUSIVE);
        ASSERT_EQ(conf_gpu_mode(&c, "0000:02:00.0", "x"), GPU_FLEXIBLE);
        ASSERT_EQ(conf_gpu_mode(&c, "0000:05:00.0", "x"), GPU_FLEXIBLE);
        ASSERT_STREQ(conf_gpu_accept_siblings(&c, "0000:01:00.0", "x")[0], "0000:03:00.0");
        ASSERT_STREQ(conf_gpu_accept_siblings(&c, "0000:02:00.0", "x")[0], "0000:09:00.0");
        c.gpu_mode = GPU_EXCLUSIVE;
        ASSERT_EQ(conf_gpu_mode(&c, "0000:05:00.0", "x"), GPU_EXCLUSIVE);
}

TEST(the_path_beats_the_address) {
        CONF;

        parse_clean(&c,
                    "[Gpu 0000:01:00.0]\nMode=exclusive\n[Gpu pci-0000:00:01.0/00.0]\nMode=flexible\n"
                    "[Gpu 0000:02:00.0]\nMode=exclusive\n");
        ASSERT_EQ(conf_gpu_mode(&c, "0000:02:00.0", "pci-0000:00:01.0/00.0"), GPU_FLEXIBLE);
        ASSERT_EQ(conf_gpu_mode(&c, "0000:01:00.0", "pci-0000:00:01.0/00.0"), GPU_FLEXIBLE);
        ASSERT_EQ(conf_gpu_mode(&c, "0000:01:00.0", "pci-0000:00:09.0/00.0"), GPU_EXCLUSIVE);
}

static void expect_problem(const char *text, const char *want) {
        _cleanup_free_ char *what = NULL;
        CONF;

        parse(&c, &what, text);
        ASSERT_STREQ(strempty(what), want);
}

TEST(unknown_names_with_the_nearest) {
        expect_problem("[Bootstrap]\nRebot=ask\n",
                       "f:2 Unknown key 'Rebot' in section [Bootstrap], did you mean 'Reboot'?, left out\n");
        expect_problem("[Bootstrap]\nmode=exclusive\n",
                       "f:2 Unknown key 'mode' in section [Bootstrap], did you mean "
                       "'Mode= of [Gpu]'?, left out\n");
        expect_problem("[Bootstrap]\nXyzzyPlugh=1\n",
                       "f:2 Unknown key 'XyzzyPlugh' in section [Bootstrap], left out\n");
        expect_problem("[bootstrap]\nReboot=ask\n",
                       "f:1 Unknown section [bootstrap], did you mean 'Bootstrap'?, left out\n");
        expect_problem("[X-Mine]\na=1\n[Gpu]\nX-Note=2\n", "");
        expect_problem("Reboot=ask\n", "f:1 Assignment 'Reboot=' before the first section, left out\n");
}

TEST(bad_values) {
        expect_problem("[Gpu]\nMode=\"exclusive\"\n",
                       "f:2 Bad value '\"exclusive\"' for Mode=: expected flexible or exclusive (no quotes here). "
                       "The assignment is left out\n");
        expect_problem("[Storage]\nPoolPath=/a/../b\n",
                       "f:2 Bad value '/a/../b' for PoolPath=: expected an absolute path without '..', '%' and "
                       "backslashes. The assignment is left out\n");
        expect_problem("[Gpu 1:0.0]\nMode=exclusive\n",
                       "f:1 Not a PCI address like 0000:01:00.0 or path: [Gpu 1:0.0], section left out\n");
}

/* Each of these must be refused, and leave what was there before. */
TEST(values_that_must_not_pass) {
        static const char *const bad[] = {
                "[Network]\nBridge=br 0",
                "[Network]\nBridge=abcdefghijklmnop",
                "[Network]\nBridge=..",
                "[Network]\nBridge=-x",
                "[Network]\nUplink=a/b",
                "[Network]\nSubnet=192.0.2.0/33",
                "[Network]\nSubnet=192.0.2.0",
                "[Network]\nSubnet=192.0.2/24",
                "[Network]\nIpRange=192.0.2.9-192.0.2.1",
                "[Network]\nIpRange=192.0.2.9",
                "[Network]\nRevertSec=2 days",
                "[Network]\nRevertSec=-1",
                "[Gpu]\nApplicationClocks=5001",
                "[Gpu]\nApplicationClocks=5001,",
                "[Gpu]\nApplicationClocks=5001,0",
                "[Gpu]\nApplicationClocks=5001,1590,7",
                "[Gpu]\nApplicationClocks=-1,1590",
                "[Gpu]\nPersistence=maybe",
                "[Network]\nGuestToHost=22",
                "[Network]\nGuestToHost=tcp/0",
                "[Network]\nGuestToHost=tcp/65536",
                "[Network]\nGuestToHost=tcp/9-8",
                "[Network]\nGuestToHost=tcp/22 all",
                "[Network]\nGuestToHost=sctp/22",
                "[Network]\nGuestToHost=tcp/22;reboot",
                "[Network]\nGuestToHost=,",
                "[Bootstrap]\nUser=-rf",
                "[Bootstrap]\nUser=a b",
                "[Bootstrap]\nUser=0",
                "[Bootstrap]\nKvm=maybe",
                "[Gpu]\nAcceptSiblings=0000:01:00.8",
                "[Gpu]\nAcceptSiblings=0000:01:20.0",
                "[Gpu]\nAcceptSiblings=000g:01:00.0",
                "[Gpu]\nAcceptSiblings=0000:01:00.0 \"",
                "[Gpu]\nDriverBranch=a;b",
                "[Storage]\nPool=../x",
                "[Storage]\nPoolPath=images",
                "[Storage]\nPoolPath=/",
                "[Storage]\nPoolPath=/a%b",
                "[Storage]\nPoolPath=/a\x01",
        };
        _cleanup_free_ char *before = NULL;
        CONF;

        ASSERT_EQ(conf_init(&c), 0);
        ASSERT_EQ(conf_format(&c, &before), 0);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                _cleanup_free_ char *after = NULL, *what = NULL;

                ASSERT_EQ(conf_parse("f", bad[i], strlen(bad[i]), remember, &what, &c), 0);
                if (!what)
                        printf("# passed: %s\n", bad[i]);
                ASSERT(what != NULL);
                ASSERT_EQ(conf_format(&c, &after), 0);
                ASSERT_STREQ(after, before);
        }
}

TEST(the_safe_side) {
        _cleanup_free_ char *a = NULL, *b = NULL, *d = NULL;
        CONF;

        parse(&c, &a,
              "[Bootstrap]\nReboot=sometimes\nEnabled=nein\nOverrideIommuOff=yes\nOverrideIommuOff=ja\n");
        ASSERT_EQ(c.reboot, REBOOT_ASK);
        ASSERT(!c.enabled);
        ASSERT(!c.override_iommu_off);
        ASSERT(strstr(a, "To be safe it is now ask") && strstr(a, "To be safe it is now no"));
        conf_done(&c);
        parse(&c, &b, "[Bootstrap]\nReboot=never\nReboot=sometimes\n");
        ASSERT_EQ(c.reboot, REBOOT_NEVER);
        ASSERT_EQ(conf_parse_cmdline("gpuvm.reboot=x gpuvm.bootstrap=offf", remember, &d, &c), 0);
        ASSERT_EQ(c.reboot, REBOOT_NEVER);
        ASSERT(!c.enabled && c.enabled_by_cmdline);
}

TEST(command_line) {
        _cleanup_free_ char *what = NULL;
        CONF;

        parse_clean(&c, "[Bootstrap]\nEnabled=no\nReboot=never\n");
        ASSERT_EQ(conf_parse_cmdline(
                                  "root=/dev/sda gpuvm.bootstrap gpuvm.gpu-mode=exclusive gpuvm.gpu_mode=flexible "
                                  "gpuvm.kvm=off gpuvm.update_system=security gpuvm.rebot=ask gpuvm.nvidia=?",
                                  remember, &what, &c),
                  0);
        ASSERT(c.enabled && c.enabled_by_cmdline && !c.kvm && c.nvidia);
        ASSERT_EQ(c.gpu_mode, GPU_FLEXIBLE);
        ASSERT_EQ(c.update_system, UPDATE_SECURITY);
        ASSERT_EQ(c.reboot, REBOOT_NEVER);
        ASSERT_STREQ(what,
                     "cmdline:0 Unknown option 'gpuvm.rebot=ask', did you mean 'gpuvm.reboot'?, left out\n"
                     "cmdline:0 Bad value '?' for gpuvm.nvidia=: expected yes or no. The assignment is left "
                     "out\n");
}

TEST(format_is_read_back_the_same) {
        _cleanup_free_ char *one = NULL, *two = NULL;
        CONF;

        parse_clean(&c,
                    "[Bootstrap]\nUser=ann\nRebootDelaySec=100ms\n[Gpu]\nAcceptSiblings=0000:01:00.1\n"
                    "[Gpu 10000:01:00.0]\nMode=exclusive\n[Gpu 0000:02:00.0]\nAcceptSiblings=0000:03:00.0\n"
                    "[Gpu]\nPersistence=no\nApplicationClocks=5001,1590\n"
                    "[Network]\nSubnet=2001:db8::/64\nIpRange=192.0.2.1-192.0.2.9\nGuestToHost=tcp/22, udp/1-65535\n"
                    "[Storage]\nPoolPath=/srv/my images\n");
        ASSERT_EQ(conf_format(&c, &one), 0);
        conf_done(&c);
        parse_clean(&c, one);
        ASSERT_EQ(conf_format(&c, &two), 0);
        ASSERT_STREQ(two, one);
        ASSERT(strstr(two, "RebootDelaySec=100000us") && strstr(two, "PoolPath=/srv/my images\n"));
}

/* Files below a temporary root, which the test enters as its own root directory where it has to be the host.
 */

static void put(int root, const char *path, const char *text, mode_t mode) {
        ASSERT_EQ(fs_write_atomic(root, path, text, strlen(text), mode), 0);
}

static void load(int root, Conf *c, char **what) {
        *what = NULL;
        ASSERT_EQ(conf_load(root, remember, what, c), 0);
}

TEST(nothing_there) {
        _cleanup_free_ char *what = NULL;
        int root = tree_new();
        CONF;

        load(root, &c, &what);
        ASSERT_STREQ(strempty(what), "");
        ASSERT_EQ(c.reboot, REBOOT_AUTO);
}

TEST(dropins_by_name_etc_first) {
        _cleanup_free_ char *what = NULL;
        int root = tree_new();
        CONF;

        put(root, "/etc/gpuvm.conf", "[Network]\nBridge=main\nUplink=main\n", 0644);
        put(root, "/usr/lib/gpuvm.conf.d/50-a.conf", "[Network]\nBridge=usr\n", 0644);
        put(root, "/run/gpuvm.conf.d/50-a.conf", "[Network]\nBridge=run\n", 0644);
        put(root, "/usr/lib/gpuvm.conf.d/60-b.conf", "[Network]\nUplink=later\n", 0644);
        put(root, "/etc/gpuvm.conf.d/10-c.conf", "[Network]\nBridge=early\nUplink=early\n", 0644);
        put(root, "/etc/gpuvm.conf.d/99-not-one.txt", "[Network]\nBridge=txt\n", 0644);
        put(root, "/etc/gpuvm.conf.d/.99-hidden.conf", "[Storage]\nPool=hidden\n", 0644);
        put(root, "/run/gpuvm.conf.d/70-d.conf", "[Network]\nBridge=masked\n", 0644);
        ASSERT_EQ(symlinkat("/dev/null", root, "etc/gpuvm.conf.d/70-d.conf"), 0);
        load(root, &c, &what);
        ASSERT_STREQ(strempty(what), "");
        ASSERT_STREQ(c.bridge_name, "run");
        ASSERT_STREQ(c.uplink, "later");
        ASSERT_STREQ(c.pool, "gpuvm");
}

TEST(odd_files_are_told_and_never_waited_for) {
        _cleanup_free_ char *what = NULL;
        int root = tree_new();
        CONF;

        put(root, "/etc/gpuvm.conf.d/00-good.conf", "[Bootstrap]\nKvm=no\n", 0644);
        ASSERT_EQ(mkdirat(root, "etc/gpuvm.conf", 0755), 0);
        ASSERT_EQ(mkfifoat(root, "etc/gpuvm.conf.d/10-fifo.conf", 0644), 0);
        ASSERT_EQ(symlinkat("/nowhere", root, "etc/gpuvm.conf.d/20-lost.conf"), 0);
        ASSERT_EQ(symlinkat("30-self.conf", root, "etc/gpuvm.conf.d/30-self.conf"), 0);
        ASSERT_EQ(symlinkat("x", root, "usr"), 0);
        load(root, &c, &what);
        ASSERT(!c.kvm);
        ASSERT_STREQ(what,
                     "/etc/gpuvm.conf:0 Not a regular file, left out\n"
                     "/etc/gpuvm.conf.d/10-fifo.conf:0 Not a regular file, left out\n"
                     "/etc/gpuvm.conf.d/20-lost.conf:0 Cannot be read: No such file or directory, left out\n"
                     "/etc/gpuvm.conf.d/30-self.conf:0 Cannot be read: Too many levels of symbolic links, "
                     "left out\n");
}

TEST(a_file_too_big) {
        _cleanup_free_ char *what = NULL;
        _cleanup_close_ int fd = -EBADF;
        int root = tree_new();
        CONF;

        put(root, "/etc/gpuvm.conf", "[Bootstrap]\nKvm=no\n", 0644);
        fd = openat(root, "etc/gpuvm.conf", O_WRONLY);
        ASSERT_EQ(ftruncate(fd, 5 * 1024 * 1024), 0);
        load(root, &c, &what);
        ASSERT(c.kvm);
        ASSERT_STREQ(what, "/etc/gpuvm.conf:0 Cannot be read: File too large, left out\n");
}

TEST(who_may_tell_root_what_to_do) {
        _cleanup_free_ char *what = NULL;
        _cleanup_close_ int outside = fs_open_root("/");
        int root;
        CONF;

        if (geteuid() != 0)
                SKIP("needs root");
        root = tree_new();
        put(root, "/etc/gpuvm.conf", "[Bootstrap]\nKvm=no\n", 0666);
        put(root, "/etc/gpuvm.conf.d/a.conf", "[Bootstrap]\nVfio=no\n", 0644);
        put(root, "/etc/gpuvm.conf.d/b.conf", "[Bootstrap]\nNvidia=no\n", 0664);
        ASSERT_EQ(fchownat(root, "etc/gpuvm.conf.d/a.conf", 1000, 0, 0), 0);

        /* a recorded tree belongs to whoever recorded it */
        load(root, &c, &what);
        ASSERT_STREQ(strempty(what), "");
        ASSERT(!c.kvm && !c.vfio && !c.nvidia);
        conf_done(&c);

        ASSERT_EQ(chroot(tree_path), 0);
        ASSERT_EQ(chdir("/"), 0);
        load(root, &c, &what);
        ASSERT(c.kvm && c.vfio && !c.nvidia);
        ASSERT(strstr(what, "/etc/gpuvm.conf:0 Writable by everybody (remedy: chmod o-w)") != NULL);
        ASSERT(strstr(what, "/etc/gpuvm.conf.d/a.conf:0 Does not belong to root (remedy: chown root)") !=
               NULL);
        ASSERT_EQ(fchdir(outside), 0); /* out again, so that the tree can be removed */
        ASSERT_EQ(chroot("."), 0);
}

/* The example that is installed names every key, with its default. */
TEST(the_example) {
        _cleanup_free_ char *text = NULL, *what = NULL, *left = NULL, *right = NULL;
        int root = fs_open_root(getenv("GPUVM_SOURCE") ?: ".");
        CONF;

        ASSERT(root >= 0);
        ASSERT_EQ(fs_read(root, "/etc/gpuvm.conf", FS_FILE_MAX, &text, NULL), 0);
        parse(&c, &what, text);
        ASSERT_STREQ(strempty(what), "");
        ASSERT_EQ(conf_format(&c, &left), 0);
        conf_done(&c);
        for (char *p = text; (p = strstr(p, "\n#")); p++)
                if (p[2] != ' ' && p[2] != '\n')
                        p[1] = ' ';
        parse(&c, &what, text);
        ASSERT_STREQ(strempty(what), "");
        ASSERT_EQ(conf_format(&c, &right), 0);
        ASSERT_STREQ(right, left);
        for (char *p = left, *e; *p; p = e + 1) {
                e = p + strcspn(p, "=\n");
                if (*e == '=') {
                        *e = '\0';
                        if (!strstr(text, p))
                                printf("# not in the example: %s\n", p);
                        ASSERT(strstr(text, p) != NULL);
                        e += 1 + strcspn(e + 1, "\n");
                }
        }
}
