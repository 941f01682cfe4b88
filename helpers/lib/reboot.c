/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "reboot.h"
#include "cmdline.h"
#include "fs.h"
#include "parse.h"
#include "stopped.h"
#include "strv.h"

#define REQUESTS_DIR "/run/gpuvm/reboot.d"
#define MOTD_PATH    "/run/gpuvm/motd"
#define BOOT_ID_PATH "/proc/sys/kernel/random/boot_id"
#define STORY_HEADER "gpuvm-pending 1"

enum { STORY_MAX = 4096, NAME_MAX_BYTES = 64 };

static int request_write(int root, const char *phase, const char *text) {
        _cleanup_free_ char *path = NULL;

        if (str_printf(&path, REQUESTS_DIR "/%s", phase) < 0)
                return -ENOMEM;
        return fs_write_atomic(root, path, text, strlen(text), 0644);
}

int reboot_request(int root, const char *phase, const char *why) {
        return request_write(root, phase, why);
}

/* Second line: the word. */
int reboot_request_word(int root, const char *phase, const char *why, const char *word) {
        _cleanup_free_ char *text = NULL;

        if (str_printf(&text, "%s\n%s\n", why, word) < 0)
                return -ENOMEM;
        return request_write(root, phase, text);
}

int reboot_withdraw(int root, const char *phase) {
        _cleanup_free_ char *path = NULL;
        int r;

        if (str_printf(&path, REQUESTS_DIR "/%s", phase) < 0)
                return -ENOMEM;
        r = fs_remove(root, path);
        return r < 0 ? r : 0;
}

int reboot_withdraw_many(int root, char *const *phases) {
        _cleanup_strv_ char **names = NULL;
        int r = fs_list(root, REQUESTS_DIR, &names), k;

        if (r < 0)
                return r == -ENOENT ? 0 : r;
        STRV_FOREACH(name, names) {
                if (phases && !strv_contains(phases, *name))
                        continue;
                k = reboot_withdraw(root, *name);
                if (r >= 0)
                        r = k;
        }
        return r;
}

typedef int (*RequestVisitor)(const char *phase, const char *why, const char *word, void *userdata);

static int request_visit(int root, const char *phase, RequestVisitor visitor, void *userdata) {
        _cleanup_free_ char *path = NULL, *text = NULL;
        _cleanup_strv_ char **lines = NULL;
        int r;

        if (str_printf(&path, REQUESTS_DIR "/%s", phase) < 0)
                return -ENOMEM;
        r = fs_read(root, path, STORY_MAX, &text, NULL);
        if (r >= 0)
                r = strv_split(text, "\n", &lines);
        if (r < 0)
                return r;
        return visitor(phase, lines ? lines[0] : "", strv_length(lines) > 1 ? lines[1] : NULL, userdata);
}

static int requests_visit(int root, RequestVisitor visitor, void *userdata) {
        _cleanup_strv_ char **names = NULL;
        int r;

        r = fs_list(root, REQUESTS_DIR, &names);
        if (r == -ENOENT)
                return 0;
        STRV_FOREACH(name, names) {
                if (**name == '.') /* being written */
                        continue;
                r = request_visit(root, *name, visitor, userdata);
                if (r < 0)
                        return r;
        }
        return r < 0 ? r : 0;
}

static int add_reason(const char *phase, const char *why, const char *word, void *userdata) {
        (void) word;
        return strv_extendf(userdata, "%s: %s", phase, why);
}

int reboot_requests(int root, char ***ret) {
        _cleanup_strv_ char **l = NULL;
        int r = requests_visit(root, add_reason, &l);

        if (r < 0)
                return r;
        *ret = TAKE_PTR(l);
        return 0;
}

typedef struct Causes {
        char **words; /* the running kernel's */
        char **all, **useless;
} Causes;

static void causes_done(Causes *c) {
        strv_free(c->words);
        strv_free(c->all);
        strv_free(c->useless);
}

static int add_cause(const char *phase, const char *why, const char *word, void *userdata) {
        Causes *c = userdata;
        int r;

        (void) why;
        r = strv_extend(&c->all, phase);
        if (r >= 0 && word && cmdline_has(c->words, word))
                r = strv_extend(&c->useless, phase);
        return r;
}

