/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "grubcfg.h"
#include "fs.h"
#include "strv.h"

#define BLANKS " \t"

/* True if the comma separated list has this item. */
static bool has_item(const char *list, const char *item) {
        size_t n = strlen(item);

        for (const char *p = list; *p;) {
                size_t k = strcspn(p, ",");

                if (k == n && memcmp(p, item, n) == 0)
                        return true;
                p += k;
                p += *p == ',';
        }
        return false;
}

const char *cmdline_iommu_off(char *const *words, const char *firmware) {
        const char *intel = NULL, *sticky = NULL;

        STRV_FOREACH(w, words) {
                const char *v;

                if ((v = startswith(*w, "iommu=")) && has_item(v, "off"))
                        sticky = *w;
                else if (streq(firmware, "amd") && (v = startswith(*w, "amd_iommu=")) && strstr(v, "off"))
                        sticky = *w;
                else if (streq(firmware, "intel") && (v = startswith(*w, "intel_iommu="))) {
                        if (has_item(v, "off"))
                                intel = *w;
                        else if (has_item(v, "on"))
                                intel = NULL;
                }
        }
        return sticky ?: intel;
}

bool cmdline_iommu_on(char *const *words, const char *firmware) {
        const char *v;

        if (cmdline_iommu_off(words, firmware))
                return false;
        if (!streq(firmware, "intel"))
                return true;
        STRV_FOREACH(w, words)
                if ((v = startswith(*w, "intel_iommu=")) && has_item(v, "on"))
                        return true;
        return false;
}

typedef struct Scan {
        const char *firmware;
        GrubFileExists exists;
        void *userdata;
        bool foreign;  /* in a section of /etc/grub.d that is not about this system's kernels */
        bool recovery; /* in such an entry */
        bool kernel, whole;
        size_t n_entries, n_good, n_lines;
        char *title, *problem;
} Scan;

/* The title between the first pair of quotes, for messages. */
static char *entry_title(const char *line) {
        size_t n = strcspn(line, "'\"");

        if (!line[n])
                return strdup("untitled");
        return strndup(line + n + 1, strcspn(line + n + 1, (char[]){ line[n], '\0' }));
}

static void entry_end(Scan *s) {
        if (s->kernel && s->whole)
                s->n_good++;
        s->kernel = s->whole = false;
        free(s->title);
        s->title = NULL;
}

static int entry_begin(Scan *s, const char *line) {
        entry_end(s);
        s->title = entry_title(line);
        if (!s->title)
                return -ENOMEM;
        s->n_entries++;
        s->recovery = strstr(s->title, "recovery") || strstr(line, "-recovery-");
        return 0;
}

static int check_files(Scan *s, char *const *words, size_t max) {
        int r = 1;

        for (size_t i = 0; r > 0 && i < max && words && words[i]; i++)
                r = s->exists(words[i], s->userdata);
        if (r == 0)
                s->whole = false;
        return r < 0 ? r : 0;
}

static int linux_line(Scan *s, char *const *words) {
        const char *off;
        int r;

        if (!words[0] || !s->title)
                return 0;
        s->kernel = s->whole = true;
        r = check_files(s, words, 1);
        if (r < 0 || s->foreign || !s->firmware || s->problem)
                return r;
        off = cmdline_iommu_off(words + 1, s->firmware);
        if (off)
                return str_printf(&s->problem, "entry '%s' has '%s', which keeps the IOMMU off", s->title,
                                  off);
        if (s->recovery || strv_contains(words + 1, "single"))
                return 0;
        s->n_lines++;
        if (!cmdline_iommu_on(words + 1, s->firmware))
                return str_printf(&s->problem, "entry '%s' does not ask for the IOMMU", s->title);
        return 0;
}

/* "### BEGIN /etc/grub.d/10_linux ###" */
static void section_line(Scan *s, const char *line) {
        const char *begin = startswith(line, "### BEGIN "), *name;

        if (!begin) {
                s->foreign = s->foreign && !startswith(line, "### END ");
                return;
        }
        name = strstr(begin, "grub.d/");
        s->foreign = name && !startswith(name + strlen("grub.d/"), "10_linux");
}

static int scan_line(Scan *s, const char *line) {
        _cleanup_strv_ char **words = NULL;
        int r;

        line += strspn(line, BLANKS);
        if (*line == '#') {
                section_line(s, line);
                return 0;
        }
        r = strv_split(line, BLANKS, &words);
        if (r < 0 || !words)
                return r;
        if (streq(words[0], "menuentry"))
                return entry_begin(s, line);
        if (streq(words[0], "linux") || streq(words[0], "linuxefi") || streq(words[0], "linux16"))
                return linux_line(s, words + 1);
        if (streq(words[0], "initrd") || streq(words[0], "initrdefi") || streq(words[0], "initrd16"))
                return check_files(s, words + 1, SIZE_MAX);
        return 0;
}

static int verdict(Scan *s) {
        if (s->problem)
                return 0;
        if (s->n_entries == 0)
                return str_printf(&s->problem, "it has no menu entry");
        if (s->n_good == 0)
                return str_printf(&s->problem, "no menu entry has a kernel and an initramfs that are there");
        if (s->firmware && s->n_lines == 0)
                return str_printf(&s->problem, "it has no entry for a kernel of this system");
        return 0;
}

int grubcfg_check(const char *text, const char *firmware, GrubFileExists exists, void *userdata,
                  char **ret_problem) {
        Scan s = { .firmware = firmware, .exists = exists, .userdata = userdata };
        _cleanup_strv_ char **lines = NULL;
        int r;

        r = strv_split(text, "\n", &lines);
        STRV_FOREACH(line, lines) {
                if (r < 0)
                        break;
                r = scan_line(&s, *line);
        }
        entry_end(&s);
        if (r >= 0)
                r = verdict(&s);
        if (r < 0 || !s.problem) {
                free(s.problem);
                return r;
        }
        *ret_problem = s.problem;
        return 1;
}

/* As GRUB hands it over: its quotes and backslashes are not where the menu has them
 * (grub_create_loader_cmdline() of grub-core/lib/cmdline.c). */
static int plain_words(const char *line, char ***ret) {
        _cleanup_free_ char *plain = strdup(line);
        char *to = plain;

        if (!plain)
                return -ENOMEM;
        for (const char *c = line; *c; c++)
                if (!strchr("'\"\\", *c))
                        *to++ = *c;
        *to = '\0';
        return strv_split(plain, BLANKS "\n", ret);
}

/* A variable is empty where the word behind it comes next. */
static bool same_words(char *const *menu, char *const *words) {
        for (; *menu; menu++) {
                bool variable = strchr(*menu, '$') != NULL;

                if (variable && (!*words || (menu[1] && streq(menu[1], *words))))
                        continue;
                if (!*words || (!variable && !streq(*menu, *words)))
                        return false;
                words++;
        }
        return !*words;
}

bool grubcfg_has_start(const char *text, const char *cmdline) {
        _cleanup_strv_ char **lines = NULL, **words = NULL;
        const char *image;

        if (strv_split(text, "\n", &lines) < 0 || plain_words(cmdline, &words) < 0 || !words)
                return false;
        image = startswith(words[0], "BOOT_IMAGE=");
        STRV_FOREACH(line, lines) {
                _cleanup_strv_ char **menu = NULL;

                if (!image || plain_words(*line, &menu) < 0 || !menu || !startswith(menu[0], "linux") ||
                    !menu[1])
                        continue;
                if ((streq(menu[1], image) || strchr(menu[1], '$')) && same_words(menu + 2, words + 1))
                        return true;
        }
        return false;
}
