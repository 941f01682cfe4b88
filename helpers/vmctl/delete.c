/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Delete: what create made, all of it and nothing else: the machine's own list says what that is. The files
 * go first and the machine last: cut in between, the list is still there for the next try. */

#include <fcntl.h>
#include <sys/stat.h>

#include "vmctl.h"

/* Files that no storage pool has are removed by hand, on this machine. */
static int remove_file(Context *c, const char *path) {
        struct stat st;
        int r;

        r = virt_remove_volume(c->virt, path);
        if (r < 0)
                return vmctl_tell(c, r, "Cannot remove '%s'", path);
        if (r > 0 || !vmctl_is_local(c))
                return r;
        if (fstatat(AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
                return 0;
        if (S_ISDIR(st.st_mode))
                return log_full_errno(LOG_ERR, EISDIR, "'%s' is a directory and is left alone", path);
        if (unlink(path) < 0)
                return log_error_errno(negative_errno(), "Cannot remove '%s': %m", path);
        return 1;
}

static int remove_files(Context *c, const Metadata *m) {
        int r = 0;

        STRV_FOREACH(disk, m->disks) {
                r = remove_file(c, *disk);
                if (r < 0)
                        return r;
        }
        return m->seed ? remove_file(c, m->seed) : r;
}

static void show(const VirtVm *vm, const Metadata *m, const char *verb) {
        printf("%s %s:\n", verb, vm->name);
        STRV_FOREACH(disk, m->disks)
                printf("  disk %s\n", *disk);
        if (m->seed)
                printf("  seed %s\n", m->seed);
        printf("  the machine itself, with the variables of its firmware\n");
}

static int delete (Context *c, const char *name) {
        _cleanup_(metadata_done) Metadata m = {};
        _cleanup_(virtvm_done) VirtVm vm = {};
        bool dry = vmctl_has(c, OPT_DRY_RUN);
        int r;

        r = vmctl_find(c, name, &vm, &m);
        if (r < 0)
                return r;
        if (vm_state_is_on(vm.state) && !vmctl_has(c, OPT_FORCE))
                return log_full_errno(LOG_ERR, EBUSY, "'%s' is %s. Stop it first, or say --force", name,
                                      vm_state_to_string(vm.state));
        if (!vmctl_has(c, OPT_QUIET) || dry)
                show(&vm, &m, dry ? "Would remove" : "Remove");
        if (dry)
                return 0;
        fflush(stdout);
        r = vmctl_has(c, OPT_YES) ? 1 : vmctl_ask("Go on?");
        if (r <= 0)
                return r < 0 ? r : log_full_errno(LOG_NOTICE, ECANCELED, "Nothing was changed");
        if (vm_state_is_on(vm.state)) {
                r = virtvm_destroy(c->virt, name);
                if (r < 0)
                        return vmctl_tell(c, r, "Cannot stop '%s'", name);
        }
        r = remove_files(c, &m);
        if (r < 0)
                return r;
        r = virtvm_undefine(c->virt, name);
        return r < 0 ? vmctl_tell(c, r, "Cannot remove '%s'", name) : 0;
}

int cmd_delete(Context *c, char **args) {
        int r, result = 0;

        r = vmctl_connect(c);
        if (r < 0)
                return r;
        STRV_FOREACH(name, args) {
                r = delete (c, *name);
                if (result == 0)
                        result = r;
        }
        return result;
}
