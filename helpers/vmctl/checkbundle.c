/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Check --bundle: what was looked at, in a file for somebody else, and such a file in place of a host. */

#include <ftw.h>

#include "bundle.h"
#include "check.h"
#include "fs.h"

#define SCRATCH "gpuvm-check-XXXXXX"

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
        (void) remove(path);
        return 0;
}

/* Links are not followed. */
void check_remove(const char *scratch) {
        (void) nftw(scratch, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* The record is spread out in a directory that nobody else may enter. */
static int spread(const Tar *t, CheckHost *ret) {
        const char *top = secure_getenv("TMPDIR");
        _cleanup_close_ int dir = -EBADF;
        int r;

        if (str_printf(&ret->scratch, "%s/" SCRATCH, isempty(top) ? "/tmp" : top) < 0)
                return -ENOMEM;
        if (!mkdtemp(ret->scratch)) {
                r = negative_errno();
                free(ret->scratch);
                ret->scratch = NULL;
                return r;
        }
        dir = RET_NERRNO(open(ret->scratch, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
        r = dir < 0 ? dir : tar_unpack(t, dir);
        if (r < 0)
                return r;
        ret->root = fs_open_root(ret->scratch);
        return MIN(ret->root, 0);
}

static int open_bundle(const char *path, int fd, CheckHost *ret) {
        _cleanup_(tar_done) Tar t = {};
        _cleanup_free_ char *data = NULL, *name = NULL;
        _cleanup_close_ int dir = -EBADF;
        size_t size = 0;
        int r;

        /* From the descriptor's own name: what was looked at is what is read. */
        if (str_printf(&name, "/proc/self/fd/%d", fd) < 0)
                return log_oom();
        dir = fs_open_root(NULL);
        r = dir < 0 ? dir : fs_read(dir, name, TAR_FILE_MAX, &data, &size);
        if (r >= 0)
                r = tar_read(data, size, &t);
        if (r == -ENOPKG)
                return log_error_errno(
                                r,
                                "Cannot read '%s': libarchive is not installed ('apt install libarchive13')",
                                path);
        if (r < 0)
                return log_error_errno(
                                r,
                                "Cannot read '%s': %m. Is it what 'vmctl check --bundle' wrote, and whole?",
                                path);
        r = spread(&t, ret);
        return r < 0 ? log_error_errno(r, "Cannot unpack '%s' below $TMPDIR: %m", path) : 0;
}

int check_open(const char *path, CheckHost *ret) {
        _cleanup_close_ int fd = -EBADF;
        struct stat st;

        fd = RET_NERRNO(open(isempty(path) ? "/" : path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
        if (fd < 0 || fstat(fd, &st) < 0)
                return log_error_errno(MIN(fd, -1), "Cannot open '%s': %m", path ?: "/");
        if (S_ISREG(st.st_mode))
                return open_bundle(path, fd, ret);
        ret->root = fs_open_root(path);
        return ret->root < 0 ? log_error_errno(ret->root, "Cannot open '%s': %m", path ?: "/") : 0;
}

/* The checks whose result is another one with the bundle: "disk, vfio". */
static int compare(const Findings *a, const Findings *b, char **ret) {
        _cleanup_strv_ char **l = NULL;
        size_t i = 0, k = 0;

        while (i < a->n || k < b->n) {
                const Finding *x = i < a->n ? &a->items[i] : NULL, *y = k < b->n ? &b->items[k] : NULL;
                const char *check = x ? x->check : y->check;
                bool same = x && y && x->level == y->level && streq(x->check, y->check);

                if (!same && !strv_contains(l, check) && strv_extend(&l, check) < 0)
                        return -ENOMEM;
                i += x != NULL;
                k += y && (!x || streq(x->check, y->check) || i >= a->n);
        }
        *ret = strv_join(l, ", ");
        return *ret ? 0 : -ENOMEM;
}

/* What the list of files forgets shows here, and not where somebody needs it. */
static int prove(const CheckHost *h, const void *data, size_t size) {
        _cleanup_(check_host_done) CheckHost again = { .root = -EBADF };
        _cleanup_free_ char *differences = NULL;
        _cleanup_(tar_done) Tar t = {};
        int r;

        r = tar_read(data, size, &t);
        if (r >= 0)
                r = spread(&t, &again);
        if (r < 0)
                return log_error_errno(r, "Cannot read the bundle again: %m");
        r = check_look(&again);
        if (r >= 0)
                r = compare(&h->checkup.findings, &again.checkup.findings, &differences);
        if (r >= 0 && *differences)
                log_warning("The bundle does not show all of it: '%s' looks different there. Please report that too",
                            differences);
        return r;
}

static int find_hostname(int root, char **ret) {
        char name[256] = "";
        int r;

        if (fs_is_host(root) && gethostname(name, sizeof(name) - 1) >= 0)
                return free_and_strdup(ret, name);
        r = fs_read_line(root, "/etc/hostname", ret);
        return r == -ENOMEM ? r : 0;
}

/* path: of the user's, from where he is. */
static int put(const char *path, const void *data, size_t size) {
        const char *name = strrchr(path, '/');
        _cleanup_free_ char *parent = NULL, *place = NULL;
        _cleanup_close_ int dir = -EBADF;

        parent = name ? strndup(path, (size_t) (name - path) + 1) : strdup(".");
        if (!parent || str_printf(&place, "/%s", name ? name + 1 : path) < 0)
                return -ENOMEM;
        dir = fs_open_root(parent);
        return dir < 0 ? dir : fs_write_atomic(dir, place, data, size, 0600);
}

int check_write(const CheckHost *h, const char *path) {
        _cleanup_free_ char *hostname = NULL;
        _cleanup_free_ void *data = NULL;
        _cleanup_(tar_done) Tar t = {};
        size_t size = 0;
        int r;

        r = find_hostname(h->root, &hostname);
        if (r >= 0)
                r = bundle_collect(h->root, hostname, &h->evidence, &t);
        if (r >= 0)
                r = tar_write(&t, &data, &size);
        if (r == -ENOPKG)
                return log_error_errno(
                                r,
                                "Cannot write '%s': libarchive is not installed ('apt install libarchive13')",
                                path);
        if (r < 0)
                return log_error_errno(r, "Cannot collect what was looked at: %m");
        r = prove(h, data, size);
        if (r < 0)
                return r;
        r = put(path, data, size);
        if (r < 0)
                return log_error_errno(r, "Cannot write '%s': %m. Nothing was left there", path);
        log_notice("Written to '%s', for you and root to read. Names, addresses and serial numbers are left out; look into it "
                   "before you give it away: 'tar -tf %s'",
                   path, path);
        return 0;
}
