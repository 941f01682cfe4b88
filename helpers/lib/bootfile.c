/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <sys/sendfile.h>
#include <sys/statvfs.h>

#include "bootfile.h"
#include "checkpoint.h"
#include "fs.h"
#include "grubcfg.h"
#include "strv.h"

/* Where x86 keeps how many bytes of initramfs the loader has loaded: ext_ramdisk_size and hdr.ramdisk_size of
 * struct boot_params (Documentation/arch/x86/zero-page.rst). GRUB rounds up to four. */
#define BOOT_PARAMS "/sys/kernel/boot_params/data"

enum {
        RAMDISK_SIZE_HIGH = 0xc4,
        RAMDISK_SIZE = 0x21c,
        MENU_MAX = 16 * 1024 * 1024,
        COPY_AT_ONCE = 1024 * 1024
};

int bootfile_room(int root, const char *dir, uint64_t bytes) {
        _cleanup_close_ int fd = fs_open(root, dir, O_RDONLY | O_DIRECTORY, 0);
        struct statvfs st;

        if (fd < 0)
                return fd;
        if (fstatvfs(fd, &st) < 0)
                return -errno;
        if (st.f_flag & ST_RDONLY)
                return -EROFS;
        return (uint64_t) st.f_bavail * st.f_frsize < bytes ? -ENOSPC : 0;
}

static int path_beside(const char *path, const char *suffix, char **ret) {
        return str_printf(ret, "%s%s", path, suffix);
}

static int path_above(const char *path, char **ret) {
        *ret = strndup(path, (size_t) (strrchr(path, '/') + 1 - path));
        return *ret ? 0 : -ENOMEM;
}

int bootfile_room_beside(int root, const char *path, uint64_t bytes) {
        _cleanup_free_ char *dir = NULL, *old = NULL;
        struct stat now = {}, kept = {};
        int r;

        r = path_above(path, &dir);
        if (r >= 0)
                r = path_beside(path, BOOTFILE_OLD, &old);
        if (r >= 0)
                r = fs_stat(root, path, &now);
        if (r >= 0)
                r = fs_stat(root, old, &kept);
        if (r < 0 && r != -ENOENT)
                return r;
        return bootfile_room(
                        root, dir,
                        bytes + (now.st_size > kept.st_size ? (uint64_t) (now.st_size - kept.st_size) : 0));
}

/* The list: a line "BOOT-ID PATH" for each file that has an old one. */
static int list_read(int root, char ***ret) {
        _cleanup_free_ char *text = NULL;
        int r;

        r = fs_read(root, BOOTFILE_UNPROVEN, FS_ATTR_MAX, &text, NULL);
        if (r == -ENOENT) {
                *ret = NULL;
                return 0;
        }
        return r < 0 ? r : strv_split(text, "\n", ret);
}

/* The path in a line (borrowed), or NULL. */
static const char *line_path(const char *line) {
        const char *path = strchr(line, ' ');

        return path && path[1] == '/' ? path + 1 : NULL;
}

static const char *list_find(char *const *list, const char *path) {
        STRV_FOREACH(l, list)
                if (streq_ptr(line_path(*l), path))
                        return *l;
        return NULL;
}

static int boot_id(int root, char **ret) {
        int r = fs_read_line(root, "/proc/sys/kernel/random/boot_id", ret);

        return r == -ENOENT ? (*ret = strdup("unknown")) ? 0 : -ENOMEM : r;
}

/* id: since which boot path waits, or NULL: no more. */
static int list_set(int root, const char *path, const char *id) {
        _cleanup_strv_ char **list = NULL, **new = NULL;
        _cleanup_free_ char *text = NULL;
        bool known = false;
        int r;

        r = list_read(root, &list);
        STRV_FOREACH(l, list) {
                bool same = streq_ptr(line_path(*l), path);

                if (r >= 0 && line_path(*l) && (!same || id))
                        r = same ? strv_extendf(&new, "%s %s\n", id, path) : strv_extendf(&new, "%s\n", *l);
                known |= same;
        }
        if (r >= 0 && id && !known)
                r = strv_extendf(&new, "%s %s\n", id, path);
        if (r < 0)
                return r;
        if (!new)
                return MIN(fs_remove(root, BOOTFILE_UNPROVEN), 0);
        text = strv_join(new, "");
        return text ? MIN(fs_write_if_changed(root, BOOTFILE_UNPROVEN, text, strlen(text), 0644), 0)
                    : -ENOMEM;
}

