/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "report.h"
#include "strv.h"
#include "tests/tree.h"

static void write_record(int root, const char *path, const char *text) {
        ASSERT_EQ(fs_write_atomic(root, path, text, strlen(text), 0644), 0);
}

static char *print(json_object *o) {
        char *text = NULL;
        size_t n;
        FILE *f = open_memstream(&text, &n);

        ASSERT(f);
        report_print(o, f);
        ASSERT_EQ(fclose(f), 0);
        return text;
}

static PciDevice device(const char *name, uint32_t class, const char *driver, int group) {
        PciDevice d = { .vendor = 0x10de,
                        .device = 0x2684,
                        .class = class,
                        .driver = (char *) driver,
                        .iommu_group = group };

        ASSERT_EQ(bdf_parse(name, &d.bdf), 0);
        (void) bdf_format(d.bdf, d.name);
        return d;
}

static json_object *collect(int root) {
        PciDevice devices[] = {
                device("0000:00:01.0", 0x060400, "pcieport", 7),
                device("0000:01:00.0", 0x030000, "vfio-pci", 7),
                device("0000:01:00.1", 0x040300, NULL, 7),
                device("0000:02:00.0", 0x020000, "e1000e", 8),
        };
        const PciBus bus = { devices, ELEMENTSOF(devices) };
        json_object *o = NULL;
        Conf c;

        devices[0].header_type = 1;
        ASSERT_EQ(conf_init(&c), 0);
        ASSERT_EQ(report_collect(root, &c, &bus, &o), 0);
        conf_done(&c);
        return o;
}

TEST(a_record_of_now_and_what_was_done_before) {
        int root = tree_new();
        _cleanup_json_ json_object *o = NULL;
        _cleanup_free_ char *page = NULL;

        write_record(root, "/var/lib/gpuvm/phases/iommu.json",
                     "{\"result\":\"failed\",\"failure\":\"old\",\"took_ms\":2500,"
                     "\"changes\":[{\"action\":\"write\",\"object\":\"/etc/x\",\"detail\":\"so\"}]}");
        write_record(root, "/run/gpuvm/phases/iommu.json",
                     "{\"result\":\"ok\",\"took_ms\":3,\"changes\":[]}");
        write_record(root, "/run/gpuvm/phases/vfio.json", "{\"result\":\"ok\",\"took_ms\":1,\"changes\":[]}");
        o = collect(root);
        page = print(o);
        ASSERT(strstr(page, "  iommu      ok                  2.5 s  1 change\n      write /etc/x: so\n"));
        ASSERT(strstr(page, "  vfio       ok                  0.0 s  nothing changed\n"));
        ASSERT(!strstr(page, "old"));
        ASSERT(!strstr(page, "storage"));
        ASSERT(strstr(page, "Not verified yet"));
}

TEST(times_beside_their_limits) {
        int root = tree_new();
        _cleanup_json_ json_object *o = NULL, *late = NULL;
        _cleanup_free_ char *page = NULL, *late_page = NULL;

        write_record(root, "/run/gpuvm/phases/nvidia.json",
                     "{\"result\":\"ok\",\"took_ms\":599900,\"changes\":[]}");
        write_record(root, "/run/gpuvm/phases/kvm.json",
                     "{\"result\":\"ok\",\"took_ms\":100100,\"changes\":[]}");
        o = collect(root);
        page = print(o);
        ASSERT(strstr(page, "  nvidia     ok                599.9 s  nothing changed\n"));
        ASSERT(strstr(page, "  all but the driver           100.1 s\n"));
        ASSERT(strstr(page, "  all                          700.0 s\n"));
        write_record(root, "/run/gpuvm/phases/nvidia.json",
                     "{\"result\":\"ok\",\"took_ms\":1800000,\"changes\":[]}");
        write_record(root, "/run/gpuvm/phases/kvm.json",
                     "{\"result\":\"ok\",\"took_ms\":600100,\"changes\":[]}");
        late = collect(root);
        late_page = print(late);
        ASSERT(strstr(late_page, "1800.0 s (more than 600 s)  nothing changed\n"));
        ASSERT(strstr(late_page, "  all but the driver           600.1 s (more than 600 s)\n"));
        ASSERT(strstr(late_page, "  all                         2400.1 s (more than 1800 s)\n"));
}

