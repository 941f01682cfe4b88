/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdarg.h>
#include <systemd/sd-daemon.h>

#include "fs.h"
#include "journal.h"
#include "json.h"
#include "logfile.h"
#include "phase.h"
#include "stopped.h"
#include "turn.h"

enum { EXTEND_SEC = 120 };

int phase_change(Phase *p, const char *action, const char *object, const char *detail_format, ...) {
        _cleanup_free_ char *detail = NULL, *field_object = NULL;
        PhaseChange *t, c = {};
        va_list ap;
        int n;

        va_start(ap, detail_format);
        n = detail_format ? vasprintf(&detail, detail_format, ap) : 0;
        va_end(ap);
        t = reallocarray(p->changes, p->n_changes + 1, sizeof(*t));
        if (n < 0 || !t)
                return -ENOMEM;
        p->changes = t;
        c.action = strdup(action);
        c.object = strdup(object);
        c.detail = strdup(strempty(detail));
        p->changes[p->n_changes++] = c;
        if (!c.action || !c.object || !c.detail || str_printf(&field_object, "GPUVM_OBJECT=%s", object) < 0)
                return -ENOMEM;
        if (p->dry_run)
                return 0;
        log_fields(LOG_INFO, (const char *const[]){ EVENT_CHANGE, field_object, NULL }, "%s %s%s%s", action,
                   object, isempty(detail) ? "" : ": ", strempty(detail));
        return 1;
}

size_t phase_n_changes(const Phase *p) {
        return p->n_changes;
}

void phase_status(Phase *p, const char *format, ...) {
        _cleanup_free_ char *text = NULL;
        va_list ap;

        va_start(ap, format);
        if (vasprintf(&text, format, ap) < 0)
                text = NULL;
        va_end(ap);
        if (!text || p->dry_run)
                return;
        (void) sd_notifyf(false, "STATUS=%s\nEXTEND_TIMEOUT_USEC=%u", text, EXTEND_SEC * 1000000U);
        log_debug("%s", text);
}

void phase_alive(void *phase) {
        const Phase *p = phase;

        (void) sd_notifyf(false, "EXTEND_TIMEOUT_USEC=%u", EXTEND_SEC * 1000000U);
        if (p && p->alive)
                p->alive(p->alive_userdata);
}

void phase_note(Phase *p, const char *format, ...) {
        _cleanup_free_ char *text = NULL;
        va_list ap;
        int n;

        va_start(ap, format);
        n = vasprintf(&text, format, ap);
        va_end(ap);
        if (n < 0) {
                text = NULL;
                return;
        }
        if (strv_extend(&p->notes, text) < 0)
                return;
        if (!p->dry_run)
                log_info("%s", text);
}

int phase_fail(Phase *p, int error, const char *remedy, const char *cause_format, ...) {
        _cleanup_free_ char *cause = NULL;
        va_list ap;
        int n, r;

        va_start(ap, cause_format);
        n = vasprintf(&cause, cause_format, ap);
        va_end(ap);
        if (n < 0) {
                cause = NULL;
                return log_oom();
        }
        free(p->failure);
        p->failure = NULL;
        r = str_printf(&p->failure, "%s%s%s. %s", cause, error != 0 ? ": " : "",
                       error != 0 ? strerror(abs(error)) : "", remedy);
        if (r < 0)
                return log_oom();
        log_fields(LOG_ERR, (const char *const[]){ p->failure_event ?: EVENT_PHASE_FAILED, NULL }, "%s",
                   p->failure);
        return error != 0 ? -abs(error) : -ECANCELED;
}

void phase_result(Phase *p, const char *key, struct json_object *value) {
        if (!p->results)
                p->results = json_object_new_object();
        json_object_object_add(p->results, key, value);
}

static json_object *change_to_json(const PhaseChange *c) {
        json_object *o = json_object_new_object();

        json_object_object_add(o, "action", json_object_new_string(c->action));
        json_object_object_add(o, "object", json_object_new_string(c->object));
        json_object_object_add(o, "detail", json_object_new_string(c->detail));
        return o;
}

static json_object *phase_to_json(const Phase *p, const char *result) {
        json_object *o = json_object_new_object(), *changes = json_object_new_array(),
                    *notes = json_object_new_array();

        for (size_t i = 0; i < p->n_changes; i++)
                json_object_array_add(changes, change_to_json(&p->changes[i]));
        STRV_FOREACH(n, p->notes)
                json_object_array_add(notes, json_object_new_string(*n));
        json_object_object_add(o, "phase", json_object_new_string(p->name));
        json_object_object_add(o, "dry_run", json_object_new_boolean(p->dry_run));
        json_object_object_add(o, "result", json_object_new_string(result));
        json_object_object_add(o, "took_ms",
                               json_object_new_int64((int64_t) ((boottime_usec() - p->started_usec) / 1000)));
        json_object_object_add(o, "changes", changes);
        json_object_object_add(o, "notes", notes);
        if (p->failure)
                json_object_object_add(o, "failure", json_object_new_string(p->failure));
        if (p->results) {
                json_object_object_foreach(p->results, key, value) {
                        json_object_object_add(o, key, json_object_get(value));
                }
        }
        return o;
}

