/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdarg.h>

#include "fs.h"
#include "gueststeps.h"
#include "setupsteps.h"
#include "strv.h"

#define PROGRAMS "/usr/local/lib/gpuvm-setup/"
#define UNITS    "/etc/systemd/system/"
#define STEP     "gpuvm-setup@%s.service"

/* { "name", "text" } of each file of helpers/guest. */
static const struct {
        const char *name, *text;
} sources[] = {
#include "guestfiles.inc"
};

typedef struct Files {
        CloudInitFile *all;
        size_t n;
} Files;

void gueststeps_free(CloudInitFile *files, size_t n) {
        for (size_t i = 0; i < n; i++) {
                free(files[i].path);
                free(files[i].text);
        }
        free(files);
}

static void files_done(Files *f) {
        gueststeps_free(f->all, f->n);
}

void gueststeps_list(const GuestWish *w, const char *ret[static GUESTSTEPS_MAX]) {
        const struct {
                const char *name;
                bool wanted;
        } steps[] = {
                { "firewall", guestwish_has_firewall(w) },
                { "swap", w->values[GUEST_SWAP] },
                { "store", w->values[GUEST_MODEL_STORE] },
                { "driver", w->llm && w->gpu },
                { "gpu", (w->llm && w->gpu) || w->values[GUEST_PERSISTENCED] || w->values[GUEST_CLOCKS] },
                { "cuda", guestwish_toolkit(w) },
                { "ollama", guestwish_has_ollama(w) },
                { "vllm", guestwish_has_vllm(w) },
                { "engines", w->llm },
                { "models", w->values[GUEST_OLLAMA_MODELS] && guestwish_has_ollama(w) },
        };
        size_t n = 0;

        static_assert(ELEMENTSOF(steps) < GUESTSTEPS_MAX, "one for NULL");
        for (size_t i = 0; i < ELEMENTSOF(steps); i++)
                if (steps[i].wanted)
                        ret[n++] = steps[i].name;
        ret[n] = NULL;
}

bool gueststeps_wanted(const GuestWish *w) {
        const char *steps[GUESTSTEPS_MAX];

        gueststeps_list(w, steps);
        return steps[0];
}

/* text: taken, also where that fails; NULL for what could not be made. */
static int add(Files *f, char *text, unsigned mode, const char *format, ...) _printf_(4, 5);

static int add(Files *f, char *text, unsigned mode, const char *format, ...) {
        CloudInitFile *l = reallocarray(f->all, f->n + 1, sizeof(*l));
        char *path = NULL;
        va_list ap;
        int n;

        va_start(ap, format);
        n = l ? vasprintf(&path, format, ap) : -1;
        va_end(ap);
        f->all = l ?: f->all;
        if (n < 0 || !text) {
                free(n < 0 ? NULL : path);
                free(text);
                return -ENOMEM;
        }
        l[f->n++] = (CloudInitFile){ .path = path, .text = text, .mode = mode };
        return 0;
}

/* Those of other engines and steps do no harm, and one set is simpler to look at than many. */
static int add_sources(Files *f) {
        int r = 0;

        for (size_t i = 0; i < ELEMENTSOF(sources) && r >= 0; i++) {
                const char *name = sources[i].name;
                bool unit = strchr(name, '.') && !endswith(name, ".sh");

                r = add(f, strdup(sources[i].text), unit || endswith(name, ".sh") ? 0644 : 0755, "%s%s",
                        unit ? UNITS : PROGRAMS, name);
        }
        return r;
}

static bool is_optional(const char *step) {
        return setupsteps_is_optional(setup_step_from_string(step));
}

/* Of the n-th step: it needs the one before. Optional ones are tried before it, each time, and it can do
 * without them. */
static int add_edges(Files *f, const char *const *steps, size_t n) {
        _cleanup_strv_ char **lines = NULL;
        const char *needed = NULL;
        int r = strv_extend(&lines, "[Unit]\n");

        for (size_t i = 0; i < n; i++)
                if (!is_optional(steps[i]))
                        needed = steps[i];
                else if (r >= 0)
                        r = strv_extendf(&lines, "Wants=" STEP "\nAfter=" STEP "\n", steps[i], steps[i]);
        if (r >= 0 && needed)
                r = strv_extendf(&lines, "Requires=" STEP "\nAfter=" STEP "\n", needed, needed);
        return r < 0 ? r : add(f, strv_join(lines, ""), 0644, UNITS STEP ".d/order.conf", steps[n]);
}

/* Which steps there are, and in which order. */
static int add_order(Files *f, const GuestWish *w) {
        _cleanup_strv_ char **wants = NULL;
        const char *steps[GUESTSTEPS_MAX];
        int r;

        gueststeps_list(w, steps);
        r = strv_extend(&wants, "[Unit]\n");
        for (size_t i = 0; r >= 0 && steps[i]; i++) {
                r = strv_extendf(&wants, "Wants=" STEP "\n", steps[i]);
                if (r >= 0 && i > 0)
                        r = add_edges(f, steps, i);
        }
        return r < 0 ? r : add(f, strv_join(wants, ""), 0644, UNITS "gpuvm-setup.target.d/steps.conf");
}

static int add_secret(Files *f, const char *name, const char *text) {
        return text ? add(f, strdup(text), 0600, "/etc/credstore/gpuvm.%s", name) : 0;
}

int gueststeps_files(const GuestWish *w, const char *api_key, const char *hf_token, CloudInitFile **ret,
                     size_t *ret_n) {
        _cleanup_(files_done) Files f = {};
        char *settings = NULL;
        int r = 0;

        if (gueststeps_wanted(w))
                r = guestwish_settings(w, &settings);
        if (r >= 0 && settings)
                r = add(&f, settings, 0644, GUESTSTEPS_SETTINGS);
        if (r >= 0 && settings)
                r = add_sources(&f);
        if (r >= 0 && settings)
                r = add_order(&f, w);
        if (r >= 0)
                r = add_secret(&f, "api-key", api_key);
        if (r >= 0)
                r = add_secret(&f, "hf-token", hf_token);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(f.all);
        *ret_n = f.n;
        f.n = 0;
        return 0;
}
