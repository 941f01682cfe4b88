/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Delete: what create made, all of it and nothing else: the machine's own list says what that is. The files
 * go first and the machine last: cut in between, the list is still there for the next try. */

#include "bus.h"
#include "create.h"
#include "fs.h"
#include "json.h"
#include "virtdisk.h"
#include "vmunit.h"

enum { LOGS_MAX = 10 };

static char *parent_of(const char *path) {
        return strndup(path, (size_t) (strrchr(path, '/') - path) + 1);
}

/* That a file is gone is on disk before the list is gone that names it: nobody would find it again. Who may
 * not look there has to trust libvirt. */
static int sync_parent(const char *path) {
        _cleanup_free_ char *directory = parent_of(path);
        _cleanup_close_ int fd = directory ? open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -EBADF;

        if (!directory)
                return log_oom();
        return fd < 0 || fsync(fd) >= 0
                        ? 1
                        : log_error_errno(negative_errno(), "Cannot write '%s' to disk: %m", directory);
}

/* Files that no storage pool has are removed by hand, on this machine. */
static int remove_by_hand(const char *path) {
        struct stat st;

        if (fstatat(AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0
                                       : log_error_errno(negative_errno(), "Cannot look at '%s': %m", path);
        if (S_ISDIR(st.st_mode))
                return log_full_errno(LOG_ERR, EISDIR, "'%s' is a directory and is left alone", path);
        if (unlink(path) < 0)
                return log_error_errno(negative_errno(), "Cannot remove '%s': %m", path);
        return 1;
}

static int remove_file(Context *c, const char *path) {
        int r = virtdisk_remove(c->virt, path);

        if (r < 0)
                return vmctl_tell(c, r, "Cannot remove '%s'", path);
        if (!vmctl_is_local(c))
                return r;
        if (r == 0)
                r = remove_by_hand(path);
        return r > 0 ? sync_parent(path) : r;
}

/* Whoever may not is told before anything is gone. */
static int check_parent(const char *path) {
        _cleanup_free_ char *directory = parent_of(path);

        if (!directory)
                return log_oom();
        if (faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
                return 0;
        if (access(directory, W_OK | X_OK) < 0)
                return log_error_errno(negative_errno(),
                                       "'%s' cannot be removed: %m. Use sudo; nothing was changed", path);
        return 0;
}

/* libvirt elsewhere tells nothing of a file that no pool of its has. */
static int check_file(Context *c, const char *path) {
        int r = virtdisk_find(c->virt, path);

        if (r < 0 && r != -ENXIO)
                return vmctl_tell(c, r, "Cannot look for '%s'", path);
        if (r <= 0 && vmctl_is_local(c))
                return check_parent(path);
        if (r == -ENXIO && streq(virt_type(c->virt), "QEMU"))
                return log_full_errno(
                                LOG_ERR, EOPNOTSUPP,
                                "'%s' is in no storage pool of that host, and cannot be removed from here. Delete the machine there; nothing was changed",
                                path);
        return 0;
}

static int check_settings(Context *c, const char *name) {
        _cleanup_close_ int root = power_has_units(c) ? fs_open_root(NULL) : -EBADF;
        int r;

        if (root < 0 || isempty(vmunit_name(name).text))
                return 0;
        r = vmunit_may_remove(root, name);
        return r < 0 ? log_error_errno(r,
                                       "The settings of '%s' in /etc/systemd/system cannot be removed: %m. "
                                       "Use sudo; nothing was changed",
                                       name)
                     : 0;
}

static int check(Context *c, const char *name, const Metadata *m) {
        int r = check_settings(c, name);

        STRV_FOREACH(disk, m->disks)
                if (r >= 0)
                        r = check_file(c, *disk);
        if (r >= 0 && m->seed)
                r = check_file(c, m->seed);
        return r >= 0 && m->log && vmctl_is_local(c) ? check_parent(m->log) : r;
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

/* virtlogd keeps some older ones beside it. */
static int remove_log(Context *c, const char *path) {
        int r = vmctl_is_local(c) ? remove_file(c, path) : 0;

        for (unsigned i = 0; r >= 0 && vmctl_is_local(c) && i < LOGS_MAX; i++) {
                _cleanup_free_ char *old = NULL;

                r = str_printf(&old, "%s.%u", path, i) < 0 ? log_oom() : remove_file(c, old);
        }
        return r;
}

/* What its unit was told, and that it has failed. */
static int remove_settings(Context *c, const char *name) {
        _cleanup_close_ int root = power_has_units(c) ? fs_open_root(NULL) : -EBADF;
        VmUnitName unit = vmunit_name(name);
        _cleanup_bus_ Bus *bus = NULL;
        int r;

        if (root < 0 || isempty(unit.text))
                return 0;
        r = vmunit_remove(root, name);
        if (r < 0)
                return log_error_errno(r, "Cannot remove the settings of %s: %m", unit.text);
        if (bus_open(&bus) >= 0 && bus_reset_failed(bus, unit.text) < 0)
                log_debug("%s had not failed", unit.text);
        return 0;
}

static void show(const VirtVm *vm, const Metadata *m, const char *verb) {
        printf("%s %s:\n", verb, vm->name);
        STRV_FOREACH(disk, m->disks)
                printf("  disk %s\n", *disk);
        if (m->seed)
                printf("  seed %s\n", m->seed);
        if (m->log)
                printf("  console %s\n", m->log);
        printf("  the machine itself, with the variables of its firmware\n");
}

/* Somebody may have started it meanwhile, or made another one of that name. */
static int look_again(Context *c, VirtVm *vm, bool may_be_on) {
        _cleanup_(virtvm_done) VirtVm now = {};
        int r = virtvm_find(c->virt, vm->name, METADATA_URI, &now);

        if (r < 0)
                return vmctl_tell(c, r, "Cannot look at virtual machine '%s' again; nothing was removed",
                                  vm->name);
        if (!streq(now.uuid, vm->uuid))
                return log_full_errno(LOG_ERR, EBUSY, "'%s' is another machine by now; nothing was removed",
                                      vm->name);
        if (vm_state_is_on(now.state) && !may_be_on)
                return log_full_errno(LOG_ERR, EBUSY, "'%s' is %s by now; nothing was removed", vm->name,
                                      vm_state_to_string(now.state));
        vm->state = now.state;
        return 0;
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
        r = dry ? 0 : check(c, name, &m);
        if (r < 0)
                return r;
        if (!vmctl_has(c, OPT_JSON) && (!vmctl_has(c, OPT_QUIET) || dry))
                show(&vm, &m, dry ? "Would remove" : "Remove");
        if (dry)
                return 0;
        fflush(stdout);
        r = vmctl_has(c, OPT_YES) ? 1 : vmctl_ask("Go on?");
        if (r <= 0)
                return r < 0 ? r : log_full_errno(LOG_NOTICE, ECANCELED, "Nothing was changed");
        r = look_again(c, &vm, vmctl_has(c, OPT_FORCE));
        if (r < 0)
                return r;
        if (vm_state_is_on(vm.state)) {
                r = virtvm_destroy(c->virt, name);
                if (r < 0)
                        return vmctl_tell(c, r, "Cannot stop '%s'", name);
        }
        r = power_end(c, name, m.gpus);
        if (r >= 0)
                r = look_again(c, &vm, false);
        if (r >= 0)
                r = remove_files(c, &m);
        if (r >= 0 && m.log)
                r = remove_log(c, m.log);
        if (r >= 0)
                r = remove_settings(c, name);
        if (r < 0)
                return r;
        r = virtvm_undefine(c->virt, name);
        return r < 0 ? vmctl_tell(c, r, "Cannot remove '%s'", name) : 0;
}

static int add_result(json_object *all, const char *name, int result, bool dry) {
        json_object *o = json_object_new_object();

        if (json_object_array_add(all, o) < 0 || json_add_text(o, "name", name) < 0 ||
            json_add(o, "removed", json_object_new_boolean(result >= 0 && !dry)) < 0 ||
            json_add(o, "status", json_object_new_int(vmctl_status(result))) < 0)
                return log_oom();
        return 0;
}

int cmd_delete(Context *c, char **args) {
        _cleanup_json_ json_object *all = vmctl_has(c, OPT_JSON) ? json_object_new_array() : NULL;
        int r, result = 0;

        r = vmctl_connect(c);
        if (r < 0)
                return r;
        STRV_FOREACH(name, args) {
                r = delete (c, *name);
                if (result == 0)
                        result = r;
                if (all && add_result(all, *name, r, vmctl_has(c, OPT_DRY_RUN)) < 0)
                        return -ENOMEM;
        }
        if (all && json_print(all, stdout) < 0)
                return -EIO;
        return result;
}
