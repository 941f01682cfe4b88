/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Bootfile: how boot files are replaced, and what proves that the old ones may go. */

#include "bootfile.h"
#include "strv.h"
#include "tests/tree.h"

#define NINE     "/boot/initrd.img-6.1.0-9-amd64"
#define THIRTEEN "/boot/initrd.img-6.1.0-13-amd64"
#define ESP      "/boot/efi/0123/6.1.0-13-amd64/initrd.img-6.1.0-13-amd64"
#define ESP_BARE "/efi/0123/6.1.0-13-amd64/initrd"
#define MENU     "/boot/grub/grub.cfg"

static int root;

static void publish(const char *path, const char *text) {
        _cleanup_free_ char *temp = NULL;

        ASSERT_EQ(str_printf(&temp, "%s" BOOTFILE_NEW, path), 0);
        tree_put(temp, text);
        ASSERT_EQ(bootfile_publish(root, temp, path), 0);
        ASSERT_EQ(fs_exists(root, temp), 0);
}

static void start(const char *id, const char *kernel) {
        tree_put("/proc/sys/kernel/random/boot_id", id);
        tree_put("/proc/sys/kernel/osrelease", kernel);
}

/* What may go, one behind the other. */
static const char *proven(void) {
        static char text[512];
        _cleanup_strv_ char **l = NULL;
        size_t n = 0;

        ASSERT_EQ(bootfile_proven(root, &l), 0);
        *text = '\0';
        STRV_FOREACH(path, l)
                n += (size_t) snprintf(text + n, sizeof(text) - n, "%s%s", n > 0 ? " " : "", *path);
        return text;
}

static const char *line_of(const char *path) {
        static char text[256];
        _cleanup_free_ char *line = NULL;
        int r = fs_read_line(root, path, &line);

        (void) snprintf(text, sizeof(text), "%s", r < 0 ? strerror(-r) : line);
        return text;
}

/* As the kernel shows what the loader has loaded. */
static void loaded(uint32_t size) {
        uint8_t params[4096] = {};

        memcpy(params + 0x21c, &size, sizeof(size));
        ASSERT_EQ(fs_write_atomic(root, "/sys/kernel/boot_params/data", params, sizeof(params), 0444), 0);
}

TEST(publish_keeps_the_one_that_started) {
        struct stat st;

        root = tree_new();
        start("one", "6.1.0-13-amd64");
        ASSERT_EQ(fs_write_atomic(root, THIRTEEN, "good", 4, 0640), 0);
        /* The second time in one boot the first old one is still the good one. */
        for (int i = 0; i < 2; i++)
                publish(THIRTEEN, "new");
        ASSERT_EQ(fs_stat(root, THIRTEEN, &st), 0);
        ASSERT_EQ(st.st_mode & 07777, 0640);
        ASSERT_STREQ(line_of(THIRTEEN BOOTFILE_OLD), "good");
        ASSERT_STREQ(proven(), "");
        start("two", "6.1.0-13-amd64");
        ASSERT_STREQ(proven(), THIRTEEN);
        publish(THIRTEEN, "newer");
        ASSERT_STREQ(line_of(THIRTEEN BOOTFILE_OLD), "new");
        ASSERT_STREQ(proven(), "");
        ASSERT_EQ(bootfile_forget(root, THIRTEEN), 0);
        ASSERT_EQ(fs_exists(root, THIRTEEN BOOTFILE_OLD), 0);
        ASSERT_EQ(fs_exists(root, BOOTFILE_UNPROVEN), 0);
        ASSERT_STREQ(line_of(THIRTEEN), "newer");
        /* What was not there has nothing to keep. */
        publish(NINE, "first");
        ASSERT_EQ(fs_exists(root, BOOTFILE_UNPROVEN), 0);
}

TEST(an_image_is_proven_by_its_kernel) {
        root = tree_new();
        tree_put(NINE, "good");
        tree_put(THIRTEEN, "good");
        start("one", "6.1.0-9-amd64");
        publish(NINE, "new");
        publish(THIRTEEN, "new");
        start("two", "6.1.0-9-amd64");
        ASSERT_STREQ(proven(), NINE);
        ASSERT_EQ(bootfile_forget(root, NINE), 0);
        ASSERT_STREQ(proven(), "");
        /* It has not come up: what is kept is still the one before. */
        publish(THIRTEEN, "newer");
        ASSERT_STREQ(line_of(THIRTEEN BOOTFILE_OLD), "good");
        start("three", "6.1.0-13-amd64");
        ASSERT_STREQ(proven(), THIRTEEN);
        start("four", "6.1.0-20-amd64");
        ASSERT_STREQ(proven(), THIRTEEN);
}

