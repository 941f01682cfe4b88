/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Undo: what a record holds, that it is made once, and that a damaged one is never taken for a record. */

#include "ledger.h"
#include "restore.h"
#include "strv.h"
#include "tests/tree.h"
#include "undo.h"

static Ledger load(int root) {
        Ledger l;

        ASSERT_EQ(ledger_load(root, &l), 0);
        return l;
}

TEST(write_records_first_state_once) {
        _cleanup_(undo_freep) Undo *u = NULL;
        int root = tree_new();
        _cleanup_(ledger_done) Ledger l = {};
        struct stat st;

        ASSERT_EQ(fs_write_atomic(root, "/etc/a", "old", 3, 0640), 0);
        ASSERT_EQ(undo_open(root, "iommu", &u), 0);
        ASSERT_EQ(undo_write_file(u, "/etc/a", "new", 3, 0644), 1);
        ASSERT_EQ(undo_write_file(u, "/etc/a", "new", 3, 0644), 0);
        ASSERT_EQ(undo_write_file(u, "/etc/a", "newer", 5, 0644), 1);
        l = load(root);
        ASSERT_EQ(l.n, 3);
        ASSERT_STREQ(l.records[0].name, "000001-iommu");
        ASSERT_STREQ(l.records[0].kind, "file");
        ASSERT_STREQ(l.records[0].was, "present");
        ASSERT_STREQ(l.records[0].data, "old");
        ASSERT_EQ(l.records[0].mode, 0640);
        ASSERT_STREQ(l.records[1].kind, "wrote");
        ASSERT_STREQ(l.records[1].data, "new");
        ASSERT_STREQ(l.records[2].data, "newer");
        ASSERT_EQ(fs_stat(root, LEDGER_DIR, &st), 0);
        ASSERT_EQ(st.st_mode & 07777, 0700);
        ASSERT_EQ(fs_stat(root, LEDGER_DIR "/000001-iommu", &st), 0);
        ASSERT_EQ(st.st_mode & 07777, 0600);
}

static const char *target_of(const Ledger *l, const char *step) {
        char *steps[] = { (char *) step, NULL };
        const LedgerRecord *t = restore_target(l, step ? steps : NULL, "/etc/a");

        return t ? t->data : NULL;
}

static void write_as_administrator(int root, const char *text) {
        ASSERT_EQ(fs_write_atomic(root, "/etc/a", text, strlen(text), 0600), 0);
}

TEST(edit_goes_back_to_the_latest_of_others) {
        _cleanup_(undo_freep) Undo *u = NULL;
        int root = tree_new();
        _cleanup_(ledger_done) Ledger l = {};

        write_as_administrator(root, "a\n");
        ASSERT_EQ(undo_open(root, "vfio", &u), 0);
        ASSERT_EQ(undo_edit_file(u, "/etc/a", NULL, "a\nours\n", 0644), 1);
        ASSERT_EQ(undo_edit_file(u, "/etc/a", "a\n", "a\nours too\n", 0644), 1);
        ASSERT_EQ(undo_edit_file(u, "/etc/a", "a\n", "a\nours\n", 0644), 1);
        l = load(root);
        ASSERT_EQ(l.n, 3); /* nobody else has been there */
        ASSERT_STREQ(target_of(&l, "vfio"), "a\n");
        ledger_done(&l);

        /* With ours in it: only what is theirs counts. */
        write_as_administrator(root, "a\nours\nmine\n");
        ASSERT_EQ(undo_edit_file(u, "/etc/a", "a\nmine\n", "a\nmine\nours\n", 0644), 1);
        l = load(root);
        ASSERT_EQ(l.n, 5);
        ASSERT_STREQ(target_of(&l, "vfio"), "a\nmine\n");
        ASSERT_EQ(l.records[3].mode, 0600);
        ledger_done(&l);

        /* What the one before had is back again: that is somebody else's doing as well. */
        write_as_administrator(root, "a\n");
        ASSERT_EQ(undo_edit_file(u, "/etc/a", NULL, "a\nours\n", 0644), 1);
        l = load(root);
        ASSERT_STREQ(target_of(&l, NULL), "a\n");
        ASSERT_EQ(fs_remove(root, "/etc/a"), 1);
        ASSERT_EQ(undo_edit_file(u, "/etc/a", "", "ours\n", 0644), 1);
        ledger_done(&l);
        l = load(root);
        ASSERT_STREQ(restore_target(&l, NULL, "/etc/a")->was, "absent");
}