TEST(gpus_with_their_groups) {
        int root = tree_new();
        _cleanup_json_ json_object *o = collect(root);
        _cleanup_free_ char *page = print(o);

        ASSERT(strstr(page, "  0000:01:00.0  10de:2684 "));
        ASSERT(strstr(page, ", vfio-pci, IOMMU group 7\n      0000:01:00.1  no driver\n"));
        ASSERT(!strstr(page, "0000:00:01.0"));
        ASSERT(!strstr(page, "0000:02:00.0"));
}

TEST(the_worst_check_counts) {
        int root = tree_new();
        _cleanup_json_ json_object *o = collect(root);
        _cleanup_strv_ char **texts = NULL;
        _cleanup_free_ char *page = NULL;
        const char *remedy;

        ASSERT_EQ(report_worst(o), CHECK_OK);
        ASSERT_EQ(report_add_check(o, "a", CHECK_SKIP, NULL, "not wanted"), 0);
        ASSERT_EQ(report_worst(o), CHECK_OK);
        ASSERT_EQ(report_add_check(o, "b", CHECK_FAIL, "Do it.", "%d of %d", 1, 2), 0);
        ASSERT_EQ(report_add_check(o, "c", CHECK_WARN, NULL, "hm"), 0);
        ASSERT_EQ(report_worst(o), CHECK_FAIL);
        ASSERT_EQ(report_texts(o, CHECK_FAIL, &texts, &remedy), 0);
        ASSERT_EQ(strv_length(texts), 1);
        ASSERT_STREQ(texts[0], "1 of 2");
        ASSERT_STREQ(remedy, "Do it.");
        page = print(o);
        ASSERT(strstr(page, "  fail  b          1 of 2\n                   Do it.\n"));
}

TEST(damaged_records_are_left_out) {
        static const char *const texts[] = { "",
                                             "{",
                                             "[]",
                                             "null",
                                             "{\"result\":5,\"changes\":{},\"took_ms\":\"x\"}",
                                             "{\"changes\":[1,null,{\"action\":[]}]}" };

        int root = tree_new();

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                _cleanup_json_ json_object *o = NULL;
                _cleanup_free_ char *page = NULL;

                write_record(root, "/run/gpuvm/phases/kvm.json", texts[i]);
                o = collect(root);
                page = print(o);
                ASSERT_EQ(strstr(page, "  kvm ") != NULL, i >= 4);
        }
}

TEST(nothing_in_a_file_makes_a_line_of_its_own) {
        _cleanup_json_ json_object *o = json_tokener_parse(
                        "{\"ready\":true,\"host\":{\"system\":\"a\\nb\\u001b[31m\"},"
                        "\"checks\":[{\"result\":\"ok\",\"check\":\"x\",\"text\":\"y\\nz\"}]}");
        _cleanup_free_ char *page = print(o);

        ASSERT(strstr(page, "a?b?[31m"));
        ASSERT(strstr(page, "y?z\n"));
        ASSERT(strstr(page, "Ready for GPU VMs"));
}

TEST(says_what_came_after_the_checks) {
        _cleanup_json_ json_object *o = json_tokener_parse("{\"ready\":false,\"stopped\":\"nv\\nidia\"}"),
                                   *again = json_tokener_parse("{\"ready\":true,\"stopped\":\"nvidia\"}");
        _cleanup_free_ char *page = print(o), *ready = print(again);

        ASSERT(strstr(page, "Not ready: after these checks the bootstrap has stopped in phase nv?idia\n"));
        ASSERT(strstr(ready, "Ready for GPU VMs\n"));
}

TEST(reads_only_reports) {
        int root = tree_new();
        _cleanup_json_ json_object *o = NULL;

        ASSERT_EQ(report_read(root, &o), -ENOENT);
        write_record(root, REPORT_PATH, "[1]");
        ASSERT_EQ(report_read(root, &o), -EBADMSG);
        write_record(root, REPORT_PATH, "{}");
        ASSERT_EQ(report_read(root, &o), 0);
}
