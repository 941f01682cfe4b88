/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "grubtrial.h"
#include "bootentry.h"
#include "bootfile.h"
#include "checkpoint.h"
#include "child.h"
#include "fs.h"
#include "restore.h"
#include "strv.h"

#define BLANKS    " \t"
#define COPY      GRUBTRIAL_CFG BOOTFILE_NEW
#define BEGIN     "# gpuvm trial begins here"
#define END       "# gpuvm trial ends here"
#define CONDITION "if [ \"${default}\" = \"" TRIAL_ENTRY "\" ]; then\n"

enum { CHECK_TIMEOUT_SEC = 60 };

void grubtrial_done(GrubTrial *t) {
        free(t->block);
        free(t->kernel);
        free(t->image);
        *t = (GrubTrial){};
}

/* One "menuentry ... {" up to its "}". */
typedef struct Entry {
        char **lines; /* borrowed */
        size_t n;
} Entry;

typedef struct Menu {
        Entry first, wished; /* of the entries that 10_linux made, without the recovery ones */
        bool default_is_first;
        bool takes_once, clears_once, loads, includes; /* what a start once needs */
} Menu;

static const char *first_word(const char *line) {
        return line + strspn(line, BLANKS);
}

/* Returns what follows the command, or NULL. */
static const char *command(const char *line, const char *name) {
        const char *p = startswith(first_word(line), name);

        return p && *p && strchr(BLANKS, *p) ? p + strspn(p, BLANKS) : NULL;
}

static const char *kernel_arguments(const char *line) {
        const char *a = command(line, "linux") ?: command(line, "linuxefi");

        return a ?: command(line, "linux16");
}

static const char *initrd_arguments(const char *line) {
        const char *a = command(line, "initrd") ?: command(line, "initrdefi");

        return a ?: command(line, "initrd16");
}

static bool is_recovery(const char *line) {
        return strstr(line, "recovery") != NULL;
}

/* True if a kernel line of the entry starts the file that is wished for. */
static bool starts_kernel(const Entry *e, const TrialWish *w) {
        const char *path = w->kernel ?: w->running;
        size_t n = strlen(strempty(path));

        for (size_t i = 0; path && i < e->n; i++) {
                const char *a = kernel_arguments(e->lines[i]);

                if (a && w->kernel) {
                        const char *name = a + strcspn(a, BLANKS);

                        while (name > a && name[-1] != '/')
                                name--;
                        a = startswith(name, "vmlinuz-");
                }
                if (a && strncmp(a, path, n) == 0 && (!a[n] || strchr(BLANKS, a[n])))
                        return true;
        }
        return false;
}

static bool has_kernel(const Entry *e) {
        for (size_t i = 0; i < e->n; i++)
                if (kernel_arguments(e->lines[i]))
                        return true;
        return false;
}

/* The lines of 00_header and 41_custom that carry a start once. */
static void look_at_header(Menu *m, const char *line) {
        const char *p = first_word(line);

        m->takes_once |= streq(p, "set default=\"${next_entry}\"");
        m->clears_once |= streq(p, "save_env next_entry");
        m->loads |= streq(p, "load_env");
        m->default_is_first |= streq(p, "set default=\"0\"");
        m->includes |= command(line, "source") && strstr(p, "/custom.cfg");
}

static void keep_entry(Menu *m, Entry e, const TrialWish *w) {
        if (is_recovery(e.lines[0]) || !has_kernel(&e))
                return;
        if (!m->first.lines)
                m->first = e;
        if (!m->wished.lines && starts_kernel(&e, w))
                m->wished = e;
}

/* Entries are as grub-mkconfig writes them: "menuentry ... {" and "}" on lines of their own. */
static void scan(char **lines, const TrialWish *w, Menu *m) {
        bool ours = false;

        for (size_t i = 0; lines && lines[i]; i++) {
                const char *p = first_word(lines[i]);
                size_t n = 1;

                if (startswith(p, "### BEGIN "))
                        ours = strstr(p, "grub.d/10_linux") != NULL;
                if (!command(lines[i], "menuentry")) {
                        look_at_header(m, lines[i]);
                        continue;
                }
                while (lines[i + n] && !streq(first_word(lines[i + n]), "}") &&
                       !command(lines[i + n], "menuentry"))
                        n++;
                if (ours && lines[i + n] && streq(first_word(lines[i + n]), "}"))
                        keep_entry(m, (Entry){ .lines = lines + i, .n = n }, w);
                i += n - 1;
        }
}

/* "/boot/vmlinuz-6.1 root=..." with other words, and ours. Also finds out the version. */
static int kernel_line(const char *line, const TrialWish *w, GrubTrial *t, char ***text) {
        const char *a = kernel_arguments(line), *words, *version;
        _cleanup_free_ char *path = NULL, *edited = NULL;
        int r;

        words = a + strcspn(a, BLANKS);
        path = strndup(a, (size_t) (words - a));
        if (!path)
                return -ENOMEM;
        version = strstr(path, "vmlinuz-");
        r = free_and_strdup(&t->kernel, version ? version + strlen("vmlinuz-") : NULL);
        if (r >= 0 && w->firmware)
                r = bootentry_edit_words(words, w->firmware, w->override, &edited);
        if (r < 0)
                return r;
        words += strspn(words, BLANKS);
        return strv_extendf(text, "%.*s %s panic=%d%s%s\n", (int) (a + strlen(path) - line), line,
                            edited ?: words, TRIAL_PANIC_SEC, w->boot_id ? " " TRIAL_WORD "=" : "",
                            strempty(w->boot_id));
}

