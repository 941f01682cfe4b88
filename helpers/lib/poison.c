/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "poison.h"
#include "fs.h"
#include "parse.h"
#include "strv.h"

enum { STAT_START = 19 }; /* field 22, counted from the state, which follows the name in parentheses */

void poison_done(Poison *p) {
        free(p->why);
        *p = (Poison){};
}

int poison_parse(const char *text, Poison *ret) {
        _cleanup_strv_ char **lines = NULL, **words = NULL;
        uint64_t start;
        unsigned pid;
        int r;

        r = strv_split(text, "\n", &lines);
        if (r < 0)
                return r;
        if (strv_length(lines) != 2)
                return -EBADMSG;
        r = strv_split(lines[1], " ", &words);
        if (r < 0)
                return r;
        if (strv_length(words) != 2 || parse_uint(words[0], INT32_MAX, &pid) < 0 ||
            parse_u64(words[1], &start) < 0)
                return -EBADMSG;
        *ret = (Poison){ strdup(lines[0]), (pid_t) pid, start };
        return ret->why ? 0 : -ENOMEM;
}

static int mark_path(const PciDevice *d, char **ret) {
        return str_printf(ret, POISONED_DIR "/%s", d->name);
}

int poison_find(int root, const PciDevice *d, Poison *ret) {
        _cleanup_free_ char *path = NULL, *text = NULL;
        int r;

        r = mark_path(d, &path);
        if (r >= 0)
                r = fs_read(root, path, FS_ATTR_MAX, &text, NULL);
        if (r < 0)
                return r == -ENOENT ? 0 : r;
        r = poison_parse(text, ret);
        if (r == -EBADMSG) {
                /* A mark all the same. */
                *ret = (Poison){ .why = strdup("nobody knows why") };
                r = ret->why ? 0 : -ENOMEM;
        }
        return r < 0 ? r : 1;
}

/* When the process began, in ticks since the boot; 0 if it is gone, or has ended and nobody has asked how. A
 * child of ours is a process of this machine, whatever the root is. */
static uint64_t start_of(pid_t pid) {
        _cleanup_close_ int host = fs_open_root(NULL);
        _cleanup_free_ char *path = NULL, *line = NULL;
        _cleanup_strv_ char **words = NULL;
        uint64_t start = 0;
        char *name_end;

        if (pid <= 0 || host < 0 || str_printf(&path, "/proc/%d/stat", (int) pid) < 0 ||
            fs_read_line(host, path, &line) < 0)
                return 0;
        name_end = strrchr(line, ')');
        if (!name_end || strv_split(name_end + 1, " ", &words) < 0 || strv_length(words) <= STAT_START ||
            streq(words[0], "Z") || streq(words[0], "X"))
                return 0;
        return parse_u64(words[STAT_START], &start) < 0 ? 0 : start;
}

bool poison_is_stuck(const Poison *p) {
        return p->child > 0 && p->start > 0 && start_of(p->child) == p->start;
}

static int describe(const char *driver, const char *doing, pid_t child, uint64_t age_usec, const char *who,
                    char **ret) {
        time_t since = time(NULL) - (time_t) (age_usec / USEC_PER_SEC);
        _cleanup_free_ char *stuck = NULL;
        char when[sizeof("2026-01-01 00:00:00")];
        struct tm tm;
        int r = 0;

        (void) strftime(when, sizeof(when), "%F %T", gmtime_r(&since, &tm));
        if (child > 0)
                r = str_printf(&stuck, "; process %d is stuck in that", (int) child);
        if (r < 0)
                return r;
        r = str_printf(ret, "the kernel did not come back from %s (driver %s), since %s UTC%s%s%s", doing,
                       driver, when, strempty(stuck), *who ? "; " : "", who);
        for (char *c = r < 0 ? NULL : *ret; c && *c; c++)
                if (*c == '\n')
                        *c = '?';
        return r;
}

int poison_mark(int root, const PciDevice *d, const char *driver, const char *doing, pid_t child,
                uint64_t age_usec, const char *who, char **ret_why) {
        _cleanup_free_ char *path = NULL, *why = NULL, *text = NULL;
        int r;

        r = describe(driver, doing, child, age_usec, who, &why);
        if (r >= 0)
                r = mark_path(d, &path);
        if (r >= 0)
                r = str_printf(&text, "%s\n%d %llu\n", why, (int) MAX(child, 0),
                               (unsigned long long) start_of(child));
        if (r >= 0)
                r = fs_write_atomic(root, path, text, strlen(text), 0644);
        if (r < 0)
                return r;
        *ret_why = TAKE_PTR(why);
        return 0;
}

int poison_forget(int root, const PciDevice *d) {
        _cleanup_free_ char *path = NULL;
        int r;

        r = mark_path(d, &path);
        return r < 0 ? r : fs_remove(root, path);
}
