/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which starts a store of models stands against. */

#include <sched.h>
#include <sys/mount.h>

#include "fs.h"
#include "tests/tap.h"
#include "vmdefined.h"
#include "vmstore.h"

#define SHARE(tag, path, more) \
        "<filesystem type='mount'><source dir='" path "'/><target dir='" tag "'/>" more "</filesystem>"
#define DOMAIN(devices) "<domain><devices>" devices "</devices></domain>"
#define OWN             SHARE("gpuvm-models", "/srv/models", "")
#define KEPT            SHARE("gpuvm-models", "/srv/models", "<readonly/>")

static char base[] = "/tmp/test-vmstore-XXXXXX";
static VmStoreRefusal said;

static int look(int root, const char *xml) {
        vmstore_refusal_done(&said);
        return vmstore_may_start(root, "llm-01", xml, &said);
}

static int make_root(bool directory) {
        _cleanup_free_ char *path = NULL;
        int root;

        ASSERT(mkdtemp(base));
        root = fs_open_root(base);
        ASSERT(root >= 0);
        ASSERT(str_printf(&path, "%s/srv", base) >= 0 && mkdir(path, 0755) >= 0);
        free(path);
        path = NULL;
        ASSERT(str_printf(&path, "%s/srv/models", base) >= 0);
        if (directory)
                ASSERT(mkdir(path, 0755) >= 0);
        return root;
}

static void remove_root(void) {
        static const char *const names[] = { "/srv/models", "/srv", "" };

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                _cleanup_free_ char *path = NULL;

                ASSERT(str_printf(&path, "%s%s", base, names[i]) >= 0);
                (void) rmdir(path);
        }
        memcpy(base + sizeof(base) - 7, "XXXXXX", 6);
        vmstore_refusal_done(&said);
}

TEST(what_a_definition_shares) {
        _cleanup_free_ char *path = NULL;
        bool kept = true;
        int r = vmdefined_store("<domain/>", &path, &kept);

        if (r == -ENOPKG)
                SKIP("libxml2 is not installed");
        ASSERT_EQ(r, 0);
        ASSERT(!path);
        ASSERT_EQ(vmdefined_store(DOMAIN(SHARE("theirs", "/home/ada", "") OWN), &path, &kept), 0);
        ASSERT_STREQ(path, "/srv/models");
        ASSERT(!kept);
        free(path);
        ASSERT_EQ(vmdefined_store(DOMAIN(KEPT SHARE("theirs", "/home/ada", "")), &path, &kept), 0);
        ASSERT(kept);
        free(path);
        ASSERT_EQ(vmdefined_store("<network/>", &path, &kept), -EBADMSG);
        ASSERT_EQ(vmdefined_store("<domain", &path, &kept), -EBADMSG);
}

TEST(a_directory_that_is_plain) {
        _cleanup_close_ int root = -EBADF;

        if (look(-EBADF, DOMAIN(OWN)) == -ENOPKG)
                SKIP("libxml2 is not installed");
        root = make_root(true);
        ASSERT_EQ(look(root, DOMAIN(OWN)), 0);
        ASSERT_STREQ(said.cause,
                     "'/srv/models' is not mounted read-only, and 'llm-01', which shares it, could write to it");
        ASSERT(strstr(said.remedy, "'sudo mount /srv/models'"));
        ASSERT_EQ(look(root, DOMAIN(KEPT)), 1);
        ASSERT_EQ(look(root, DOMAIN(SHARE("theirs", "/srv/models", ""))), 1);
        ASSERT_EQ(look(root, "<domain/>"), 1);
        ASSERT_EQ(look(root, "<domain"), -EBADMSG);
        remove_root();
}

TEST(a_directory_that_is_gone) {
        _cleanup_close_ int root = -EBADF;

        if (look(-EBADF, DOMAIN(OWN)) == -ENOPKG)
                SKIP("libxml2 is not installed");
        root = make_root(false);
        ASSERT_EQ(look(root, DOMAIN(KEPT)), 0);
        ASSERT_STREQ(said.cause,
                     "Cannot open '/srv/models', which 'llm-01' shares: No such file or directory");
        ASSERT_EQ(look(root, DOMAIN(OWN)), 0);
        ASSERT(strstr(said.cause, "No such file"));
        remove_root();
}

TEST(on_another_host) {
        int r = look(-EBADF, DOMAIN(OWN));

        if (r == -ENOPKG)
                SKIP("libxml2 is not installed");
        ASSERT_EQ(r, 0);
        ASSERT_STREQ(said.remedy, "'systemctl start gpuvm-vm@llm-01' there looks, and starts it");
        ASSERT_EQ(look(-EBADF, DOMAIN(KEPT)), 1);
        vmstore_refusal_done(&said);
}

/* The last one: this process has mounts of its own from here on. */
TEST(a_directory_that_is_mounted_read_only) {
        _cleanup_free_ char *path = NULL;
        _cleanup_close_ int root = -EBADF;

        if (look(-EBADF, DOMAIN(OWN)) == -ENOPKG)
                SKIP("libxml2 is not installed");
        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
                SKIP("needs root");
        root = make_root(true);
        ASSERT(str_printf(&path, "%s/srv/models", base) >= 0);
        ASSERT(mount(path, path, NULL, MS_BIND, NULL) >= 0);
        ASSERT_EQ(look(root, DOMAIN(OWN)), 0);
        ASSERT(mount(NULL, path, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) >= 0);
        ASSERT_EQ(look(root, DOMAIN(OWN)), 1);
        ASSERT(umount2(path, MNT_DETACH) >= 0);
        remove_root();
}
