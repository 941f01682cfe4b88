/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <sys/mman.h>

#include "tests/libvirt.h"
#include "virt.h"

TEST(pool_xml_escapes) {
        _cleanup_free_ char *xml = NULL;

        ASSERT_EQ(virt_pool_xml("a", "/x<y>&'\"", &xml), 0);
        ASSERT(strstr(xml, "<name>a</name>"));
        ASSERT(strstr(xml, "<path>/x&lt;y&gt;&amp;&apos;&quot;</path>"));
}

TEST(kinds_have_names) {
        ASSERT_EQ(virt_kind_from_string("pool"), VIRT_POOL);
        ASSERT_EQ(virt_kind_from_string("network"), VIRT_NETWORK);
        ASSERT_EQ(virt_kind_from_string("domain"), _VIRT_KIND_INVALID);
        ASSERT_STREQ(virt_kind_to_string(VIRT_NETWORK), "network");
        ASSERT(!virt_kind_to_string(_VIRT_KIND_MAX));
}

TEST(a_pool_from_nothing_and_back) {
        _cleanup_(virt_closep) Virt *v = connect_to_test();
        _cleanup_free_ char *xml = NULL, *path = NULL;
        VirtState s = { .active = true };

        ASSERT_EQ(virt_state(v, VIRT_POOL, "gpuvm", &s), 0);
        ASSERT(!s.defined && !s.active && !s.autostart);
        ASSERT_EQ(virt_pool_path(v, "gpuvm", &path), -ENOENT);
        ASSERT_EQ(virt_pool_xml("gpuvm", "/var/a&b<c", &xml), 0);
        ASSERT_EQ(virt_define(v, VIRT_POOL, xml), 0);
        ASSERT_EQ(virt_pool_build(v, "gpuvm"), 0);
        ASSERT_EQ(virt_start(v, VIRT_POOL, "gpuvm"), 0);
        ASSERT_EQ(virt_set_autostart(v, VIRT_POOL, "gpuvm", true), 0);
        ASSERT_EQ(virt_state(v, VIRT_POOL, "gpuvm", &s), 0);
        ASSERT(s.defined && s.active && s.autostart);
        ASSERT_EQ(virt_pool_path(v, "gpuvm", &path), 0);
        ASSERT_STREQ(path, "/var/a&b<c");

        ASSERT_EQ(virt_stop(v, VIRT_POOL, "gpuvm"), 0);
        ASSERT_EQ(virt_stop(v, VIRT_POOL, "gpuvm"), 0);
        ASSERT_EQ(virt_undefine(v, VIRT_POOL, "gpuvm"), 0);
        ASSERT_EQ(virt_undefine(v, VIRT_POOL, "gpuvm"), 0);
        ASSERT_EQ(virt_state(v, VIRT_POOL, "gpuvm", &s), 0);
        ASSERT(!s.defined);
}

TEST(networks_too) {
        _cleanup_(virt_closep) Virt *v = connect_to_test();
        VirtState s;

        ASSERT_EQ(virt_state(v, VIRT_NETWORK, "default", &s), 0);
        ASSERT(s.defined && s.active);
        ASSERT_EQ(virt_stop(v, VIRT_NETWORK, "default"), 0);
        ASSERT_EQ(virt_state(v, VIRT_NETWORK, "default", &s), 0);
        ASSERT(s.defined && !s.active);
        ASSERT_EQ(virt_start(v, VIRT_NETWORK, "default"), 0);
        ASSERT(virt_start(v, VIRT_NETWORK, "default") < 0);
        ASSERT(*virt_message(v));
}

TEST(counts_domains_and_tells_the_version) {
        _cleanup_(virt_closep) Virt *v = connect_to_test();
        unsigned long version = 0;
        unsigned running = 0;

        ASSERT_EQ(virt_version(v, &version), 0);
        ASSERT(version >= 9000000);
        ASSERT_EQ(virt_count_running(v, &running), 0);
        ASSERT_EQ(running, 1);
}

TEST(libvirt_does_not_write_to_stderr) {
        _cleanup_(virt_closep) Virt *v = connect_to_test();
        int fd = memfd_create("stderr", MFD_CLOEXEC), saved = dup(STDERR_FILENO);
        off_t size;

        ASSERT(fd >= 0 && saved >= 0 && dup2(fd, STDERR_FILENO) >= 0);
        ASSERT(virt_start(v, VIRT_POOL, "no-such-pool") < 0);
        ASSERT(dup2(saved, STDERR_FILENO) >= 0);
        size = lseek(fd, 0, SEEK_END);
        (void) close(fd);
        (void) close(saved);
        ASSERT_EQ(size, 0);
}

TEST(a_broken_definition_says_why) {
        _cleanup_(virt_closep) Virt *v = connect_to_test();

        ASSERT(virt_define(v, VIRT_POOL, "<pool type='dir'>") < 0);
        ASSERT(*virt_message(v));
}

TEST(the_connection_says_what_it_is) {
        _cleanup_(virt_closep) Virt *v = connect_to_test();
        _cleanup_free_ char *uri = NULL;

        ASSERT_EQ(virt_uri(v, &uri), 0);
        ASSERT_STREQ(uri, "test:///default");
        ASSERT_STREQ(virt_type(v), "TEST");
}

TEST(hosts_elsewhere) {
        ASSERT(virt_is_elsewhere("qemu+ssh://root@gpu-a/system"));
        ASSERT(virt_is_elsewhere("qemu+tcp://192.0.2.1:16509/system"));
        ASSERT(!virt_is_elsewhere("qemu:///system"));
        ASSERT(!virt_is_elsewhere("qemu+unix:///system?socket=/run/x"));
        ASSERT(!virt_is_elsewhere("qemu://"));
        ASSERT(!virt_is_elsewhere("qemu"));
}

TEST(who_does_not_answer_is_told) {
        _unused_ _cleanup_(virt_closep) Virt *v = connect_to_test();
        _cleanup_free_ char *message = NULL;
        Virt *other = NULL;

        ASSERT_EQ(virt_open("qemu+unix:///system?socket=/nonexistent/socket", &other, &message),
                  -ECONNREFUSED);
        ASSERT(strstr(message, "/nonexistent/socket"));
}
