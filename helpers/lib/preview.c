/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "preview.h"
#include "child.h"
#include "fs.h"
#include "plan.h"

#define PHASE_LIMIT (60 * USEC_PER_SEC)

enum { OUTPUT_MAX = 1024 * 1024, STATUS_NOT_APPLICABLE = 77 };

/* What only makes sense once the others have done their part. */
static bool plans_nothing(const char *noun) {
        return streq(noun, "reboot") || streq(noun, "verify");
}

typedef struct Command {
        char *program, *environment;
        const char *argv[5];
        const char *env[2];
} Command;

static void command_done(Command *c) {
        free(c->program);
        free(c->environment);
}

static int command_make(const Preview *v, const char *noun, bool json, Command *ret) {
        size_t n = 0;
        int r;

        r = str_printf(&ret->program, "%s/gpuvm-%s", v->directory, noun);
        if (r >= 0 && v->extra)
                r = str_printf(&ret->environment, "GPUVM_CONF_EXTRA=%s", v->extra);
        if (r < 0)
                return r;
        ret->env[0] = ret->environment;
        ret->argv[n++] = ret->program;
        ret->argv[n++] = "--dry-run";
        if (json)
                ret->argv[n++] = "--json";
        if (v->root_path) {
                ret->argv[n++] = "--root";
                ret->argv[n++] = v->root_path;
        }
        assert(n <= ELEMENTSOF(ret->argv));
        return 0;
}

/* The programs are the running machine's, whatever root they shall look at. */
static int command_run(Command *command, size_t max, ChildLine on_line, void *userdata, char **ret) {
        _cleanup_close_ int host = fs_open_root(NULL);
        const char *argv[ELEMENTSOF(command->argv) + 1] = {};
        Child c = { .argv = argv,
                    .environment = command->environment ? command->env : NULL,
                    .root = host,
                    .timeout_usec = PHASE_LIMIT,
                    .on_stdout = on_line,
                    .on_stderr = on_line,
                    .userdata = userdata };

        if (host < 0)
                return host;
        memcpy(argv, command->argv, sizeof(command->argv));
        return ret ? child_output(&c, max, ret) : child_run(&c);
}

static void print_line(const char *line, void *userdata) {
        FILE *f = userdata;

        fputs("  ", f);
        for (const char *p = line; *p; p++)
                fputc((unsigned char) *p < ' ' || *p == 0x7f ? '?' : *p, f);
        fputc('\n', f);
}

static bool refused(int status) {
        return status != 0 && status != STATUS_NOT_APPLICABLE;
}

int preview_print(const Preview *v, const Conf *c, FILE *f, const char **ret_refused) {
        const char *nouns[PLAN_PHASES_MAX], *refusing = NULL;
        size_t n = plan_phases(c, nouns);

        for (size_t i = 0; i < n && !refusing; i++) {
                _cleanup_(command_done) Command command = {};
                int r;

                if (plans_nothing(nouns[i]))
                        continue;
                r = command_make(v, nouns[i], false, &command);
                if (r >= 0)
                        r = command_run(&command, 0, print_line, f, NULL);
                if (r < 0)
                        return r;
                if (refused(r))
                        refusing = nouns[i];
        }
        *ret_refused = refusing;
        return 0;
}

static int add_json(const Preview *v, const char *noun, json_object *array, int *ret_status) {
        _cleanup_(command_done) Command command = {};
        _cleanup_free_ char *text = NULL;
        json_object *o;
        int r;

        r = command_make(v, noun, true, &command);
        if (r >= 0)
                r = command_run(&command, OUTPUT_MAX, NULL, NULL, &text);
        if (r < 0)
                return r;
        o = json_tokener_parse(text);
        if (o)
                (void) json_object_array_add(array, o);
        else if (!refused(r))
                return -EBADMSG;
        *ret_status = r;
        return 0;
}

int preview_to_json(const Preview *v, const Conf *c, json_object **ret, const char **ret_refused) {
        _cleanup_json_ json_object *array = json_object_new_array(), *o = json_object_new_object();
        const char *nouns[PLAN_PHASES_MAX], *refusing = NULL;
        size_t n = plan_phases(c, nouns);

        if (!array || !o)
                return -ENOMEM;
        for (size_t i = 0; i < n && !refusing; i++) {
                int r, status = 0;

                if (plans_nothing(nouns[i]))
                        continue;
                r = add_json(v, nouns[i], array, &status);
                if (r < 0)
                        return r;
                if (refused(status))
                        refusing = nouns[i];
        }
        if (v->extra)
                (void) json_object_object_add(o, "configuration", json_object_new_string(v->extra));
        (void) json_object_object_add(o, "phases", TAKE_PTR(array));
        *ret = TAKE_PTR(o);
        *ret_refused = refusing;
        return 0;
}