int reboot_causes(int root, char ***ret_causes, char ***ret_useless) {
        _cleanup_(causes_done) Causes c = {};
        int r;

        r = cmdline_read(root, &c.words);
        if (r >= 0)
                r = requests_visit(root, add_cause, &c);
        if (r < 0)
                return r;
        *ret_causes = TAKE_PTR(c.all);
        *ret_useless = TAKE_PTR(c.useless);
        return 0;
}

/* The story: a line that says what it is, then "boot ID", "counted N", "total N", "resumes N", and a line
 * "cause NAME N" for each cause, and "end", in this order. */

static bool name_is_valid(const char *s) {
        size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-");

        return n > 0 && n < NAME_MAX_BYTES && s[n] == '\0';
}

bool reboot_boot_id_is_valid(const char *s) {
        return strlen(s) == 36 && strspn(s, "0123456789abcdef-") == 36;
}

static int story_add_cause(RebootStory *s, const char *name, unsigned n) {
        RebootCause *t;

        for (size_t i = 0; i < s->n_causes; i++)
                if (streq(s->causes[i].name, name))
                        return -EEXIST;
        t = reallocarray(s->causes, s->n_causes + 1, sizeof(*t));
        if (!t)
                return -ENOMEM;
        s->causes = t;
        t[s->n_causes] = (RebootCause){ .name = strdup(name), .n = n };
        return t[s->n_causes++].name ? 0 : -ENOMEM;
}

static int parse_number(const char *line, const char *key, unsigned max, unsigned *ret) {
        const char *v = startswith(line, key);

        return v && parse_uint(v, max, ret) >= 0 ? 0 : -EBADMSG;
}

static int parse_cause(RebootStory *s, char *line) {
        char *name = (char *) startswith(line, "cause "), *space;
        unsigned n;
        int r;

        space = name ? strchr(name, ' ') : NULL;
        if (!space || s->n_causes >= REBOOT_MAX_CAUSES)
                return -EBADMSG;
        *space = '\0';
        if (!name_is_valid(name) || parse_uint(space + 1, REBOOT_MAX_TOTAL, &n) < 0)
                return -EBADMSG;
        r = story_add_cause(s, name, n);
        return r == -EEXIST ? -EBADMSG : r;
}

static int parse_lines(RebootStory *s, char **lines) {
        size_t n = strv_length(lines);
        unsigned counted;
        const char *id;
        int r;

        if (n < 6 || !streq(lines[0], STORY_HEADER) || !streq(lines[n - 1], "end"))
                return -EBADMSG;
        id = startswith(lines[1], "boot ");
        if (!id || !reboot_boot_id_is_valid(id) || parse_number(lines[2], "counted ", 1, &counted) < 0 ||
            parse_number(lines[3], "total ", REBOOT_MAX_TOTAL, &s->total) < 0 ||
            parse_number(lines[4], "resumes ", REBOOT_MAX_RESUMES, &s->resumes) < 0)
                return -EBADMSG;
        s->counted = counted != 0;
        s->boot_id = strdup(id);
        if (!s->boot_id)
                return -ENOMEM;
        for (size_t i = 5; i < n - 1; i++) {
                r = parse_cause(s, lines[i]);
                if (r < 0)
                        return r;
        }
        return 0;
}

int reboot_story_parse(const char *text, size_t size, RebootStory *ret) {
        _cleanup_(reboot_story_done) RebootStory s = {};
        _cleanup_strv_ char **lines = NULL;
        int r;

        r = strv_split_whole(text, size, STORY_MAX, &lines);
        if (r >= 0)
                r = parse_lines(&s, lines);
        if (r < 0)
                return r;
        *ret = s;
        s = (RebootStory){};
        return 0;
}

int reboot_story_format(const RebootStory *s, char **ret) {
        _cleanup_strv_ char **l = NULL;
        char *text;
        int r;

        r = strv_extendf(&l, STORY_HEADER "\nboot %s\ncounted %d\ntotal %u\nresumes %u", strna(s->boot_id),
                         s->counted, s->total, s->resumes);
        for (size_t i = 0; r >= 0 && i < s->n_causes; i++)
                r = strv_extendf(&l, "cause %s %u", s->causes[i].name, s->causes[i].n);
        if (r >= 0)
                r = strv_extend(&l, "end\n");
        if (r < 0)
                return r;
        text = strv_join(l, "\n");
        if (!text)
                return -ENOMEM;
        *ret = text;
        return 0;
}

