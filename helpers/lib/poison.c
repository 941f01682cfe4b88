/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "poison.h"
#include "fs.h"
#include "holders.h"
#include "parse.h"
#include "strv.h"
#include "worker.h"

enum {
        WHO_TIMEOUT_SEC = 10,
        STAT_START = 19, /* field 22, counted from the state, which follows the name in parentheses */
};

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

/* What the child that looks for holders has to know. */
typedef struct Question {
        Bdf bdf;
        uint16_t vendor;
        uint32_t class;
        int iommu_group;
        char driver[64];
} Question;

static int serve_who(int root, const char *request, size_t n, char answer[WORKER_MESSAGE_MAX]) {
        _cleanup_(holders_done) Holders holders = {};
        _cleanup_free_ char *text = NULL;
        const PciDevice *devices[1];
        PciDevice d = {};
        Question q;
        int r;

        if (n != sizeof(q))
                return -EINVAL;
        memcpy(&q, request, sizeof(q));
        d.bdf = q.bdf;
        d.vendor = q.vendor;
        d.class = q.class;
        d.iommu_group = q.iommu_group;
        d.driver = q.driver;
        (void) bdf_format(d.bdf, d.name);
        devices[0] = &d;
        r = holders_scan(root, devices, 1, &holders);
        if (r >= 0)
                r = holders_describe(&holders, &text);
        if (r >= 0)
                (void) snprintf(answer, WORKER_MESSAGE_MAX, "%s", text);
        return r;
}

/* Who has it open, "" for nobody or if that cannot be known. */
static int find_who(int root, const PciDevice *d, const char *driver, char **ret) {
        Question q = { d->bdf, d->vendor, d->class, d->iommu_group, "" };
        _cleanup_(worker_freep) Worker *w = NULL;
        int r;

        (void) snprintf(q.driver, sizeof(q.driver), "%s", driver);
        r = worker_start(root, serve_who, NULL, NULL, &w);
        if (r >= 0)
                r = worker_call(w, (const char *) &q, sizeof(q), WHO_TIMEOUT_SEC * USEC_PER_SEC, ret);
        if (r >= 0)
                return 0;
        *ret = strdup("");
        return *ret ? 0 : -ENOMEM;
}

static int describe(int root, const PciDevice *d, const char *driver, const char *doing, pid_t child,
                    uint64_t age_usec, char **ret) {
        time_t since = time(NULL) - (time_t) (age_usec / USEC_PER_SEC);
        _cleanup_free_ char *who = NULL, *stuck = NULL;
        char when[sizeof("2026-01-01 00:00:00")];
        struct tm tm;
        int r;

        (void) strftime(when, sizeof(when), "%F %T", gmtime_r(&since, &tm));
        r = find_who(root, d, driver, &who);
        if (r >= 0 && child > 0)
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
                uint64_t age_usec, char **ret_why) {
        _cleanup_free_ char *path = NULL, *why = NULL, *text = NULL;
        int r;

        r = describe(root, d, driver, doing, child, age_usec, &why);
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