static void print_dry_run(const Phase *p) {
        for (size_t i = 0; i < p->n_changes; i++)
                printf("%s: would %s %s%s%s\n", p->name, p->changes[i].action, p->changes[i].object,
                       p->changes[i].detail[0] ? ": " : "", p->changes[i].detail);
        STRV_FOREACH(n, p->notes)
                printf("%s: note: %s\n", p->name, *n);
        if (p->n_changes == 0 && !p->failure && !p->results)
                printf("%s: nothing to do\n", p->name);
}

/* While a restart of ours is pending this run goes on with what was begun before it: what was changed then
 * stays in the record. */
static void keep_earlier_changes(const Phase *p, json_object *o, const char *state) {
        _cleanup_json_ json_object *before = NULL;
        json_object *all, *old = NULL, *now = json_object_object_get(o, "changes");
        _cleanup_free_ char *text = NULL;

        if (fs_exists(p->root, STATE_DIR "/pending") <= 0 ||
            fs_read(p->root, state, FS_FILE_MAX, &text, NULL) < 0)
                return;
        before = json_tokener_parse(text);
        if (!json_object_object_get_ex(before, "changes", &old) || !json_object_is_type(old, json_type_array))
                return;
        all = json_object_new_array();
        for (size_t i = 0; i < json_object_array_length(old); i++)
                json_object_array_add(all, json_object_get(json_object_array_get_idx(old, i)));
        for (size_t i = 0; i < json_object_array_length(now); i++)
                json_object_array_add(all, json_object_get(json_object_array_get_idx(now, i)));
        json_object_object_add(o, "changes", all);
}

static void write_record(const Phase *p, json_object *o) {
        _cleanup_free_ char *run = NULL, *state = NULL;
        const char *text;
        int r;

        if (str_printf(&run, RUN_DIR "/phases/%s.json", p->name) < 0 ||
            str_printf(&state, STATE_DIR "/phases/%s.json", p->name) < 0)
                return;
        if (p->n_changes > 0)
                keep_earlier_changes(p, o, state);
        text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY);
        r = fs_write_atomic(p->root, run, text, strlen(text), 0644);
        if (r >= 0 && (p->n_changes > 0 || p->failure))
                r = fs_write_atomic(p->root, state, text, strlen(text), 0644);
        if (r < 0)
                log_warning_errno(r, "Failed to write the record of phase '%s', ignoring: %m", p->name);
}

static void write_word(const Phase *p, int status) {
        int r;

        if (status == PHASE_REBOOT_NEEDED)
                return;
        if (status == PHASE_OK || status == PHASE_NOT_APPLICABLE)
                r = stopped_clear(p->root, p->name);
        else
                r = stopped_note(p->root, p->name, p->failure ?: "It has not said why; its log may.");
        if (r < 0)
                log_warning_errno(r, "Failed to write how phase '%s' ended for who logs in, ignoring: %m",
                                  p->name);
}

static const char *result_word(int status) {
        switch (status) {
        case PHASE_OK:
                return "ok";
        case PHASE_NOT_APPLICABLE:
                return "not-applicable";
        case PHASE_REBOOT_NEEDED:
                return "reboot-needed";
        default:
                return "failed";
        }
}

static void tell_end(const Phase *p, int status) {
        if (status == PHASE_OK && p->n_changes == 0)
                log_info("Nothing to do");
        else if (status == PHASE_OK)
                log_fields(LOG_INFO, (const char *const[]){ EVENT_PHASE_DONE, NULL },
                           "Done, %zu change%s made", p->n_changes, p->n_changes == 1 ? "" : "s");
        else if (status == EXIT_FAILURE && p->n_changes > 0 && !p->no_record)
                log_notice("%zu change%s announced before the failure; 'gpuvm-undo --list' shows what is recorded, "
                           "'gpuvm-undo %s' takes this step back",
                           p->n_changes, p->n_changes == 1 ? " was" : "s were", p->name);
}

static void phase_end(const Phase *p, const Helper *h, int status) {
        _cleanup_json_ json_object *o = NULL;

        /* Whoever started the unit can tell why, or how it ended. */
        if (!p->dry_run && status != PHASE_OK && p->failure)
                (void) sd_notifyf(false, "STATUS=%s", p->failure);
        if (status == PHASE_USAGE || p->quiet_record)
                return;
        o = phase_to_json(p, result_word(status));
        if (p->dry_run && p->json)
                puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY));
        else if (p->dry_run)
                print_dry_run(p);
        else {
                if (!h->no_record && !p->no_record) {
                        write_record(p, o);
                        write_word(p, status);
                }
                tell_end(p, status);
                if (p->json)
                        puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY));
        }
}