/* Returns 1 if this is a start by an entry of the menu, 0 if not. */
static int menu_is_proven(int root, const char *path) {
        _cleanup_free_ char *text = NULL, *cmdline = NULL;
        int r;

        r = fs_read(root, path, MENU_MAX, &text, NULL);
        if (r >= 0)
                r = fs_read(root, "/proc/cmdline", FS_ATTR_MAX, &cmdline, NULL);
        if (r < 0)
                return r == -ENOENT ? 0 : r;
        return grubcfg_has_start(text, cmdline);
}

/* "/boot/initrd.img-VERSION"; on the EFI partition "TOKEN/VERSION/initrd". */
static int image_version(const char *path, char **ret) {
        const char *name = strrchr(path, '/') + 1, *version = startswith(name, "initrd.img-"), *dir;

        if (version) {
                *ret = strdup(version);
                return *ret ? 0 : -ENOMEM;
        }
        dir = memrchr(path, '/', (size_t) MAX(name - 1 - path, 0));
        *ret = dir ? strndup(dir + 1, (size_t) (name - 1 - (dir + 1))) : strdup("");
        return *ret ? 0 : -ENOMEM;
}

/* How many bytes of initramfs this boot began with; 0: cannot be told. */
static uint64_t loaded_size(int root) {
        _cleanup_free_ char *data = NULL;
        uint32_t low, high;
        size_t size;

        if (fs_read(root, BOOT_PARAMS, FS_ATTR_MAX, &data, &size) < 0 || size < RAMDISK_SIZE + sizeof(low))
                return 0;
        memcpy(&low, data + RAMDISK_SIZE, sizeof(low));
        memcpy(&high, data + RAMDISK_SIZE_HIGH, sizeof(high));
        return (uint64_t) high << 32 | low;
}

static bool could_be(uint64_t loaded, const struct stat *st) {
        return loaded >= (uint64_t) st->st_size && loaded - (uint64_t) st->st_size < 4;
}

/* Without a file: is its kernel gone, or the file system not mounted? */
static int image_is_gone(int root, const char *version, const char *old) {
        _cleanup_free_ char *modules = NULL;
        int r = fs_exists(root, old);

        if (r != 0)
                return r;
        if (str_printf(&modules, "/lib/modules/%s", version) < 0)
                return -ENOMEM;
        r = fs_exists(root, modules);
        return r < 0 ? r : !r;
}

/* Returns 1 if this boot is by the image, or by a kernel newer than its own, 0 if not. */
static int image_is_proven(int root, const char *path) {
        _cleanup_free_ char *version = NULL, *old = NULL, *running = NULL;
        struct stat now, kept;
        uint64_t loaded;
        int r;

        r = image_version(path, &version);
        if (r >= 0)
                r = path_beside(path, BOOTFILE_OLD, &old);
        if (r >= 0)
                r = fs_stat(root, path, &now);
        if (r == -ENOENT)
                return image_is_gone(root, version, old);
        if (r >= 0)
                r = fs_read_line(root, "/proc/sys/kernel/osrelease", &running);
        if (r < 0)
                return r == -ENOENT ? 0 : r;
        if (!streq(running, version))
                return strverscmp(running, version) > 0;
        r = fs_stat(root, old, &kept);
        if (r < 0)
                return r == -ENOENT ? 1 : r;
        loaded = loaded_size(root);
        return !could_be(loaded, &kept) || could_be(loaded, &now);
}

static bool is_menu(const char *path) {
        return endswith(path, "/grub.cfg") != NULL;
}

/* Returns 1 if the machine has come up with the file of this line, 0 if not yet. */
static int line_is_proven(int root, const char *line) {
        _cleanup_free_ char *id = NULL;
        const char *path = line_path(line), *rest;
        int r = boot_id(root, &id);

        if (r < 0)
                return r;
        rest = startswith(line, id);
        if (rest && *rest == ' ')
                return 0;
        return is_menu(path) ? menu_is_proven(root, path) : image_is_proven(root, path);
}

/* Returns 1 if the old file is the one that is known to start, and the one in its place is not. */
static int is_kept(int root, const char *path) {
        _cleanup_strv_ char **list = NULL;
        _cleanup_free_ char *old = NULL;
        const char *line;
        int r;

        r = list_read(root, &list);
        line = r < 0 ? NULL : list_find(list, path);
        if (!line)
                return r;
        r = line_is_proven(root, line);
        if (r != 0)
                return MIN(r, 0);
        r = path_beside(path, BOOTFILE_OLD, &old);
        return r < 0 ? r : fs_exists(root, old);
}

int bootfile_copy(int root, const char *from, const char *to) {
        _cleanup_close_ int in = fs_open(root, from, O_RDONLY, 0),
                            out = fs_open(root, to, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);
        ssize_t n;

        if (in < 0 || out < 0)
                return in < 0 ? in : out;
        while ((n = sendfile(out, in, NULL, COPY_AT_ONCE)) > 0)
                ;
        return n < 0 ? -errno : 0;
}

