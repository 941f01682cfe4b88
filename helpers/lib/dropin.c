/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "dropin.h"
#include "fs.h"
#include "strv.h"

enum { DROPIN_FILE_MAX = 4 * 1024 * 1024 };

static void tell(DropinProblem problem, void *userdata, const char *path, const char *what, int error) {
        _cleanup_free_ char *text = NULL;

        if (str_printf(&text, "%s%s%s, left out", what, error ? ": " : "",
                       error ? strerror(abs(error)) : "") >= 0)
                problem(path, text, userdata);
}

/* Returns 1 if something has this name, 0 if that is a link to /dev/null, -ENOENT if nothing has it. What the
 * link says counts, not where it leads: below another root there may be no /dev/null, and one that leads
 * nowhere deserves to be told. */
static int find_wanted(int root, const char *path) {
        _cleanup_close_ int fd = fs_open(root, path, O_PATH | O_NOFOLLOW, 0);
        char target[sizeof("/dev/null")];
        ssize_t n;

        if (fd < 0)
                return fd == -ENOENT || fd == -ENOTDIR ? -ENOENT : 1;
        n = readlinkat(fd, "", target, sizeof(target));
        return n != sizeof(target) - 1 || memcmp(target, "/dev/null", (size_t) n) != 0;
}

static const char *const above[] = { "/etc", "/run", "/usr/lib" };

/* Adds the directory's names that no directory before it had. */
static int collect(int root, const char *dir, const char *suffix, DropinProblem problem, void *userdata,
                   char ***names, char ***paths) {
        _cleanup_strv_ char **found = NULL;
        int r;

        r = fs_list(root, dir, &found);
        if (r == -ENOENT || r == -ENOMEM)
                return r == -ENOMEM ? r : 0;
        if (r < 0) {
                tell(problem, userdata, dir, "Cannot be listed", r);
                return 0;
        }
        STRV_FOREACH(f, found) {
                if (**f == '.' || !endswith(*f, suffix) || strv_contains(*names, *f))
                        continue;
                r = strv_extend(names, *f);
                if (r >= 0)
                        r = strv_extendf(paths, "%s/%s", dir, *f);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int compare_names(const void *a, const void *b) {
        const char *x = strrchr(*(char *const *) a, '/'), *y = strrchr(*(char *const *) b, '/');

        return strcmp(x, y);
}

/* below: what comes behind the name, ".d" or "". */
static int collect_all(int root, const char *name, const char *below, const char *suffix,
                       DropinProblem problem, void *userdata, char ***names, char ***paths) {
        int r = 0;

        for (size_t i = 0; i < ELEMENTSOF(above) && r >= 0; i++) {
                _cleanup_free_ char *dir = NULL;

                r = str_printf(&dir, "%s/%s%s", above[i], name, below);
                if (r >= 0)
                        r = collect(root, dir, suffix, problem, userdata, names, paths);
        }
        return r;
}

static int find_file(int root, const char *name, char ***l) {
        for (size_t i = 0; i < ELEMENTSOF(above); i++) {
                _cleanup_free_ char *path = NULL;
                int r = str_printf(&path, "%s/%s", above[i], name);

                if (r < 0)
                        return r;
                r = find_wanted(root, path);
                if (r != -ENOENT)
                        return r > 0 ? strv_extend(l, path) : 0;
        }
        return 0;
}

int dropin_list(int root, const char *name, DropinProblem problem, void *userdata, char ***ret) {
        _cleanup_strv_ char **names = NULL, **paths = NULL, **l = NULL;
        int r;

        r = find_file(root, name, &l);
        if (r >= 0)
                r = collect_all(root, name, ".d", ".conf", problem, userdata, &names, &paths);
        if (paths)
                qsort(paths, strv_length(paths), sizeof(char *), compare_names);
        STRV_FOREACH(p, paths)
                if (r >= 0 && find_wanted(root, *p) > 0)
                        r = strv_extend(&l, *p);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(l);
        return 0;
}

int dropin_names(int root, const char *directory, const char *suffix, DropinProblem problem, void *userdata,
                 char ***ret) {
        _cleanup_strv_ char **names = NULL, **paths = NULL;
        int r;

        r = collect_all(root, directory, "", suffix, problem, userdata, &names, &paths);
        if (r < 0)
                return r;
        strv_sort(names);
        *ret = TAKE_PTR(names);
        return 0;
}

/* Who could have written it? Only asked of the machine itself: a recorded tree belongs to who recorded it. */
static const char *distrust(int root, const struct stat *st) {
        if (!fs_is_host(root))
                return NULL;
        if (st->st_uid != 0)
                return "Does not belong to root (remedy: chown root), so it may not tell root what to do";
        if (st->st_mode & S_IWOTH)
                return "Writable by everybody (remedy: chmod o-w), so it may not tell root what to do";
        return NULL;
}

int dropin_read(int root, const char *path, DropinProblem problem, void *userdata, char **ret_data,
                size_t *ret_size) {
        const char *why;
        struct stat st;
        int r;

        *ret_data = NULL;
        r = fs_stat(root, path, &st);
        if (r >= 0) {
                why = S_ISREG(st.st_mode) ? distrust(root, &st) : "Not a regular file";
                if (why) {
                        tell(problem, userdata, path, why, 0);
                        return 0;
                }
                r = fs_read(root, path, DROPIN_FILE_MAX, ret_data, ret_size);
        }
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                tell(problem, userdata, path, "Cannot be read", r);
        return 0;
}