void reboot_story_done(RebootStory *s) {
        for (size_t i = 0; i < s->n_causes; i++)
                free(s->causes[i].name);
        free(s->causes);
        free(s->boot_id);
        *s = (RebootStory){};
}

int reboot_story_load(int root, RebootStory *ret) {
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r;

        r = fs_read(root, REBOOT_PENDING_PATH, STORY_MAX, &text, &size);
        if (r == -ENOENT) {
                *ret = (RebootStory){};
                return 0;
        }
        if (r >= 0)
                r = reboot_story_parse(text, size, ret);
        return r < 0 ? r : 1;
}

int reboot_story_save(int root, const RebootStory *s) {
        _cleanup_free_ char *text = NULL;
        int r;

        r = reboot_story_format(s, &text);
        if (r < 0)
                return r;
        return fs_write_atomic(root, REBOOT_PENDING_PATH, text, strlen(text), 0644);
}

int reboot_story_end(int root) {
        int r = fs_remove(root, REBOOT_PENDING_PATH);

        if (r >= 0)
                r = reboot_motd(root, NULL);
        return r < 0 ? r : stopped_clear(root, NULL);
}

static RebootCause *story_find(const RebootStory *s, const char *name) {
        for (size_t i = 0; i < s->n_causes; i++)
                if (streq(s->causes[i].name, name))
                        return &s->causes[i];
        return NULL;
}

static RebootVerdict story_judge(const RebootStory *s, char *const *causes, const char **ret_which) {
        STRV_FOREACH(c, causes) {
                const RebootCause *known = story_find(s, *c);

                if (known && known->n >= REBOOT_MAX_PER_CAUSE) {
                        *ret_which = *c;
                        return REBOOT_CAUSE_USED_UP;
                }
        }
        return s->total >= REBOOT_MAX_TOTAL ? REBOOT_TOTAL_USED_UP : REBOOT_GRANTED;
}

static int story_count(RebootStory *s, char *const *causes) {
        STRV_FOREACH(c, causes) {
                RebootCause *known = story_find(s, *c);
                int r = 0;

                if (known)
                        known->n++;
                else
                        r = s->n_causes < REBOOT_MAX_CAUSES ? story_add_cause(s, *c, 1) : -E2BIG;
                if (r < 0)
                        return r;
        }
        s->total++;
        s->counted = true;
        return 0;
}

int reboot_decide(RebootStory *s, const char *boot_id, char *const *causes, bool by_us,
                  RebootVerdict *ret_verdict, const char **ret_which) {
        bool same_boot = streq_ptr(s->boot_id, boot_id);
        RebootVerdict v = REBOOT_GRANTED;
        const char *which = NULL;
        int r = 0;

        /* Asked for in this boot already, and not come: cancelled, or the target was started twice. */
        if (by_us && !(same_boot && s->counted)) {
                v = story_judge(s, causes, &which);
                if (v == REBOOT_GRANTED && !same_boot)
                        s->counted = false;
                if (v == REBOOT_GRANTED)
                        r = story_count(s, causes);
        } else if (!same_boot)
                s->counted = false;
        if (r < 0)
                return r;
        if (v == REBOOT_GRANTED) {
                r = free_and_strdup(&s->boot_id, boot_id);
                if (r < 0)
                        return r;
                s->resumes = 0;
        }
        *ret_verdict = v;
        *ret_which = which;
        return 0;
}

ResumeVerdict resume_decide(RebootStory *s, const char *boot_id) {
        if (!s->boot_id || streq(s->boot_id, boot_id))
                return RESUME_NOTHING;
        if (s->resumes >= REBOOT_MAX_RESUMES)
                return RESUME_USED_UP;
        s->resumes++;
        return RESUME_GO;
}

int reboot_boot_id(int root, char **ret) {
        _cleanup_free_ char *id = NULL;
        int r = fs_read_line(root, BOOT_ID_PATH, &id);

        if (r < 0)
                return r;
        if (!reboot_boot_id_is_valid(id))
                return -EBADMSG;
        *ret = TAKE_PTR(id);
        return 0;
}

int reboot_motd(int root, const char *text) {
        int r;

        if (text)
                return fs_write_atomic(root, MOTD_PATH, text, strlen(text), 0644);
        r = fs_remove(root, MOTD_PATH);
        return r < 0 ? r : 0;
}