/* FAT has no hard links. */
static int keep_copy(int root, const char *path, const char *old) {
        _cleanup_free_ char *temp = NULL;
        _cleanup_close_ int fd = -EBADF;
        int r;

        r = path_beside(old, BOOTFILE_NEW, &temp);
        if (r < 0)
                return r;
        r = bootfile_copy(root, path, temp);
        if (r >= 0)
                r = fd = fs_open(root, temp, O_RDONLY | O_NOFOLLOW, 0);
        if (r >= 0)
                r = RET_NERRNO(fsync(fd));
        if (r >= 0)
                r = fs_rename(root, temp, old);
        if (r < 0)
                (void) !fs_remove(root, temp);
        return r;
}

static int keep_old(int root, const char *path) {
        _cleanup_free_ char *dir = NULL, *old = NULL;
        _cleanup_close_ int fd = -EBADF;
        const char *name = strrchr(path, '/') + 1;
        int r;

        r = path_above(path, &dir);
        if (r >= 0)
                r = path_beside(path, BOOTFILE_OLD, &old);
        if (r < 0)
                return r;
        fd = fs_open(root, dir, O_RDONLY | O_DIRECTORY, 0);
        if (fd < 0)
                return fd;
        r = fs_remove(root, old);
        if (r < 0)
                return r;
        if (linkat(fd, name, fd, strrchr(old, '/') + 1, 0) >= 0)
                return 0;
        return errno == EPERM || errno == EOPNOTSUPP ? keep_copy(root, path, old) : -errno;
}

static int wait_from_now(int root, const char *path) {
        _cleanup_free_ char *id = NULL;
        int r = boot_id(root, &id);

        return r < 0 ? r : list_set(root, path, id);
}

static int adopt(int fd, const struct stat *old) {
        if (fchown(fd, old->st_uid, old->st_gid) < 0 && errno != EPERM)
                return -errno;
        return RET_NERRNO(fchmod(fd, old->st_mode & 07777));
}

static int put_in_place(int root, const char *temp, const char *path) {
        _cleanup_free_ char *dir = NULL;
        int r;

        r = path_above(path, &dir);
        if (r >= 0)
                r = checkpoint(root, dir);
        if (r >= 0)
                r = fs_rename(root, temp, path);
        return r < 0 ? r : checkpoint(root, dir);
}

int bootfile_publish(int root, const char *temp, const char *path) {
        _cleanup_close_ int fd = fs_open(root, temp, O_RDWR | O_NOFOLLOW, 0);
        struct stat st;
        int r, kept;

        if (fd < 0)
                return fd;
        kept = is_kept(root, path);
        if (kept < 0)
                return kept;
        r = fs_stat(root, path, &st);
        if (r < 0 && r != -ENOENT)
                return r;
        if (r >= 0) {
                r = adopt(fd, &st);
                if (r >= 0)
                        r = wait_from_now(root, path);
                if (r >= 0 && !kept)
                        r = keep_old(root, path);
                if (r < 0)
                        return r;
        }
        if (fsync(fd) < 0)
                return -errno;
        return put_in_place(root, temp, path);
}

/* Menus: those of the list that may go, or its images. */
static int find_proven(int root, char *const *list, bool menus, bool *all, char ***ret) {
        int r = 0;

        STRV_FOREACH(l, list) {
                if (!line_path(*l) || is_menu(line_path(*l)) != menus)
                        continue;
                r = line_is_proven(root, *l);
                if (r > 0)
                        r = strv_extend(ret, line_path(*l));
                else
                        *all = false;
                if (r < 0)
                        break;
        }
        return r;
}

int bootfile_proven(int root, char ***ret) {
        _cleanup_strv_ char **list = NULL, **proven = NULL;
        bool all = true;
        int r;

        r = list_read(root, &list);
        if (r >= 0)
                r = find_proven(root, list, false, &all, &proven);
        if (r >= 0 && all)
                r = find_proven(root, list, true, &all, &proven);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(proven);
        return 0;
}

int bootfile_forget(int root, const char *path) {
        _cleanup_free_ char *old = NULL, *temp = NULL;
        int r;

        r = path_beside(path, BOOTFILE_OLD, &old);
        if (r >= 0)
                r = path_beside(old, BOOTFILE_NEW, &temp);
        if (r >= 0)
                r = fs_remove(root, temp);
        if (r >= 0)
                r = fs_remove(root, old);
        return r < 0 ? r : list_set(root, path, NULL);
}
