/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdarg.h>
#include <strings.h>

#include "cmdline.h"
#include "conf.h"
#include "confkey.h"
#include "dropin.h"
#include "fs.h"
#include "ini.h"
#include "log.h"
#include "memstream.h"
#include "strv.h"

#define CONF_NAME "gpuvm.conf"

enum {
        CONF_GPUS_MAX = 256,    /* [Gpu PATH] sections */
        CONF_GUESSES_MAX = 20,  /* "did you mean": costly on a file that is no configuration at all */
        CONF_WARNINGS_MAX = 20, /* lines in the log */
};

typedef struct Parser {
        Conf *c;
        const char *file; /* NULL: the kernel command line */
        ConfProblem problem;
        void *userdata;
        ssize_t gpu; /* index in c->gpus of the section, or -1 */
        bool ignore; /* an unknown section: told once, not for each line */
        unsigned n_guesses;
} Parser;

void conf_tell(ConfProblem problem, void *userdata, const char *file, unsigned line, const char *format,
               va_list ap) {
        _cleanup_free_ char *text = NULL;

        if (!problem)
                return;
        if (vasprintf(&text, format, ap) < 0)
                text = NULL;
        else
                problem(file, line, text, userdata);
}

_printf_(3, 4) static void tell(Parser *p, unsigned line, const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        conf_tell(p->problem, p->userdata, p->file, line, format, ap);
        va_end(ap);
}

int conf_init(Conf *ret) {
        *ret = (Conf){};
        for (const ConfKey *k = conf_keys; k->name; k++) {
                int r = confkey_set(k, (char *) ret + k->offset, "");

                if (r < 0) {
                        assert(r == -ENOMEM);
                        conf_done(ret);
                        return r;
                }
        }
        return 0;
}

void conf_done(Conf *c) {
        for (const ConfKey *k = conf_keys; k->name; k++)
                confkey_free(k, (char *) c + k->offset);
        for (size_t i = 0; i < c->n_gpus; i++) {
                free(c->gpus[i].path);
                free(c->gpus[i].card);
                strv_free(c->gpus[i].accept_siblings);
                free(c->gpus[i].application_clocks);
        }
        free(c->gpus);
        *c = (Conf){};
}

/* ", did you mean 'X'?" or "". */
static void guess(Parser *p, const char *name, const char *section, char ret[static 64]) {
        const char *near = p->problem && p->n_guesses++ < CONF_GUESSES_MAX ? confkey_nearest(name, section)
                                                                           : NULL;

        (void) snprintf(ret, 64, near ? ", did you mean '%s'?" : "%s", strempty(near));
}

/* Tells what is wrong with a value and takes the safe one, if the key has one. */
static void bad_value(Parser *p, unsigned line, const ConfKey *k, void *field, const char *value) {
        bool quoted = k->type != CONFKEY_ADDRESSES && (value[0] == '"' || value[0] == '\'');
        const char *safe = confkey_set_safe(k, field);

        tell(p, line, "Bad value '%.60s' for %s=: expected %s%s. %s%s", value, p->file ? k->name : k->option,
             k->expected, quoted ? " (no quotes here)" : "",
             safe ? "To be safe it is now " : "The assignment is left out", strempty(safe));
}

/* Returns 1 if the value was taken, 0 if not. */
static int set(Parser *p, unsigned line, const ConfKey *k, void *base, const char *value) {
        void *field = (char *) base + k->offset;
        int r = confkey_set(k, field, value);

        if (r == -EINVAL) {
                bad_value(p, line, k, field, value);
                return 0;
        }
        return r < 0 ? r : 1;
}

static int set_gpu(Parser *p, unsigned line, const ConfKey *k, const char *value) {
        ConfGpu *g = &p->c->gpus[p->gpu];
        int r = set(p, line, k, g, value);

        if (r > 0 && k->offset == offsetof(ConfGpu, mode))
                g->mode_set = !isempty(value);
        return r;
}

/* The [Gpu PATH] section, made if it is not there; -1 after a line about why not. */
static int open_gpu(Parser *p, unsigned line, const char *name) {
        _cleanup_free_ char *path = NULL;
        ConfGpu *t;
        int r;

        r = confkey_gpu_path(name + strspn(name, " \t"), &path);
        if (r == -ENOMEM)
                return r;
        if (r < 0 || p->c->n_gpus >= CONF_GPUS_MAX) {
                tell(p, line, "%s [Gpu %.60s], section left out",
                     r < 0 ? "Not a PCI address like 0000:01:00.0 or path:" : "Too many sections:", name);
                p->ignore = true;
                return 0;
        }
        for (size_t i = 0; i < p->c->n_gpus; i++)
                if (streq(p->c->gpus[i].path, path)) {
                        p->gpu = (ssize_t) i;
                        return 0;
                }
        t = reallocarray(p->c->gpus, p->c->n_gpus + 1, sizeof(*t));
        if (!t)
                return -ENOMEM;
        p->c->gpus = t;
        p->gpu = (ssize_t) p->c->n_gpus;
        t[p->c->n_gpus++] = (ConfGpu){ .path = TAKE_PTR(path) };
        return 0;
}

