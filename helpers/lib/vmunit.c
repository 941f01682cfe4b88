/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "vmunit.h"
#include "cloudinit.h"
#include "fs.h"
#include "strv.h"
#include "unitfile.h"

#define DIRECTORY "/etc/systemd/system"
#define GPUS      "gpus.conf"
#define STORE     "store.conf"

VmUnitName vmunit_name(const char *machine) {
        VmUnitName n = {};

        if (cloudinit_check_hostname(machine) >= 0)
                (void) snprintf(n.text, sizeof(n.text), "gpuvm-vm@%s.service", machine);
        return n;
}

int vmunit_machine(const char *unit, char **ret) {
        const char *name = startswith(unit, "gpuvm-vm@"), *end = name ? endswith(name, ".service") : NULL;
        _cleanup_free_ char *machine = end ? strndup(name, (size_t) (end - name)) : NULL;

        if (!end)
                return 0;
        if (!machine)
                return -ENOMEM;
        if (cloudinit_check_hostname(machine) < 0)
                return 0;
        *ret = TAKE_PTR(machine);
        return 1;
}

/* format: with the unit's name in it. */
static int unit_path(const char *machine, const char *format, char **ret) {
        VmUnitName n = vmunit_name(machine);

        return isempty(n.text) ? -EINVAL : str_printf(ret, format, n.text);
}

/* Not Wants=: the unit's own process starts them, and so knows which ones it has taken from the host. */
static int write_order(int root, const char *machine, const char *const *gpus) {
        _cleanup_free_ char *path = NULL, *units = NULL, *text = NULL;
        _cleanup_strv_ char **l = NULL;
        int r;

        r = unit_path(machine, DIRECTORY "/%s.d/" GPUS, &path);
        for (; r >= 0 && *gpus; gpus++)
                r = strv_extendf(&l, "gpuvm-vfio@%s.service", *gpus);
        if (r < 0)
                return r;
        units = strv_join(l, " ");
        if (!units)
                return -ENOMEM;
        r = str_printf(&text,
                       "# By vmctl: the GPUs of this machine. Its process starts these units itself.\n[Unit]\nAfter=%s\n",
                       units);
        return r < 0 ? r : fs_write_atomic(root, path, text, strlen(text), 0644);
}

static int write_mount(int root, const char *machine, const char *store) {
        _cleanup_free_ char *path = NULL, *text = NULL;
        int r;

        r = unit_path(machine, DIRECTORY "/%s.d/" STORE, &path);
        if (r >= 0)
                r = str_printf(&text,
                               "# By vmctl: the directory that this machine shares.\n[Unit]\nRequiresMountsFor=%s\n",
                               store);
        return r < 0 ? r : fs_write_atomic(root, path, text, strlen(text), 0644);
}

static int link_path(const char *machine, char **ret) {
        return unit_path(machine, DIRECTORY "/multi-user.target.wants/%s", ret);
}

/* As systemctl enable does it. */
static int write_link(int root, const char *machine) {
        _cleanup_free_ char *path = NULL, *name = NULL;
        _cleanup_close_ int parent = -EBADF;
        int r;

        r = link_path(machine, &path);
        if (r < 0)
                return r;
        parent = fs_open_parent(root, path, true, &name);
        if (parent < 0)
                return parent;
        r = RET_NERRNO(symlinkat(GPUVM_UNITDIR "/gpuvm-vm@.service", parent, name));
        return r == -EEXIST ? 0 : r < 0 ? r : RET_NERRNO(fsync(parent));
}

int vmunit_write(int root, const char *machine, const char *const *gpus, const char *store, bool autostart) {
        int r = gpus && *gpus ? write_order(root, machine, gpus) : 0;

        if (r >= 0 && store)
                r = write_mount(root, machine, store);
        return r >= 0 && autostart ? write_link(root, machine) : r;
}

/* What somebody else has put beside ours stays. */
static int remove_dropin(int root, const char *machine, const char *dropin) {
        _cleanup_free_ char *directory = NULL, *path = NULL, *name = NULL;
        _cleanup_close_ int parent = -EBADF;
        int r;

        r = unit_path(machine, DIRECTORY "/%s.d", &directory);
        if (r >= 0)
                r = str_printf(&path, "%s/%s", directory, dropin);
        if (r < 0 || fs_exists(root, directory) == 0)
                return r;
        r = fs_remove(root, path);
        if (r < 0)
                return r;
        parent = fs_open_parent(root, directory, false, &name);
        if (parent < 0)
                return parent;
        r = RET_NERRNO(unlinkat(parent, name, AT_REMOVEDIR));
        return r == -ENOTEMPTY ? 0 : r;
}

int vmunit_set_gpus(int root, const char *machine, const char *const *gpus) {
        return gpus && *gpus ? write_order(root, machine, gpus) : remove_dropin(root, machine, GPUS);
}

static int may_remove(int root, const char *path) {
        _cleanup_free_ char *name = NULL;
        _cleanup_close_ int parent = -EBADF;
        struct stat st;

        if (fs_stat(root, path, &st) == -ENOENT)
                return 0;
        parent = fs_open_parent(root, path, false, &name);
        return parent < 0 ? parent : RET_NERRNO(faccessat(parent, ".", W_OK, AT_EACCESS));
}

int vmunit_may_remove(int root, const char *machine) {
        static const char *const formats[] = { DIRECTORY "/multi-user.target.wants/%s",
                                               DIRECTORY "/%s.d/" GPUS, DIRECTORY "/%s.d/" STORE };
        int r = 0;

        for (size_t i = 0; i < ELEMENTSOF(formats) && r >= 0; i++) {
                _cleanup_free_ char *path = NULL;

                r = unit_path(machine, formats[i], &path);
                if (r >= 0)
                        r = may_remove(root, path);
        }
        return r;
}

int vmunit_remove(int root, const char *machine) {
        _cleanup_free_ char *path = NULL;
        int r;

        r = link_path(machine, &path);
        if (r >= 0)
                r = fs_remove(root, path);
        if (r >= 0)
                r = remove_dropin(root, machine, STORE);
        return r < 0 ? r : remove_dropin(root, machine, GPUS);
}

int vmunit_is_enabled(int root, const char *machine) {
        VmUnitName n = vmunit_name(machine);

        return isempty(n.text) ? -EINVAL : unitfile_is_enabled(root, n.text);
}
