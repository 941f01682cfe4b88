/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "grubenv.h"
#include "bootfile.h"
#include "child.h"
#include "fs.h"
#include "strv.h"

#define GRUB_DIR "/boot/grub"
#define SIGN     "# GRUB Environment Block\n"
#define COPY     GRUBENV_PATH BOOTFILE_NEW

enum { BLOCK_SIZE = 1024, TOOL_TIMEOUT_SEC = 60, OUTPUT_MAX = 4096 };

int grubenv_get(const char *data, size_t size, const char *name, char **ret) {
        const char *end = data + size;
        size_t n = strlen(name);

        if (size != BLOCK_SIZE || memcmp(data, SIGN, strlen(SIGN)) != 0)
                return -EBADMSG;
        for (const char *p = data, *next; p < end; p = next) {
                const char *eol = memchr(p, '\n', (size_t) (end - p)) ?: end;

                next = MIN(eol + 1, end);
                if ((size_t) (eol - p) > n && memcmp(p, name, n) == 0 && p[n] == '=') {
                        *ret = strndup(p + n + 1, (size_t) (eol - p) - n - 1);
                        return *ret ? 0 : -ENOMEM;
                }
                if (eol == end)
                        break;
        }
        return -ENOENT;
}

int grubenv_read(int root, const char *name, char **ret) {
        _cleanup_free_ char *data = NULL;
        size_t size;
        int r;

        r = fs_read(root, GRUBENV_PATH, FS_ATTR_MAX, &data, &size);
        return r < 0 ? r : grubenv_get(data, size, name, ret);
}

static int run_tool(Phase *p, const char *a, const char *b, const char *c, const char *d, char **ret) {
        const char *const argv[] = { a, b, c, d, NULL };
        Child child = { PHASE_CHILD(p), .argv = argv, .timeout_usec = TOOL_TIMEOUT_SEC * USEC_PER_SEC };
        _cleanup_free_ char *output = NULL;
        int r;

        r = child_output(&child, OUTPUT_MAX, &output);
        if (r > 0)
                return -EBADMSG;
        if (r == 0)
                *ret = TAKE_PTR(output);
        return r;
}

/* Where GRUB writes is what 00_header of Debian's grub-common asks for recordfail, turned around: what is
 * known to work. Not LVM, not RAID, nothing whose blocks have checksums or move. */
static int probe(Phase *p, char **ret) {
        static const char *const plain[] = { "ext2", "xfs", "fat" };
        _cleanup_free_ char *abstraction = NULL, *fs = NULL;
        int r;

        r = run_tool(p, "/usr/sbin/grub-probe", "--target=abstraction", GRUB_DIR, NULL, &abstraction);
        if (r >= 0)
                r = run_tool(p, "/usr/sbin/grub-probe", "--target=fs", GRUB_DIR, NULL, &fs);
        if (r < 0)
                return str_printf(ret, "grub-probe cannot tell what " GRUB_DIR " is on") < 0 ? -ENOMEM : 1;
        abstraction[strcspn(abstraction, "\n")] = fs[strcspn(fs, "\n")] = '\0';
        if (*abstraction)
                return str_printf(ret, GRUB_DIR " is on %s, where GRUB cannot write", abstraction) < 0
                                ? -ENOMEM
                                : 1;
        for (size_t i = 0; i < ELEMENTSOF(plain); i++)
                if (streq(fs, plain[i]))
                        return 0;
        return str_printf(ret, GRUB_DIR " is on %s, where GRUB cannot write safely", fs) < 0 ? -ENOMEM : 1;
}

int grubenv_obstacle(Phase *p, const char *ours, char **ret) {
        _cleanup_close_ int fd = fs_open(p->root, GRUBENV_PATH, O_PATH | O_NOFOLLOW, 0);
        _cleanup_free_ char *value = NULL;
        struct stat st = {};
        int r;

        if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
                return str_printf(ret, "there is no file " GRUBENV_PATH) < 0 ? -ENOMEM : 1;
        r = grubenv_read(p->root, "next_entry", &value);
        if (r < 0 && r != -ENOENT)
                return str_printf(ret, GRUBENV_PATH " is not what GRUB makes") < 0 ? -ENOMEM : 1;
        if (r >= 0 && *value && !streq(value, ours))
                return str_printf(ret, "the next start is to take '%.60s' already, see 'grub-editenv list'",
                                  value) < 0
                                ? -ENOMEM
                                : 1;
        return probe(p, ret);
}

/* One write over the old bytes, all in one page. */
static int write_in_place(int root, const char *data) {
        _cleanup_close_ int fd = fs_open(root, GRUBENV_PATH, O_WRONLY | O_NOFOLLOW, 0);
        ssize_t n;

        if (fd < 0)
                return fd;
        n = pwrite(fd, data, BLOCK_SIZE, 0);
        if (n != BLOCK_SIZE)
                return n < 0 ? -errno : -EIO;
        return RET_NERRNO(fsync(fd));
}

static int change(Phase *p, const char *name, const char *value) {
        _cleanup_free_ char *data = NULL, *assignment = NULL, *output = NULL, *check = NULL;
        size_t size;
        int r;

        r = fs_read(p->root, GRUBENV_PATH, FS_ATTR_MAX, &data, &size);
        if (r >= 0)
                r = fs_write_atomic(p->root, COPY, data, size, 0600);
        if (r >= 0)
                r = str_printf(&assignment, "%s%s%s", name, value ? "=" : "", strempty(value));
        if (r >= 0)
                r = run_tool(p, "/usr/bin/grub-editenv", COPY, value ? "set" : "unset", assignment, &output);
        if (r < 0)
                return r;
        free(data);
        data = NULL;
        r = fs_read(p->root, COPY, FS_ATTR_MAX, &data, &size);
        if (r >= 0)
                r = grubenv_get(data, size, name, &check);
        if (value ? r < 0 || !streq(check, value) : r != -ENOENT)
                return r == -ENOMEM ? r : -EIO;
        return write_in_place(p->root, data);
}

/* What grub-editenv says is what GRUB reads. */
static int read_back(Phase *p, const char *name, const char *value) {
        _cleanup_free_ char *output = NULL, *line = NULL;
        _cleanup_strv_ char **lines = NULL;
        bool any = false;
        int r;

        r = run_tool(p, "/usr/bin/grub-editenv", GRUBENV_PATH, "list", NULL, &output);
        if (r >= 0)
                r = strv_split(output, "\n", &lines);
        if (r >= 0)
                r = str_printf(&line, "%s=%s", name, strempty(value));
        if (r < 0)
                return r;
        if (value)
                return strv_contains(lines, line) ? 0 : -EIO;
        STRV_FOREACH(l, lines)
                any |= startswith(*l, line) != NULL;
        return any ? -EIO : 0;
}

int grubenv_set(Phase *p, const char *name, const char *value) {
        int r = change(p, name, value);

        (void) !fs_remove(p->root, COPY);
        return r < 0 ? r : read_back(p, name, value);
}
