/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "vmtaken.h"
#include "bdf.h"
#include "cloudinit.h"
#include "fs.h"

/* Both are names in a directory, and no paths. */
static int record_path(const char *machine, const char *gpu, char **ret) {
        Bdf b;

        if (cloudinit_check_hostname(machine) < 0 || (gpu && bdf_parse(gpu, &b) < 0))
                return -EINVAL;
        return str_printf(ret, VMTAKEN_DIR "/%s%s%s", machine, gpu ? "/" : "", strempty(gpu));
}

/* What is noted already stays noted. */
int vmtaken_note(int root, const char *machine, const char *gpu) {
        _cleanup_free_ char *path = NULL;
        int r = record_path(machine, gpu, &path);

        if (r >= 0)
                r = fs_exists(root, path);
        return r != 0 ? MIN(r, 0) : fs_write_atomic(root, path, "", 0, 0644);
}

int vmtaken_forget(int root, const char *machine, const char *gpu) {
        _cleanup_free_ char *path = NULL;
        int r = record_path(machine, gpu, &path);

        return r < 0 ? r : fs_remove(root, path);
}

int vmtaken_list(int root, const char *machine, char ***ret) {
        _cleanup_strv_ char **names = NULL, **l = NULL;
        _cleanup_free_ char *path = NULL;
        int r;

        r = record_path(machine, NULL, &path);
        if (r >= 0)
                r = fs_list(root, path, &names);
        if (r < 0 && r != -ENOENT)
                return r;
        STRV_FOREACH(name, names) {
                Bdf b;

                if (bdf_parse(*name, &b) >= 0 && strv_extend(&l, *name) < 0)
                        return -ENOMEM;
        }
        *ret = TAKE_PTR(l);
        return 0;
}

int vmtaken_for(int root, const char *gpu, char **ret_machine) {
        _cleanup_strv_ char **machines = NULL;
        int r;

        r = fs_list(root, VMTAKEN_DIR, &machines);
        if (r < 0)
                return r == -ENOENT ? 0 : r;
        STRV_FOREACH(m, machines) {
                _cleanup_free_ char *path = NULL;

                r = record_path(*m, gpu, &path);
                if (r >= 0)
                        r = fs_exists(root, path);
                if (r == -ENOMEM)
                        return r;
                if (r > 0)
                        return free_and_strdup(ret_machine, *m) < 0 ? -ENOMEM : 1;
        }
        return 0;
}

int vmtaken_hand_on(int root, const char *machine, const char *gpu) {
        _cleanup_free_ char *from = NULL, *to = NULL, *directory = NULL, *other = NULL;
        int r;

        r = vmtaken_for(root, gpu, &other);
        if (r <= 0 || streq(other, machine))
                return MIN(r, 0);
        r = record_path(other, gpu, &from);
        if (r >= 0)
                r = record_path(machine, gpu, &to);
        if (r >= 0)
                r = record_path(machine, NULL, &directory);
        if (r >= 0)
                r = fs_mkdir_p(root, directory, 0755);
        if (r >= 0)
                r = fs_rename(root, from, to);
        return r < 0 ? r : 1;
}

int vmtaken_stopped(int root, const char *machine, const char *gpu, char ***ret) {
        _cleanup_free_ char *path = NULL, *text = NULL;
        int r;

        r = record_path(machine, gpu, &path);
        if (r >= 0)
                r = fs_read(root, path, FS_ATTR_MAX, &text, NULL);
        return r < 0 ? r : strv_split(text, "\n", ret);
}

int vmtaken_note_stopped(int root, const char *machine, const char *gpu, char *const *units) {
        _cleanup_free_ char *path = NULL, *text = NULL, *whole = NULL;
        _cleanup_strv_ char **l = NULL;
        int r;

        r = record_path(machine, gpu, &path);
        if (r >= 0)
                r = vmtaken_stopped(root, machine, gpu, &l);
        if (r == -ENOENT)
                r = 0;
        STRV_FOREACH(unit, units)
                if (r >= 0 && !strv_contains(l, *unit))
                        r = strv_extend(&l, *unit);
        if (r < 0)
                return r;
        text = strv_join(l, "\n");
        if (!text)
                return -ENOMEM;
        r = str_printf(&whole, "%s\n", text);
        return r < 0 ? r : fs_write_atomic(root, path, whole, strlen(whole), 0644);
}

int vmtaken_is(int root, const char *machine, const char *gpu) {
        _cleanup_free_ char *path = NULL;
        int r = record_path(machine, gpu, &path);

        return r < 0 ? r : fs_exists(root, path);
}