TEST(not_by_the_old_image) {
        root = tree_new();
        tree_put(THIRTEEN, "good enough");
        start("one", "6.1.0-13-amd64");
        publish(THIRTEEN, "bad");
        start("two", "6.1.0-13-amd64");
        loaded(12); /* eleven bytes, rounded up */
        ASSERT_STREQ(proven(), "");
        publish(THIRTEEN, "bad as well");
        ASSERT_STREQ(line_of(THIRTEEN BOOTFILE_OLD), "good enough");
        start("three", "6.1.0-13-amd64");
        loaded(12); /* as long as the new one, too: nothing speaks against it */
        ASSERT_STREQ(proven(), THIRTEEN);
        loaded(100); /* two images in one */
        ASSERT_STREQ(proven(), THIRTEEN);
}

TEST(a_menu_is_proven_by_a_start_of_it) {
        root = tree_new();
        tree_put(MENU, "linux /vmlinuz ro quiet\n");
        tree_put(THIRTEEN, "good");
        start("one", "6.1.0-9-amd64");
        publish(MENU, "linux /vmlinuz ro quiet iommu=pt\n");
        publish(THIRTEEN, "new");
        start("two", "6.1.0-13-amd64");
        tree_put("/proc/cmdline", "BOOT_IMAGE=/vmlinuz ro quiet\n");
        ASSERT_STREQ(proven(), THIRTEEN);
        tree_put("/proc/cmdline", "BOOT_IMAGE=/vmlinuz ro quiet iommu=pt\n");
        ASSERT_STREQ(proven(), THIRTEEN " " MENU);
        /* By another kernel than the one whose image waits. */
        start("three", "6.1.0-9-amd64");
        ASSERT_STREQ(proven(), "");
}

TEST(an_image_that_is_not_there) {
        root = tree_new();
        tree_put(THIRTEEN, "good");
        tree_put("/lib/modules/6.1.0-13-amd64/modules.dep", "");
        start("one", "6.1.0-13-amd64");
        publish(THIRTEEN, "new");
        start("two", "6.1.0-13-amd64");
        ASSERT_EQ(renameat(root, "boot", root, "away"), 0);
        ASSERT_STREQ(proven(), ""); /* not mounted */
        ASSERT_EQ(fs_remove(root, "/lib/modules/6.1.0-13-amd64/modules.dep"), 1);
        ASSERT_EQ(unlinkat(root, "lib/modules/6.1.0-13-amd64", AT_REMOVEDIR), 0);
        ASSERT_STREQ(proven(), THIRTEEN); /* gone with its kernel */
        ASSERT_EQ(renameat(root, "away", root, "boot"), 0);
        ASSERT_EQ(fs_remove(root, THIRTEEN), 1);
        start("three", "6.1.0-9-amd64");
        ASSERT_STREQ(proven(), THIRTEEN);
        ASSERT_EQ(bootfile_forget(root, THIRTEEN), 0);
        ASSERT_EQ(fs_exists(root, THIRTEEN BOOTFILE_OLD), 0);
}

TEST(images_of_loader_entries) {
        root = tree_new();
        tree_put(ESP, "good");
        tree_put(ESP_BARE, "good");
        start("one", "6.1.0-13-amd64");
        publish(ESP, "new");
        publish(ESP_BARE, "new");
        start("two", "6.1.0-9-amd64");
        ASSERT_STREQ(proven(), "");
        start("three", "6.1.0-13-amd64");
        ASSERT_STREQ(proven(), ESP " " ESP_BARE);
}

TEST(a_list_that_is_not_ours) {
        root = tree_new();
        start("two", "6.1.0-13-amd64");
        tree_put(BOOTFILE_UNPROVEN, "one\n/boot/x\n\n /\none boot/x\none " THIRTEEN "\n");
        tree_put(THIRTEEN, "new");
        ASSERT_STREQ(proven(), "/ " THIRTEEN);
}

TEST(room) {
        root = tree_new();

        ASSERT_EQ(fs_mkdir_p(root, "/boot", 0755), 0);
        ASSERT_EQ(bootfile_room(root, "/boot", 1), 0);
        ASSERT_EQ(bootfile_room(root, "/boot", UINT64_MAX / 2), -ENOSPC);
        ASSERT_EQ(bootfile_room(root, "/none", 1), -ENOENT);
        ASSERT_EQ(bootfile_room_beside(root, "/boot/x", 1), 0);
        ASSERT_EQ(bootfile_room_beside(root, "/boot/x", UINT64_MAX / 2), -ENOSPC);
}