static int on_section(unsigned line, const char *section, void *userdata) {
        Parser *p = userdata;
        char hint[64];

        p->gpu = -1;
        p->ignore = false;
        if (startswith(section, "Gpu ") || startswith(section, "Gpu\t"))
                return open_gpu(p, line, section + strlen("Gpu "));
        for (const ConfKey *k = conf_keys; k->name; k++)
                if (streq(k->section, section))
                        return 0;
        p->ignore = true;
        if (startswith(section, "X-"))
                return 0;
        guess(p, section, NULL, hint);
        tell(p, line, "Unknown section [%.60s]%s, left out", section, hint);
        return 0;
}

static int on_assignment(unsigned line, const char *section, const char *key, const char *value,
                         void *userdata) {
        Parser *p = userdata;
        const ConfKey *k;
        char hint[64];

        if (!section)
                tell(p, line, "Assignment '%.60s=' before the first section, left out", key);
        if (!section || p->ignore || startswith(key, "X-"))
                return 0;
        if (p->gpu >= 0)
                section = CONFKEY_GPU_SECTION;
        k = confkey_find(section, key);
        if (!k) {
                guess(p, key, section, hint);
                tell(p, line, "Unknown key '%.60s' in section [%s]%s, left out", key, section, hint);
                return 0;
        }
        if (p->gpu >= 0)
                return MIN(set_gpu(p, line, k, value), 0);
        return MIN(set(p, line, k, p->c, value), 0);
}

static void on_problem(unsigned line, const char *text, void *userdata) {
        tell(userdata, line, "%s", text);
}

int conf_parse(const char *file, const char *data, size_t size, ConfProblem problem, void *userdata,
               Conf *c) {
        Parser p = { .c = c, .file = file, .problem = problem, .userdata = userdata, .gpu = -1 };
        const Ini ini = {
                .section = on_section,
                .assignment = on_assignment,
                .problem = on_problem,
                .userdata = &p,
        };

        return ini_parse(&ini, data, size);
}

/* One "gpuvm." word. A switch without "=" is on, as systemd takes its own. */
static int apply_word(Parser *p, char *word) {
        char *const words[] = { word, NULL };
        char hint[64];

        for (const ConfKey *k = conf_keys; k->name; k++) {
                const char *value = k->option ? cmdline_get(words, k->option) : NULL;
                int r;

                if (!value)
                        continue;
                if (k->type == CONFKEY_BOOLEAN && !strchr(word, '='))
                        value = "yes";
                r = set(p, 0, k, p->c, value);
                if (k->offset == offsetof(Conf, enabled))
                        p->c->enabled_by_cmdline = true;
                return r;
        }
        guess(p, word, NULL, hint);
        tell(p, 0, "Unknown option '%.60s'%s, left out", word, hint);
        return 0;
}

int conf_parse_cmdline(const char *text, ConfProblem problem, void *userdata, Conf *c) {
        Parser p = { .c = c, .problem = problem, .userdata = userdata, .gpu = -1 };
        _cleanup_strv_ char **words = NULL;
        int r;

        r = cmdline_parse(text, &words);
        STRV_FOREACH(w, words) {
                if (r < 0)
                        break;
                if (startswith(*w, "gpuvm.trial=")) /* see trial.h */
                        c->trial = true;
                else if (startswith(*w, "gpuvm."))
                        r = apply_word(&p, *w);
        }
        return MIN(r, 0);
}

static void on_left_out(const char *path, const char *text, void *userdata) {
        Parser *p = userdata;

        p->file = path;
        tell(p, 0, "%s", text);
}

static int load_files(int root, Parser *p) {
        _cleanup_strv_ char **files = NULL;
        int r;

        r = dropin_list(root, CONF_NAME, on_left_out, p, &files);
        STRV_FOREACH(f, files) {
                _cleanup_free_ char *data = NULL;
                size_t size = 0;

                if (r >= 0)
                        r = dropin_read(root, *f, on_left_out, p, &data, &size);
                if (r >= 0 && data)
                        r = conf_parse(*f, data, size, p->problem, p->userdata, p->c);
        }
        return r;
}

/* What gpu-vm-bootstrap would write, while it is only a plan. */
static int load_environment(Parser *p) {
        const char *text = secure_getenv("GPUVM_CONF_EXTRA");

        return text ? conf_parse("$GPUVM_CONF_EXTRA", text, strlen(text), p->problem, p->userdata, p->c) : 0;
}

