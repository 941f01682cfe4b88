/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "settings.h"
#include "fs.h"
#include "undo.h"

bool settings_is_empty(const Settings *s) {
        return !s->skip_nvidia && !s->skip_kvm && !s->skip_vfio && !s->skip_bridge && !s->bridge_name &&
                        !s->bridge_subnet && !s->gpu_mode;
}

static int extend(char **text, const char *key, const char *value) {
        char *longer;
        int r;

        if (!value)
                return 0;
        r = str_printf(&longer, "%s%s%s\n", *text, key, value);
        if (r < 0)
                return r;
        free(*text);
        *text = longer;
        return 0;
}

typedef struct Check {
        ConfProblem problem;
        void *userdata;
        bool bad;
} Check;

static void on_problem(const char *file, unsigned line, const char *text, void *userdata) {
        Check *c = userdata;

        c->bad = true;
        if (c->problem)
                c->problem(file, line, text, c->userdata);
}

/* What would mean something else in the file than on the command line. */
static void check_value(const char *value, Check *c) {
        if (value && (*value == '\0' || strpbrk(value, "\n\r\\\"' \t")))
                on_problem("options", 0, "A value is empty, or has blanks, quotes or backslashes in it", c);
}

static int check(const Settings *s, const char *text, ConfProblem problem, void *userdata) {
        Check c = { .problem = problem, .userdata = userdata };
        _cleanup_(conf_done) Conf conf = {};
        int r;

        check_value(s->bridge_name, &c);
        check_value(s->bridge_subnet, &c);
        check_value(s->gpu_mode, &c);
        if (c.bad)
                return -EINVAL;
        r = conf_init(&conf);
        if (r >= 0)
                r = conf_parse("options", text, strlen(text), on_problem, &c, &conf);
        return r < 0 ? r : c.bad ? -EINVAL : 0;
}

int settings_to_dropin(const Settings *s, const char *user, ConfProblem problem, void *userdata, char **ret) {
        _cleanup_free_ char *text =
                        strdup("# Written by gpu-vm-bootstrap from its options; the next run with "
                               "options replaces it.\n[Bootstrap]\n");
        const struct {
                const char *key, *value;
        } lines[] = {
                { "User=", user },
                { "Nvidia=", s->skip_nvidia ? "no" : NULL },
                { "Kvm=", s->skip_kvm ? "no" : NULL },
                { "Vfio=", s->skip_vfio ? "no" : NULL },
                { "Bridge=", s->skip_bridge ? "no" : NULL },
                { "\n[Gpu]\nMode=", s->gpu_mode },
                { "\n[Network]", s->bridge_name || s->bridge_subnet ? "" : NULL },
                { "Bridge=", s->bridge_name },
                { "Subnet=", s->bridge_subnet },
        };
        int r = text ? 0 : -ENOMEM;

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(lines); i++)
                r = extend(&text, lines[i].key, lines[i].value);
        if (r >= 0)
                r = check(s, text, problem, userdata);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(text);
        return 0;
}

/* Nothing to write: NULL. Once there, a run without options leaves the choice of an earlier one alone. */
static int decide(const Settings *s, int root, const Conf *c, ConfProblem problem, void *userdata,
                  char **ret) {
        const char *user = getenv("SUDO_USER");

        if (isempty(user) || streq(user, "root") || c->user)
                user = c->user;
        if (settings_is_empty(s) && (fs_exists(root, SETTINGS_PATH) > 0 || !user || c->user))
                return 0;
        return settings_to_dropin(s, user, problem, userdata, ret);
}

int settings_apply(const Settings *s, int root, ConfProblem problem, void *userdata, Conf *c, char **ret) {
        _cleanup_free_ char *dropin = NULL;
        int r;

        r = decide(s, root, c, problem, userdata, &dropin);
        if (r == -EINVAL)
                return 1;
        if (r >= 0 && dropin) {
                if (setenv("GPUVM_CONF_EXTRA", dropin, true) < 0)
                        return -errno;
                conf_done(c);
                r = conf_load(root, NULL, NULL, c);
                (void) unsetenv("GPUVM_CONF_EXTRA");
        }
        if (r < 0)
                return r;
        *ret = TAKE_PTR(dropin);
        return 0;
}

int settings_write(int root, const char *dropin) {
        _cleanup_(undo_freep) Undo *undo = NULL;
        int r;

        r = undo_open(root, "bootstrap", &undo);
        return r < 0 ? r : undo_write_file(undo, SETTINGS_PATH, dropin, strlen(dropin), 0644);
}
