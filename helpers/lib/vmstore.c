/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <sys/statvfs.h>

#include "fs.h"
#include "vmdefined.h"
#include "vmstore.h"

/* As a directory, so that what is mounted when it is used is mounted now. */
int vmstore_open(int root, const char *path) {
        return fs_open(root, path, O_PATH | O_DIRECTORY, 0);
}

int vmstore_is_readonly(int fd) {
        struct statvfs st;

        return fstatvfs(fd, &st) < 0 ? negative_errno() : (st.f_flag & ST_RDONLY) != 0;
}

void vmstore_refusal_done(VmStoreRefusal *r) {
        free(r->cause);
        free(r->remedy);
        *r = (VmStoreRefusal){};
}

static int refuse_closed(const char *name, const char *path, int error, VmStoreRefusal *ret) {
        if (str_printf(&ret->cause, "Cannot open '%s', which '%s' shares: %s", path, name, strerror(-error)) <
                            0 ||
            str_printf(&ret->remedy,
                       "It has to be there before the machine starts; if it is a mount, 'sudo mount %s'",
                       path) < 0)
                return -ENOMEM;
        return 0;
}

static int refuse_writable(const char *name, const char *path, VmStoreRefusal *ret) {
        if (str_printf(&ret->cause,
                       "'%s' is not mounted read-only, and '%s', which shares it, could write to it", path,
                       name) < 0 ||
            str_printf(&ret->remedy,
                       "'sudo mount %s' mounts it as /etc/fstab says; a line that is gone there was like 'DIRECTORY %s none bind,ro'",
                       path, path) < 0)
                return -ENOMEM;
        return 0;
}

static int refuse_unseen(const char *name, const char *path, VmStoreRefusal *ret) {
        if (str_printf(&ret->cause, "'%s' shares '%s', which has to be mounted read-only on its host", name,
                       path) < 0 ||
            str_printf(&ret->remedy, "'systemctl start gpuvm-vm@%s' there looks, and starts it", name) < 0)
                return -ENOMEM;
        return 0;
}

static int judge(int root, const char *name, const char *path, bool kept, VmStoreRefusal *ret) {
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (root < 0)
                return kept ? 1 : refuse_unseen(name, path, ret);
        fd = vmstore_open(root, path);
        r = fd < 0 || kept ? fd : vmstore_is_readonly(fd);
        if (r < 0)
                return refuse_closed(name, path, r, ret);
        return r > 0 || kept ? 1 : refuse_writable(name, path, ret);
}

int vmstore_may_start(int root, const char *name, const char *xml, VmStoreRefusal *ret) {
        _cleanup_(vmstore_refusal_done) VmStoreRefusal refusal = {};
        _cleanup_free_ char *path = NULL;
        bool kept = false;
        int r;

        r = vmdefined_store(xml, &path, &kept);
        if (r < 0 || !path)
                return r < 0 ? r : 1;
        r = judge(root, name, path, kept, &refusal);
        if (r != 0)
                return r;
        *ret = refusal;
        refusal = (VmStoreRefusal){};
        return 0;
}
