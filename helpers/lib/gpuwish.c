/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <ctype.h>

#include "confvalid.h"
#include "fs.h"
#include "gpuwish.h"
#include "parse.h"
#include "strv.h"

enum { MODEL_MIN = 2, MODEL_MAX = 64, DIGITS_MAX = 3 /* as many alone are a number, and a wrong one */ };

void gpuwish_done(GpuWish *w) {
        free(w->model);
        *w = (GpuWish){};
}

/* Returns 1 if the word names a GPU, or none at all. */
static int is_name(const char *word) {
        _cleanup_free_ char *address = NULL;
        int r = confvalid_address(word, &address);

        if (r == -ENOMEM)
                return r;
        return r >= 0 || confvalid_gpu_path(word) || streq(word, "none");
}

/* What cards are called, and nothing that means something elsewhere. */
static bool is_model(const char *s) {
        size_t n = strlen(s);

        return n >= MODEL_MIN && n <= MODEL_MAX && (n > DIGITS_MAX || strspn(s, "0123456789") < n) &&
                        strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ._+-()") ==
                        n;
}

static bool is_times(const char *word) {
        return streq(word, "x") || streq(word, "X") || streq(word, "\xc3\x97");
}

/* "2", also of "2x". "4090" is a model. */
static bool read_number(const char *word, unsigned *ret) {
        char digits[8];
        size_t n = strlen(word);

        if (n == 0 || n >= sizeof(digits))
                return false;
        (void) snprintf(digits, sizeof(digits), "%s", word);
        if (n > 1 && (word[n - 1] == 'x' || word[n - 1] == 'X'))
                digits[n - 1] = '\0';
        return parse_uint(digits, GPUWISH_MAX, ret) >= 0 && *ret > 0;
}

/* words: without blanks. */
static int read_wish(char *const *words, GpuWish *ret, const char **reterr) {
        _cleanup_(gpuwish_done) GpuWish w = { .n = 1 };
        bool times = false;

        if (streq(*words, "any") && !words[1])
                words++;
        else if (read_number(*words, &w.n)) {
                words++;
                times = *words && is_times(*words);
                words += times;
        }
        if (*words) {
                w.model = strv_join(words, " ");
                if (!w.model)
                        return -ENOMEM;
        }
        if (w.model ? !is_model(w.model) : times) {
                *reterr = "GPUs are named by address or path, or asked for by number and model: '2', 'RTX 4090', '2 x RTX 4090'";
                return -EINVAL;
        }
        *ret = w;
        w = (GpuWish){};
        return 1;
}

int gpuwish_parse(char *const *words, GpuWish *ret, const char **reterr) {
        _cleanup_strv_ char **l = NULL;
        size_t names = 0;
        int r = 0;

        STRV_FOREACH(word, words) {
                _cleanup_strv_ char **parts = NULL;

                if (r >= 0)
                        r = strv_split(*word, " \t", &parts);
                STRV_FOREACH(part, parts)
                        if (r >= 0) {
                                r = is_name(*part);
                                names += r > 0;
                        }
                STRV_FOREACH(part, parts)
                        if (r >= 0)
                                r = strv_extend(&l, *part);
        }
        if (r < 0 || !l || names == strv_length(l))
                return MIN(r, 0);
        if (names > 0) {
                *reterr = "Either GPUs by address or path, or how many of which model";
                return -EINVAL;
        }
        return read_wish(l, ret, reterr);
}

int gpuwish_format(const GpuWish *w, char **ret) {
        if (!w->model)
                return str_printf(ret, "%u", w->n);
        return w->n == 1 ? str_printf(ret, "%s", w->model) : str_printf(ret, "%u x %s", w->n, w->model);
}

static bool ends_word(char c) {
        return !isalnum((unsigned char) c);
}

bool gpuwish_fits(const GpuWish *w, const char *name) {
        const char *at = name;

        if (!w->model)
                return true;
        while (at && (at = strcasestr(at, w->model))) {
                if ((at == name || ends_word(at[-1])) && ends_word(at[strlen(w->model)]))
                        return true;
                at++;
        }
        return false;
}
