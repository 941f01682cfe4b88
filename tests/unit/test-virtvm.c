/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "metadata.h"
#include "strv.h"
#include "tests/libvirt.h"
#include "virtaddress.h"
#include "virtlib.h"
#include "virtvm.h"

#define MACHINE                                                                               \
        "<domain type='test'><name>talos-01</name><metadata><g:vm xmlns:g='" METADATA_URI     \
        "' kind='talos'><g:gpu address='0000:01:00.0'/></g:vm></metadata><memory unit='KiB'>" \
        "4194304</memory><vcpu>4</vcpu><os><type>hvm</type></os></domain>"

TEST(listed_with_its_metadata_and_others_without) {
        _cleanup_(virt_closep) Virt *v = connect_to_test();
        _cleanup_(virtvms_done) VirtVms l = {};
        _cleanup_(metadata_done) Metadata m = {};

        ASSERT_EQ(virtvm_define(v, MACHINE), 0);
        ASSERT_EQ(virtvm_list(v, METADATA_URI, &l), 0);
        ASSERT_EQ(l.n, 2);
        ASSERT_STREQ(l.vms[0].name, "talos-01");
        ASSERT_EQ(l.vms[0].state, VM_OFF);
        ASSERT_EQ(l.vms[0].vcpus, 4);
        ASSERT_EQ(l.vms[0].memory_kib, 4194304);
        ASSERT_EQ(strlen(l.vms[0].uuid), 36);
        ASSERT_EQ(metadata_parse(l.vms[0].metadata, &m), 1);
        ASSERT_STREQ(m.gpus[0], "0000:01:00.0");
        ASSERT_STREQ(l.vms[1].name, "test");
        ASSERT_EQ(l.vms[1].state, VM_RUNNING);
        ASSERT(!l.vms[1].metadata);
}

static char *no_metadata(virDomainPtr d, int type, const char *uri, unsigned flags) {
        (void) type;
        (void) uri;
        (void) flags;
        return streq(lv.virDomainGetName(d), "talos-01") ? NULL : strdup("<vm/>");
}

/* Whose claims are looked for has to be known; who shows what there is shows the others. */
TEST(one_that_libvirt_does_not_tell_about) {
        _cleanup_(virtvms_done) VirtVms l = {}, known = {}, none = {};
        _cleanup_(virt_closep) Virt *v = connect_to_test();
        size_t missing = 7;

        ASSERT_EQ(virtvm_define(v, MACHINE), 0);
        lv.virResetLastError();
        lv.virDomainGetMetadata = no_metadata;
        ASSERT_EQ(virtvm_list(v, METADATA_URI, &l), -EIO);
        ASSERT_EQ(l.n, 0);
        ASSERT_EQ(virtvm_list_known(v, METADATA_URI, &known, &missing), 0);
        ASSERT_EQ(missing, 1);
        ASSERT_EQ(known.n, 1);
        ASSERT_STREQ(known.vms[0].name, "test");
        ASSERT_EQ(virtvm_destroy(v, "test"), 0);
        ASSERT_EQ(virtvm_destroy(v, "test"), 0); /* it may have ended by itself meanwhile */
        ASSERT_EQ(virtvm_destroy(v, "nobody"), -ENOENT);
        ASSERT_EQ(virtvm_undefine(v, "test"), 0);
        lv.virResetLastError();
        ASSERT_EQ(virtvm_list_known(v, METADATA_URI, &none, &missing), -EIO); /* of none at all */
}