/* The last file is the kernel's own image; others before it are microcode. */
static int image_line(const char *line, const char *suffix, GrubTrial *t, char ***text) {
        size_t n = strlen(line);
        const char *last;

        while (n > 0 && strchr(BLANKS, line[n - 1]))
                n--;
        last = line + n;
        while (last > line && !strchr(BLANKS, last[-1]))
                last--;
        free(t->image);
        t->image = strndup(last, (size_t) (line + n - last));
        return t->image ? strv_extendf(text, "%.*s%s\n", (int) n, line, suffix) : -ENOMEM;
}

/* Not part of it: what an entry does to the choice of the next start, and remarks: one could be our mark.
 * Ubuntu's initrdfail (its 10_linux, where GRUB_FORCE_PARTUUID is set) has the same entry taken again after a
 * start that failed. */
static bool is_left_out(const char *line) {
        const char *p = first_word(line);

        return *p == '#' || streq(p, "savedefault") || streq(p, "recordfail") || streq(p, "initrdfail");
}

static int copy_entry(const Entry *e, const TrialWish *w, const char *suffix, GrubTrial *t, char ***text) {
        const char *open = strstr(e->lines[0], "--unrestricted") ? "--unrestricted " : "";
        int r;

        r = strv_extendf(text,
                         BEGIN "; 'gpuvm-undo %s' takes it away.\n" CONDITION "set fallback=\"0\"\n"
                               "menuentry 'Trial of gpuvm' --id '" TRIAL_ENTRY "' %s{\n",
                         w->kernel ? "packages" : "iommu", open);
        for (size_t i = 1; r >= 0 && i < e->n; i++) {
                const char *line = e->lines[i];

                if (kernel_arguments(line))
                        r = kernel_line(line, w, t, text);
                else if (initrd_arguments(line))
                        r = image_line(line, suffix, t, text);
                else if (!is_left_out(line))
                        r = strv_extendf(text, "%s\n", line);
        }
        return r < 0 ? r : strv_extend(text, "}\nfi\n" END "\n");
}

static const char *find_reason(const Menu *m) {
        if (!m->takes_once || !m->clears_once || !m->loads)
                return "the boot menu has no code for an entry that is taken once; 'update-grub' makes one";
        if (!m->includes)
                return "the boot menu does not read custom.cfg (/etc/grub.d/41_custom)";
        return m->first.lines ? NULL : "the boot menu has no entry that grub-mkconfig made for this system";
}

int grubtrial_make(const char *cfg, const TrialWish *wish, const char *image_suffix, GrubTrial *ret,
                   char **ret_reason) {
        _cleanup_strv_ char **lines = NULL, **text = NULL;
        _cleanup_(grubtrial_done) GrubTrial t = {};
        const char *reason;
        Menu m = {};
        int r;

        r = strv_split(cfg, "\n", &lines);
        if (r < 0)
                return r;
        scan(lines, wish, &m);
        reason = find_reason(&m);
        if (!reason && wish->kernel && !m.wished.lines)
                reason = "the boot menu has no entry for it";
        if (!reason) {
                bool first = !m.wished.lines || (m.default_is_first && !wish->kernel);

                r = copy_entry(first ? &m.first : &m.wished, wish, image_suffix, &t, &text);
                if (r < 0)
                        return r;
                if (!t.kernel)
                        reason = "the boot menu names no kernel like vmlinuz-VERSION";
        }
        if (reason) {
                *ret_reason = strdup(reason);
                return *ret_reason ? 1 : -ENOMEM;
        }
        t.block = strv_join(text, "");
        if (!t.block)
                return -ENOMEM;
        *ret = t;
        t = (GrubTrial){};
        return 0;
}

static char *next_line(char *p) {
        p += strcspn(p, "\n");
        return p + (*p == '\n');
}

/* text: the beginning of a line. */
static char *find_line(char *text, const char *start) {
        while (*text && !startswith(text, start))
                text = next_line(text);
        return *text ? text : NULL;
}

/* In front of all else: what follows stays byte for byte, with a newline at its end or without. A block whose
 * last line somebody took away stays too: where it ended nobody knows any more. */
int grubtrial_edit(const char *text, const char *block, char **ret) {
        _cleanup_free_ char *rest = strdup(text);

        if (!rest)
                return -ENOMEM;
        for (char *begin = rest; (begin = find_line(begin, BEGIN));) {
                char *behind = next_line(begin), *end = find_line(behind, END),
                     *another = find_line(behind, BEGIN);

                if (!end || (another && another < end)) {
                        begin = behind;
                        continue;
                }
                end = next_line(end);
                memmove(begin, end, strlen(end) + 1);
                begin = rest;
        }
        return str_printf(ret, "%s%s", strempty(block), rest);
}