TEST(a_file_of_ours_goes_back_to_the_first) {
        _cleanup_(undo_freep) Undo *u = NULL;
        int root = tree_new();
        _cleanup_(ledger_done) Ledger l = {};

        write_as_administrator(root, "a");
        ASSERT_EQ(undo_open(root, "vfio", &u), 0);
        ASSERT_EQ(undo_write_file(u, "/etc/a", "ours", 4, 0644), 1);
        write_as_administrator(root, "ours, and mine");
        ASSERT_EQ(undo_write_file(u, "/etc/a", "ours", 4, 0644), 1);
        l = load(root);
        ASSERT_EQ(l.n, 2);
        ASSERT_STREQ(target_of(&l, "vfio"), "a");
}

TEST(target_of_steps_that_follow_each_other) {
        _cleanup_(undo_freep) Undo *u = NULL, *v = NULL;
        int root = tree_new();
        _cleanup_(ledger_done) Ledger l = {};

        write_as_administrator(root, "a");
        ASSERT_EQ(undo_open(root, "iommu", &u), 0);
        ASSERT_EQ(undo_open(root, "vfio", &v), 0);
        ASSERT_EQ(undo_edit_file(u, "/etc/a", NULL, "ab", 0644), 1);
        ASSERT_EQ(undo_edit_file(v, "/etc/a", NULL, "abc", 0644), 1);
        l = load(root);
        ASSERT_STREQ(target_of(&l, NULL), "a");
        ASSERT_STREQ(target_of(&l, "iommu"), "a");
        ASSERT_STREQ(target_of(&l, "vfio"), "ab");
        ASSERT(!target_of(&l, "kvm"));
}

TEST(records_outlive_the_process) {
        int root = tree_new();
        Undo *u;

        ASSERT_EQ(undo_open(root, "kvm", &u), 0);
        ASSERT_EQ(undo_record_package(u, "ovmf"), 1);
        undo_free(u);
        ASSERT_EQ(undo_open(root, "kvm", &u), 0);
        ASSERT_EQ(undo_record_package(u, "ovmf"), 0);
        ASSERT_EQ(undo_record_member(u, "anna", "kvm"), 1);
        ASSERT_EQ(undo_record_member(u, "anna", "libvirt"), 1);
        ASSERT_EQ(undo_record_member(u, "anna", "libvirt"), 0);
        ASSERT_EQ(undo_record_unit(u, "libvirtd.service", "disabled"), 1);
        ASSERT_EQ(undo_record_unit(u, "libvirtd.service", "inactive"), 1);
        ASSERT_EQ(undo_record_unit(u, "libvirtd.service", "enabled"), 0);
        ASSERT_EQ(undo_record_unit(u, "libvirtd.service", "odd"), -EINVAL);
        ASSERT_EQ(undo_record_libvirt(u, "pool", "gpuvm", "absent"), 1);
        ASSERT_EQ(undo_record_libvirt(u, "domain", "gpuvm", "absent"), -EINVAL);
        ASSERT_EQ(undo_record_refresh(u, "udev"), 1);
        undo_free(u);
        ASSERT_EQ(undo_open(root, "packages", &u), 0);
        ASSERT_EQ(undo_record_package(u, "ovmf"), 1); /* another step's own */
        undo_free(u);
}

TEST(new_directories_and_absent_files) {
        _cleanup_(undo_freep) Undo *u = NULL;
        int root = tree_new();
        _cleanup_(ledger_done) Ledger l = {};

        ASSERT_EQ(undo_open(root, "iommu", &u), 0);
        ASSERT_EQ(undo_remove_file(u, "/etc/default/none"), 0);
        ASSERT_EQ(undo_write_file(u, "/etc/default/grub.d/z.cfg", "x", 1, 0644), 1);
        l = load(root);
        ASSERT_EQ(l.n, 5);
        ASSERT_STREQ(l.records[0].object, "/etc");
        ASSERT_STREQ(l.records[2].object, "/etc/default/grub.d");
        ASSERT_STREQ(l.records[2].kind, "dir");
        ASSERT_STREQ(l.records[3].was, "absent");
        ASSERT_EQ(undo_remove_file(u, "/etc/default/grub.d/z.cfg"), 1);
        ASSERT_EQ(fs_exists(root, "/etc/default/grub.d/z.cfg"), 0);
}