TEST(from_its_definition_to_its_end) {
        _cleanup_(virt_closep) Virt *v = connect_to_test();
        _cleanup_(virtvm_done) VirtVm m = {};
        _cleanup_free_ char *xml = NULL;
        VmState state;
        bool on = true;

        ASSERT_EQ(virtvm_find(v, "talos-01", METADATA_URI, &m), -ENOENT);
        ASSERT_EQ(virtvm_start(v, "talos-01"), -ENOENT);
        ASSERT_EQ(virtvm_define(v, MACHINE), 0);
        ASSERT(virtvm_shutdown(v, "talos-01") < 0);
        ASSERT_EQ(virtvm_start(v, "talos-01"), 0);
        ASSERT(virtvm_start(v, "talos-01") < 0); /* an internal error, to the test driver */
        ASSERT(*virt_message(v));
        ASSERT_EQ(virtvm_find(v, "talos-01", METADATA_URI, &m), 0);
        ASSERT_EQ(m.state, VM_RUNNING);
        ASSERT_EQ(virtvm_wait_off(v, "talos-01", 1000, NULL, NULL), 0);
        ASSERT_EQ(virtvm_shutdown(v, "talos-01"), 0);
        ASSERT_EQ(virtvm_wait_off(v, "talos-01", USEC_PER_SEC, NULL, NULL), 1);
        ASSERT_EQ(virtvm_get_autostart(v, "talos-01", &on), 0);
        ASSERT(!on);
        ASSERT_EQ(virtvm_set_autostart(v, "talos-01", true), 0);
        ASSERT_EQ(virtvm_get_autostart(v, "talos-01", &on), 0);
        ASSERT(on);
        ASSERT_EQ(virtvm_xml(v, "talos-01", &xml), 0);
        ASSERT(strstr(xml, METADATA_URI));
        ASSERT_EQ(virtvm_start(v, "talos-01"), 0);
        ASSERT_EQ(virtvm_destroy(v, "talos-01"), 0);
        ASSERT_EQ(virtvm_undefine(v, "talos-01"), 0);
        ASSERT_EQ(virtvm_undefine(v, "talos-01"), 0);
        ASSERT_EQ(virtvm_state(v, "talos-01", &state), -ENOENT);
        ASSERT_EQ(virtvm_wait_off(v, "talos-01", 0, NULL, NULL), 1);
}

/* With four CPUs more, and a GPU that its definition does not name. */
TEST(started_as_another_description_has_it_once) {
        _cleanup_(virt_closep) Virt *v = connect_to_test();
        _cleanup_free_ char *definition = NULL, *now = NULL, *next = NULL, *after = NULL;
        char *cpus;

        ASSERT_EQ(virtvm_define(v, MACHINE), 0);
        ASSERT_EQ(virtvm_definition(v, "talos-01", &definition), 0);
        cpus = strstr(definition, ">4</vcpu>");
        ASSERT(cpus);
        cpus[1] = '8';
        ASSERT_EQ(virtvm_is_saved(v, "talos-01"), 0);
        ASSERT_EQ(virtvm_start_as(v, definition), 0);
        ASSERT_EQ(virtvm_xml_now(v, "talos-01", &now), 0);
        ASSERT(strstr(now, ">8</vcpu>"));
        ASSERT_EQ(virtvm_xml(v, "talos-01", &next), 0);
        ASSERT(strstr(next, ">4</vcpu>"));
        ASSERT(virtvm_start_as(v, definition) < 0); /* it runs */
        ASSERT_EQ(virtvm_destroy(v, "talos-01"), 0);
        ASSERT_EQ(virtvm_xml_now(v, "talos-01", &after), 0);
        ASSERT(strstr(after, ">4</vcpu>"));
}

TEST(what_the_schema_forbids_is_not_defined) {
        _cleanup_(virt_closep) Virt *v = connect_to_test();

        ASSERT(virtvm_define(v, "<domain type='test'><name>a</name><nonsense/></domain>") < 0);
        ASSERT(*virt_message(v));
}

static int stop_waiting(void *userdata) {
        ++*(int *) userdata;
        return -EINTR;
}

TEST(a_wait_can_be_left) {
        _cleanup_(virt_closep) Virt *v = connect_to_test();
        int ticks = 0;

        ASSERT_EQ(virtvm_wait_off(v, "test", USEC_PER_SEC * 60, stop_waiting, &ticks), -EINTR);
        ASSERT_EQ(ticks, 1);
}

TEST(addresses_by_each_source) {
        _cleanup_(virt_closep) Virt *v = connect_to_test();

        for (VirtSource s = 0; s < _VIRT_SOURCE_MAX; s++) {
                _cleanup_strv_ char **l = NULL;

                ASSERT(virt_source_to_string(s));
                ASSERT_EQ(virtaddress_find(v, "test", s, 5, &l), 0);
        }
        ASSERT(!virt_source_to_string(_VIRT_SOURCE_MAX));
}

/* The test driver knows no leases, which is no error. */
TEST(leases_of_all_networks) {
        _cleanup_(virtleases_done) VirtLeases l = { .n = 0 };
        _cleanup_(virt_closep) Virt *v = connect_to_test();

        ASSERT_EQ(virtaddress_leases(v, &l), 0);
        ASSERT_EQ(l.n, 0);
}
