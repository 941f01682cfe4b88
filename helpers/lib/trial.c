/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "trial.h"
#include "cmdline.h"
#include "fs.h"
#include "reboot.h"
#include "strv.h"

#define HEADER "gpuvm-trial 1"

enum { TRIAL_MAX = 4096 };

static const char *const stages[] = { "making", "ready", "up", "good", "lost", "useless", "offline" };

void trial_done(Trial *t) {
        free(t->boot_id);
        free(t->off);
        *t = (Trial){};
}

static int parse_stage(const char *line, TrialStage *ret) {
        const char *name = startswith(line, "stage ");

        for (size_t i = 0; name && i < ELEMENTSOF(stages); i++)
                if (streq(name, stages[i])) {
                        *ret = (TrialStage) i;
                        return 0;
                }
        return -EBADMSG;
}

static int parse_off(const char *line, Trial *t) {
        const char *word = startswith(line, "off ");

        if (!word || !*word || strpbrk(word, " \t"))
                return -EBADMSG;
        return free_and_strdup(&t->off, word);
}

/* A line that says what it is, "boot ID", "stage NAME", perhaps "off WORD", perhaps "network", and "end". */
static int parse_lines(char *const *lines, Trial *t) {
        size_t n = strv_length(lines), i = 3;
        const char *id;
        int r = 0;

        if (n < 4 || n > 6 || !streq(lines[0], HEADER) || !streq(lines[n - 1], "end"))
                return -EBADMSG;
        id = startswith(lines[1], "boot ");
        if (!id || !reboot_boot_id_is_valid(id) || parse_stage(lines[2], &t->stage) < 0)
                return -EBADMSG;
        t->network = n > 4 && streq(lines[n - 2], "network");
        if (n - t->network > 4)
                r = parse_off(lines[i++], t);
        if (r < 0 || i + t->network + 1 != n)
                return r < 0 ? r : -EBADMSG;
        t->boot_id = strdup(id);
        return t->boot_id ? 0 : -ENOMEM;
}

int trial_parse(const char *text, size_t size, Trial *ret) {
        _cleanup_(trial_done) Trial t = {};
        _cleanup_strv_ char **lines = NULL;
        int r;

        r = strv_split_whole(text, size, TRIAL_MAX, &lines);
        if (r >= 0)
                r = parse_lines(lines, &t);
        if (r < 0)
                return r;
        *ret = t;
        t = (Trial){};
        return 0;
}

int trial_format(const Trial *t, char **ret) {
        return str_printf(ret, HEADER "\nboot %s\nstage %s\n%s%s%s%send\n", strna(t->boot_id),
                          stages[t->stage], t->off ? "off " : "", strempty(t->off), t->off ? "\n" : "",
                          t->network ? "network\n" : "");
}

int trial_load_from(int root, const char *path, Trial *ret) {
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r;

        r = fs_read(root, path, TRIAL_MAX, &text, &size);
        if (r == -ENOENT) {
                *ret = (Trial){};
                return 0;
        }
        if (r >= 0)
                r = trial_parse(text, size, ret);
        return r < 0 ? r : 1;
}

int trial_load(int root, Trial *ret) {
        return trial_load_from(root, TRIAL_PATH, ret);
}

int trial_save_to(int root, const char *path, const Trial *t) {
        _cleanup_free_ char *text = NULL;
        int r;

        r = trial_format(t, &text);
        return r < 0 ? r : fs_write_atomic(root, path, text, strlen(text), 0644);
}

int trial_save(int root, const Trial *t) {
        return trial_save_to(root, TRIAL_PATH, t);
}

int trial_forget(int root) {
        int r = fs_remove(root, TRIAL_PATH);

        return r < 0 ? r : 0;
}

TrialVerdict trial_judge(const Trial *t, const char *boot_id, char *const *words, bool armed) {
        bool running = cmdline_get(words, TRIAL_WORD);

        if (!t->boot_id)
                return running ? TRIAL_RUNNING : TRIAL_NONE;
        if (t->stage == TRIAL_STAGE_GOOD)
                return TRIAL_GOOD;
        /* Still the boot that was cut off: the network may have come back. */
        if (t->stage == TRIAL_STAGE_OFFLINE && running)
                return TRIAL_RUNNING;
        if (t->stage >= TRIAL_STAGE_LOST)
                return TRIAL_FAILED;
        if (streq(t->boot_id, boot_id))
                return armed && t->stage == TRIAL_STAGE_READY ? TRIAL_PENDING : TRIAL_NONE;
        if (running)
                return TRIAL_RUNNING;
        if (armed) /* another boot, but not by way of the loader: kexec */
                return TRIAL_PENDING;
        return t->stage == TRIAL_STAGE_READY ? TRIAL_LOST : TRIAL_NONE;
}

int trial_note_boot(int root) {
        _cleanup_(trial_done) Trial t = {}, kernel = {};
        _cleanup_strv_ char **words = NULL;
        _cleanup_free_ char *boot_id = NULL;
        int r;

        r = trial_load_from(root, TRIAL_KERNEL_PATH, &kernel);
        if (r != 0 && (r < 0 || kernel.stage >= TRIAL_STAGE_LOST))
                return r;
        r = trial_load(root, &t);
        if (r <= 0)
                return r;
        if (t.stage >= TRIAL_STAGE_LOST)
                return 1;
        r = reboot_boot_id(root, &boot_id);
        if (r >= 0)
                r = cmdline_read(root, &words);
        if (r < 0)
                return r;
        if (t.stage > TRIAL_STAGE_READY || streq(t.boot_id, boot_id) || !cmdline_get(words, TRIAL_WORD))
                return 0;
        t.stage = TRIAL_STAGE_UP;
        return trial_save(root, &t);
}