TEST(link_is_recorded_as_link) {
        _cleanup_(undo_freep) Undo *u = NULL;
        int root = tree_new();
        _cleanup_(ledger_done) Ledger l = {};

        ASSERT_EQ(fs_write_atomic(root, "/etc/real", "data", 4, 0600), 0);
        ASSERT_EQ(symlinkat("real", root, "etc/link"), 0);
        ASSERT_EQ(undo_open(root, "iommu", &u), 0);
        ASSERT_EQ(undo_record_file(u, "/etc/link"), 1);
        l = load(root);
        ASSERT_STREQ(l.records[0].was, "link");
        ASSERT_STREQ(l.records[0].data, "real");
}

TEST(odd_names_are_refused) {
        _cleanup_(undo_freep) Undo *u = NULL;
        int root = tree_new();

        ASSERT_EQ(undo_open(root, "iommu", &u), 0);
        ASSERT_EQ(undo_record_package(u, "a\nkind=file"), -EINVAL);
        ASSERT_EQ(undo_record_package(u, ""), -EINVAL);
        ASSERT_EQ(undo_write_file(u, "etc/relative", "x", 1, 0644), -EINVAL);
        ASSERT_EQ(fs_exists(root, LEDGER_DIR), 0);
}

TEST(any_damage_is_noticed) {
        LedgerRecord in = { .step = (char *) "iommu",
                            .kind = (char *) "file",
                            .object = (char *) "/etc/x",
                            .was = (char *) "present",
                            .mode = 0644,
                            .data = (char *) "text\n\0more",
                            .size = 10 };
        _cleanup_(ledger_record_done) LedgerRecord out = {};
        _cleanup_free_ char *text = NULL;
        size_t size;

        ASSERT_EQ(ledger_format(&in, &text, &size), 0);
        ASSERT_EQ(ledger_parse(text, size, &out), 0);
        ASSERT_EQ(out.size, 10);
        ASSERT_EQ(memcmp(out.data, in.data, 10), 0);
        for (size_t i = 0; i < size; i++) {
                LedgerRecord bad = {};

                ASSERT_EQ(ledger_parse(text, i, &bad), -EBADMSG);
                for (int bit = 0; bit < 8; bit++) {
                        text[i] ^= (char) (1 << bit);
                        ASSERT_EQ(ledger_parse(text, size, &bad), -EBADMSG);
                        text[i] ^= (char) (1 << bit);
                }
        }
}

TEST(damaged_and_foreign_files_are_named) {
        _cleanup_(undo_freep) Undo *u = NULL;
        int root = tree_new();
        _cleanup_(ledger_done) Ledger l = {};

        ASSERT_EQ(undo_open(root, "iommu", &u), 0);
        ASSERT_EQ(undo_record_refresh(u, "bootloader"), 1);
        ASSERT_EQ(fs_write_atomic(root, LEDGER_DIR "/000002-kvm", "", 0, 0600), 0);
        ASSERT_EQ(fs_write_atomic(root, LEDGER_DIR "/notes.txt", "hello", 5, 0600), 0);
        ASSERT_EQ(fs_mkdir_p(root, LEDGER_DIR "/000003-dir", 0700), 0);
        ASSERT_EQ(mknodat(root, "var/lib/gpuvm/ledger/000004-fifo", S_IFIFO | 0600, 0), 0);
        ASSERT_EQ(fs_write_atomic(root, LEDGER_DIR "/.000009-x.gpuvm-new", "torn", 4, 0600), 0);
        l = load(root);
        ASSERT_EQ(l.n, 1);
        ASSERT_EQ(strv_length(l.damaged), 4);
        ASSERT_EQ(undo_record_refresh(u, "initramfs"), 1);
        ASSERT_EQ(fs_exists(root, LEDGER_DIR "/000005-iommu"), 1);
}