void phase_done(Phase *p) {
        for (size_t i = 0; i < p->n_changes; i++) {
                free(p->changes[i].action);
                free(p->changes[i].object);
                free(p->changes[i].detail);
        }
        free(p->changes);
        strv_free(p->notes);
        free(p->failure);
        json_putp(&p->results);
        (void) safe_close(p->root);
}

static void help(const Helper *h) {
        printf("%s [OPTIONS...]%s%s\n\n%s\n\n", h->name, h->arguments ? " " : "", strempty(h->arguments),
               h->summary);
        printf("  -h --help       Show this help\n"
               "     --version    Show the version\n"
               "  -n --dry-run    Show what would be changed, change nothing; needs no root\n"
               "     --json       Write the result as JSON to standard output\n"
               "     --root=DIR   Work on the machine recorded below DIR\n"
               "  -v --verbose    Tell more\n"
               "%s",
               strempty(h->options_help));
}

enum { ARG_VERSION = 0x100, ARG_JSON, ARG_ROOT };

/* Returns -1 to go on, or the exit status. */
static int parse_argv(const Helper *h, Phase *p, const struct option *all, int argc, char *argv[]) {
        int c;

        while ((c = getopt_long(argc, argv, "hnv", all, NULL)) >= 0)
                switch (c) {
                case 'h':
                        help(h);
                        return EXIT_SUCCESS;
                case ARG_VERSION:
                        printf("%s %s\n", h->name, GPUVM_VERSION);
                        return EXIT_SUCCESS;
                case 'n':
                        p->dry_run = true;
                        break;
                case 'v':
                        log_set_max_level(LOG_DEBUG);
                        break;
                case ARG_JSON:
                        p->json = true;
                        break;
                case ARG_ROOT:
                        p->root_path = optarg;
                        break;
                case '?':
                        return PHASE_USAGE;
                default:
                        if (!h->parse || h->parse(c, optarg) < 0)
                                return PHASE_USAGE;
                }
        return -1;
}

static int options_merge(const struct option *extra, struct option all[static 32]) {
        static const struct option common[] = {
                { "help", no_argument, NULL, 'h' },
                { "version", no_argument, NULL, ARG_VERSION },
                { "dry-run", no_argument, NULL, 'n' },
                { "json", no_argument, NULL, ARG_JSON },
                { "root", required_argument, NULL, ARG_ROOT },
                { "verbose", no_argument, NULL, 'v' },
        };
        size_t n = 0;

        for (; n < ELEMENTSOF(common); n++)
                all[n] = common[n];
        for (; extra && extra->name; extra++) {
                assert(n < 31);
                all[n++] = *extra;
        }
        all[n] = (struct option){};
        return 0;
}

int phase_take_turn(Phase *p) {
        pid_t pid = 0;
        int r;

        r = p->dry_run ? 0 : turn_take(p->root, false, 0, &pid);
        if (r == -EBUSY)
                return phase_fail(p, 0, "Start gpuvm-bootstrap.target again when it has ended",
                                  "gpuvm-undo (pid %d) is at work", (int) pid);
        return r < 0 ? phase_fail(p, r, "Make it writable", "Cannot lock " TURN_PATH) : 0;
}

/* first: of the arguments, or NULL. */
static bool needs_root(const Helper *h, const Phase *p, const char *first) {
        if (p->dry_run || !fs_is_host(p->root) || geteuid() == 0)
                return false;
        return !h->looks || !first || !streq(first, h->looks);
}

int helper_main(const Helper *h, int argc, char *argv[]) {
        _cleanup_(phase_done) Phase p = { .name = startswith(h->name, "gpuvm-") ?: h->name, .root = -EBADF };
        struct option all[32];
        int r;

        log_setup(h->name);
        p.root_path = secure_getenv("GPUVM_ROOT");
        (void) options_merge(h->options, all);
        r = parse_argv(h, &p, all, argc, argv);
        if (r >= 0)
                return r;
        if (!h->arguments && optind < argc) {
                log_error("This takes no arguments, '%s' was given", argv[optind]);
                return PHASE_USAGE;
        }
        p.root = fs_open_root(p.root_path);
        if (p.root < 0) {
                log_error_errno(p.root, "Cannot open root directory '%s': %m", strempty(p.root_path));
                return PHASE_USAGE;
        }
        if (needs_root(h, &p, argv[optind])) {
                log_error("This needs root. Try 'sudo %s', or --dry-run to see what it would do", h->name);
                return EXIT_FAILURE;
        }
        journal_open(p.name);
        if (!p.dry_run)
                logfile_open(p.root, !fs_is_host(p.root) || geteuid() == 0);
        p.started_usec = boottime_usec();

        r = h->no_turn ? 0 : phase_take_turn(&p);
        if (r >= 0)
                r = h->run(&p, argc - optind, argv + optind);
        if (r < 0)
                r = EXIT_FAILURE;
        phase_end(&p, h, r);
        return r;
}