static int load_cmdline(int root, Parser *p) {
        _cleanup_free_ char *text = NULL;
        int r;

        p->file = NULL;
        r = fs_read(root, "/proc/cmdline", FS_ATTR_MAX, &text, NULL);
        if (r < 0) {
                if (r != -ENOENT && r != -ENOMEM)
                        tell(p, 0, "Cannot be read: %s, left out", strerror(-r));
                return r == -ENOMEM ? r : 0;
        }
        return conf_parse_cmdline(text, p->problem, p->userdata, p->c);
}

int conf_load(int root, ConfProblem problem, void *userdata, Conf *ret) {
        _cleanup_(conf_done) Conf c = {};
        Parser p = { .c = &c, .problem = problem, .userdata = userdata, .gpu = -1 };
        int r;

        r = conf_init(&c);
        if (r >= 0)
                r = load_files(root, &p);
        if (r >= 0)
                r = load_environment(&p);
        if (r >= 0)
                r = load_cmdline(root, &p);
        if (r < 0)
                return r;
        *ret = c;
        c = (Conf){};
        return 0;
}

void conf_warn(const char *file, unsigned line, const char *text, void *userdata) {
        if (line > 0)
                log_warning("%s:%u: %s", file, line, text);
        else
                log_warning("%s: %s", file ?: "Kernel command line", text);
}

void conf_warn_few(const char *file, unsigned line, const char *text, void *userdata) {
        unsigned *n = userdata;

        if (++*n <= CONF_WARNINGS_MAX)
                conf_warn(file, line, text, NULL);
}

void conf_warn_rest(unsigned n) {
        if (n > CONF_WARNINGS_MAX)
                log_warning("%u more problems in the configuration; 'gpuvm-generator --dry-run' lists all",
                            n - CONF_WARNINGS_MAX);
}

int conf_load_and_warn(int root, Conf *ret) {
        unsigned n = 0;
        int r;

        r = conf_load(root, conf_warn_few, &n, ret);
        conf_warn_rest(n);
        return r;
}

int conf_format(const Conf *c, char **ret) {
        _cleanup_(memstream_done) Memstream m = {};
        const char *section = NULL;
        FILE *f = memstream_open(&m);

        if (!f)
                return -ENOMEM;
        for (const ConfKey *k = conf_keys; k->name; k++) {
                if (!streq_ptr(section, k->section))
                        fprintf(f, "%s[%s]\n", section ? "\n" : "", k->section);
                section = k->section;
                confkey_print(k, (const char *) c + k->offset, f);
        }
        for (size_t i = 0; i < c->n_gpus; i++) {
                const ConfGpu *g = &c->gpus[i];

                fprintf(f, "\n[Gpu %s]\n", g->path);
                if (g->mode_set)
                        fprintf(f, "Mode=%s\n", gpu_mode_to_string(g->mode));
                confkey_print(confkey_find(CONFKEY_GPU_SECTION, "AcceptSiblings"), &g->accept_siblings, f);
                confkey_print(confkey_find(CONFKEY_GPU_SECTION, "ApplicationClocks"), &g->application_clocks,
                              f);
        }
        return memstream_close(&m, ret, NULL);
}

/* By the stable path rather than by what an address has been found to mean, or by the address. */
const ConfGpu *conf_gpu(const Conf *c, const char *address, const char *path) {
        const ConfGpu *found = NULL;

        for (size_t i = 0; i < c->n_gpus; i++) {
                const ConfGpu *g = &c->gpus[i];

                if (g->card && !*g->card)
                        continue;
                if (streq(g->path, path) && (!g->card || streq(g->card, path)))
                        return g;
                if (g->card ? streq(g->card, path) : strcasecmp(g->path, address) == 0)
                        found = g;
        }
        return found;
}

GpuMode conf_gpu_mode(const Conf *c, const char *address, const char *path) {
        const ConfGpu *g = conf_gpu(c, address, path);

        return g && g->mode_set ? g->mode : c->gpu_mode;
}

char *const *conf_gpu_accept_siblings(const Conf *c, const char *address, const char *path) {
        const ConfGpu *g = conf_gpu(c, address, path);

        return g && g->accept_siblings ? g->accept_siblings : c->accept_siblings;
}

const char *conf_gpu_clocks(const Conf *c, const char *address, const char *path) {
        const ConfGpu *g = conf_gpu(c, address, path);

        return g && g->application_clocks ? g->application_clocks : c->application_clocks;
}

bool conf_tunes(const Conf *c) {
        bool clocks = c->application_clocks;

        for (size_t i = 0; i < c->n_gpus; i++)
                clocks = clocks || c->gpus[i].application_clocks;
        return clocks || c->persistence != PERSISTENCE_KEEP;
}