static int read_custom(int root, char **ret) {
        int r = fs_read(root, GRUBTRIAL_CFG, FS_FILE_MAX, ret, NULL);

        if (r == -ENOENT)
                return (*ret = strdup("")) ? 0 : -ENOMEM;
        return r < 0 ? r : 1;
}

static int check_script(Phase *p, const char *text) {
        const char *const argv[] = { "/usr/bin/grub-script-check", COPY, NULL };
        Child c = { PHASE_CHILD(p), .argv = argv, .timeout_usec = CHECK_TIMEOUT_SEC * USEC_PER_SEC };
        int r;

        r = fs_write_atomic(p->root, COPY, text, strlen(text), 0600);
        if (r >= 0)
                r = child_run(&c);
        (void) !fs_remove(p->root, COPY);
        return r > 0 ? -EBADMSG : r;
}

static int give_reason(const char *reason, char **ret) {
        return (*ret = strdup(reason)) ? 1 : -ENOMEM;
}

int grubtrial_obstacle(int root, char **ret_reason) {
        _cleanup_close_ int fd = fs_open(root, GRUBTRIAL_CFG, O_PATH | O_NOFOLLOW, 0);
        _cleanup_free_ char *text = NULL, *rest = NULL;
        struct stat st;

        if (fd == -ENOENT)
                return 0;
        if (fd < 0 || fstat(fd, &st) < 0 || read_custom(root, &text) < 0)
                return give_reason(GRUBTRIAL_CFG " cannot be read", ret_reason);
        if (!S_ISREG(st.st_mode)) /* a new file would take its place */
                return give_reason(GRUBTRIAL_CFG " is a link", ret_reason);
        if (grubtrial_edit(text, NULL, &rest) < 0)
                return -ENOMEM;
        if (find_line(rest, BEGIN))
                return give_reason(GRUBTRIAL_CFG " has the line '" BEGIN "' without the one that ends it",
                                   ret_reason);
        return 0;
}

int grubtrial_put(Phase *p, Undo *u, const char *block) {
        _cleanup_free_ char *old = NULL, *theirs = NULL, *new = NULL;
        struct stat st = { .st_mode = 0644 };
        int r;

        r = read_custom(p->root, &old);
        if (r > 0)
                r = fs_stat(p->root, GRUBTRIAL_CFG, &st);
        if (r >= 0)
                r = grubtrial_edit(old, NULL, &theirs);
        if (r >= 0)
                r = grubtrial_edit(theirs, block, &new);
        if (r >= 0)
                r = check_script(p, new);
        if (r >= 0)
                r = undo_edit_file(u, GRUBTRIAL_CFG, theirs, new, st.st_mode & 07777);
        if (r >= 0)
                r = checkpoint(p->root, "/boot/grub");
        return r < 0 ? phase_fail(p, r,
                                  "The boot menu is as it was. Make /boot/grub writable, with some room",
                                  "Cannot write the trial's entry to " GRUBTRIAL_CFG)
                     : 0;
}

/* Returns 1 if there was a custom.cfg, an empty one perhaps, before ours. */
static int was_there(int root) {
        _cleanup_(ledger_done) Ledger l = {};
        const LedgerRecord *t;
        int r;

        r = ledger_load(root, &l);
        t = r < 0 ? NULL : restore_target(&l, NULL, GRUBTRIAL_CFG);
        return r < 0 ? r : t && !streq(t->was, "absent");
}

static int write_rest(int root, const char *rest) {
        struct stat st;
        int r = fs_stat(root, GRUBTRIAL_CFG, &st);

        return r < 0 ? r
                     : fs_write_atomic_owned(root, GRUBTRIAL_CFG, rest, strlen(rest), st.st_mode & 07777,
                                             st.st_uid, st.st_gid);
}

static int take_out(Phase *p, const char *rest) {
        int r, keep = isempty(rest) ? was_there(p->root) : 1;

        if (keep < 0)
                return keep;
        r = phase_change(p, keep ? "write" : "remove", GRUBTRIAL_CFG, "without the trial's entry");
        if (r > 0)
                r = keep ? write_rest(p->root, rest) : fs_remove(p->root, GRUBTRIAL_CFG);
        return r < 0 ? r : 1;
}

int grubtrial_remove(Phase *p) {
        _cleanup_free_ char *old = NULL, *new = NULL, *reason = NULL;
        int r;

        r = read_custom(p->root, &old);
        if (r < 0 || !find_line(old, BEGIN))
                return MIN(r, 0);
        r = grubtrial_obstacle(p->root, &reason);
        if (r > 0)
                phase_note(p, "The trial's entry stays, but nothing takes it: %s. Take it out yourself",
                           reason);
        if (r != 0)
                return MIN(r, 0);
        r = grubtrial_edit(old, NULL, &new);
        return r < 0 ? r : take_out(p, new);
}
