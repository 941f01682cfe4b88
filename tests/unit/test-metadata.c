/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "metadata.h"
#include "tests/tap.h"

#define BEGIN "<domain><metadata><g:vm xmlns:g='" METADATA_URI "' "
#define END   "</g:vm></metadata></domain>"

TEST(all_of_it) {
        _cleanup_(metadata_done) Metadata m = {};

        ASSERT_EQ(metadata_parse(BEGIN
                                 "kind='ubuntu' created='2026-11-21T20:40:00Z' took='42'>"
                                 "<g:disk path='/srv/a&amp;b.qcow2'/><g:disk path='/srv/c.raw'/>"
                                 "<g:seed path='/srv/seed.iso'/>"
                                 "<g:address cidr='203.0.113.7/32' gateway='203.0.113.1'/>"
                                 "<g:image name='ubuntu 25.10'/><g:user name='ada'/><g:nic mac='52:54:00:ab:cd:ef'/>"
                                 "<g:told><g:line>Packages=vim &amp; more</g:line><g:line/></g:told>"
                                 "<g:wish gpus='2 x RTX 4090'/><g:gpu address='0000:17:00.0'/><g:gpu address='10000:e1:00.0'/>" END,
                                 &m),
                  1);
        ASSERT_STREQ(m.kind, "ubuntu");
        ASSERT_STREQ(m.created, "2026-11-21T20:40:00Z");
        ASSERT_EQ(m.took_sec, 42);
        ASSERT_STREQ(m.address, "203.0.113.7/32");
        ASSERT_STREQ(m.gateway, "203.0.113.1");
        ASSERT_STREQ(m.mac, "52:54:00:ab:cd:ef");
        ASSERT_STREQ(m.image, "ubuntu 25.10");
        ASSERT_STREQ(m.user, "ada");
        ASSERT_STREQ(m.seed, "/srv/seed.iso");
        ASSERT_EQ(strv_length(m.disks), 2);
        ASSERT_STREQ(m.disks[0], "/srv/a&b.qcow2");
        ASSERT_EQ(strv_length(m.gpus), 2);
        ASSERT_STREQ(m.gpus[1], "10000:e1:00.0");
        ASSERT_STREQ(m.gpu_wish, "2 x RTX 4090");
        ASSERT_EQ(strv_length(m.told), 2);
        ASSERT_STREQ(m.told[0], "Packages=vim & more");
}

TEST(nothing_is_not_what_it_does_not_say) {
        _cleanup_(metadata_done) Metadata m = {}, n = {};

        ASSERT_EQ(metadata_parse(BEGIN "kind='ubuntu'><g:told/>" END, &m), 1);
        ASSERT(m.told && !*m.told);
        ASSERT_EQ(metadata_parse(BEGIN "kind='ubuntu'>" END, &n), 1);
        ASSERT(!n.told);
}

TEST(as_libvirt_gives_the_element_alone) {
        _cleanup_(metadata_done) Metadata m = {}, n = {};

        ASSERT_EQ(metadata_parse("<vm kind=\"talos\">\n  <gpu address=\"0000:01:00.0\"/>\n</vm>", &m), 1);
        ASSERT_STREQ(m.kind, "talos");
        ASSERT(!m.address && !m.seed && !m.disks);
        ASSERT_EQ(metadata_parse("<g:vm xmlns:g='" METADATA_URI "' kind='talos'/>", &n), 1);
}

TEST(somebody_elses) {
        static const char *const others[] = {
                "<domain/>",
                "<domain><metadata/></domain>",
                "<domain><metadata><vm xmlns='urn:other' kind='talos'/></metadata></domain>",
                "<vm xmlns='urn:other' kind='talos'/>",
                "<domain><vm kind='talos'/></domain>",
        };
        Metadata m;

        for (size_t i = 0; i < ELEMENTSOF(others); i++)
                ASSERT_EQ(metadata_parse(others[i], &m), 0);
}

TEST(what_delete_must_not_believe) {
        static const char *const bad[] = {
                "<vm/>",
                "<vm kind=''/>",
                "<vm kind='a'><disk/></vm>",
                "<vm kind='a'><disk path='relative'/></vm>",
                "<vm kind='a'><disk path='/'/></vm>",
                "<vm kind='a'><disk path='/a/../etc/passwd'/></vm>",
                "<vm kind='a'><disk path='/a/..'/></vm>",
                "<vm kind='a'><seed path='/a/'/></vm>",
                "<vm kind='a'><gpu address='01:00.0'/></vm>",
                "<vm kind='a'><gpu/></vm>",
                "no XML",
        };
        Metadata m;

        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                ASSERT_EQ(metadata_parse(bad[i], &m), -EBADMSG);
}

TEST(another_one_in_front_does_not_hide_it) {
        _cleanup_(metadata_done) Metadata m = {};

        ASSERT_EQ(metadata_parse("<domain><metadata><vm xmlns='urn:other' kind='x'/>"
                                 "<vm xmlns='" METADATA_URI "' kind='talos'/></metadata></domain>",
                                 &m),
                  1);
        ASSERT_STREQ(m.kind, "talos");
}
