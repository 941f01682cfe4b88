/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <inttypes.h>
#include <strings.h>

#include "fetchanswer.h"

void fetchanswer_init(FetchAnswer *a) {
        *a = (FetchAnswer){ .length = UINT64_MAX };
}

void fetchanswer_done(FetchAnswer *a) {
        free(a->validator);
        *a = (FetchAnswer){};
}

void fetchanswer_begin(FetchAnswer *a) {
        a->whole = false;
        a->header_bytes = a->n_excerpt = 0;
        a->status = 0;
}

/* Returns the value of a header of that name, without blanks before it, or NULL. */
static const char *header_value(const char *line, const char *name) {
        size_t n = strlen(name);

        if (strncasecmp(line, name, n) != 0 || line[n] != ':')
                return NULL;
        line += n + 1;
        return line + strspn(line, " \t");
}

/* "bytes 100-199/200": where it starts, and how long the whole is ("*": not known). */
static int parse_content_range(const char *value, uint64_t *ret_start, uint64_t *ret_length) {
        unsigned long long start, end, length = UINT64_MAX;
        int n = 0;

        if (sscanf(value, "bytes %llu-%llu/%n", &start, &end, &n) != 2 || n == 0 || end < start)
                return -EPROTO;
        if (value[n] != '*' && (sscanf(value + n, "%llu", &length) != 1 || length <= end))
                return -EPROTO;
        *ret_start = start;
        *ret_length = length;
        return 0;
}

static int take_range(FetchAnswer *a, const char *value) {
        uint64_t length = UINT64_MAX;
        int r;

        r = parse_content_range(value, &a->range_start, &length);
        if (r < 0)
                return r;
        return a->length != UINT64_MAX && length != UINT64_MAX && length != a->length ? -EPROTO : 0;
}

/* A validator that changes with every byte: weak ETags do not. A date is good enough where there is no ETag.
 */
static int keep_validator(FetchAnswer *a, const char *etag, const char *date) {
        if (etag && *etag == '"' && !a->strong) {
                a->strong = true;
                return free_and_strdup(&a->validator, etag);
        }
        return date && !a->validator ? free_and_strdup(&a->validator, date) : 0;
}

static int take_header(FetchAnswer *a, const char *line, uint64_t at) {
        const char *value;
        unsigned status;

        if (sscanf(line, "HTTP/%*s %u", &status) == 1) {
                /* A new answer: of the next hop, or after "100 Continue". */
                a->status = (long) status;
                a->range_start = 0;
                return 0;
        }
        if (a->status >= 300)
                return 0;
        value = header_value(line, "Content-Range");
        if (value)
                return take_range(a, value);
        value = header_value(line, "Content-Length");
        if (value && a->status != 206)
                return sscanf(value, "%" SCNu64, &a->length) == 1 ? 0 : -EPROTO;
        /* On a connection that is taken up the one that was asked for holds. */
        if (at > 0)
                return 0;
        return keep_validator(a, header_value(line, "ETag"), header_value(line, "Last-Modified"));
}

static int refuse(int error, const char *reason, const char **reterr_reason) {
        *reterr_reason = reason;
        return error;
}

/* The headers of the answer are whole. */
static int check_whole(FetchAnswer *a, uint64_t at, uint64_t max, const char **reterr_reason) {
        if (a->status < 200 || a->status >= 300)
                return 0;
        if (at > 0 && a->status != 206)
                return refuse(-ESTALE, "the server does not go on where it was", reterr_reason);
        if (at > 0 && a->range_start != at)
                return refuse(-EPROTO, "the server goes on at another place", reterr_reason);
        if (at == 0 && a->status == 206)
                return refuse(-EPROTO, "the server sends a part that nobody asked for", reterr_reason);
        if (a->length != UINT64_MAX && a->length > max)
                return refuse(-EFBIG, "the server announces more than is allowed", reterr_reason);
        a->whole = true;
        return 0;
}

int fetchanswer_line(FetchAnswer *a, const char *line, size_t n, uint64_t at, uint64_t max,
                     const char **reterr_reason) {
        _cleanup_free_ char *text = NULL;
        size_t k;

        a->header_bytes += n;
        if (a->header_bytes > FETCHANSWER_HEADERS_MAX)
                return refuse(-EPROTO, "the server sends too many headers", reterr_reason);
        text = strndup(line, n);
        if (!text)
                return refuse(-ENOMEM, "out of memory", reterr_reason);
        for (k = strlen(text); k > 0 && strchr(" \t\r\n", text[k - 1]);)
                text[--k] = '\0';
        if (k == 0)
                return check_whole(a, at, max, reterr_reason);
        if (take_header(a, text, at) < 0)
                return refuse(-EPROTO, "the server sends a header that makes no sense", reterr_reason);
        return 0;
}

void fetchanswer_excerpt(FetchAnswer *a, const void *data, size_t n) {
        size_t k = MIN(n, sizeof(a->excerpt) - a->n_excerpt);

        memcpy(a->excerpt + a->n_excerpt, data, k);
        a->n_excerpt += k;
}

int fetchanswer_error(const FetchAnswer *a, char **ret_text) {
        size_t n = 0;

        while (n < a->n_excerpt && !strchr("\r\n", a->excerpt[n])) /* or NUL, which strchr() finds too */
                n++;
        /* A page for browsers says nothing here. */
        if (n == 0 || a->excerpt[0] == '<')
                n = 0;
        if (asprintf(ret_text, "the server answers %ld%s%.*s", a->status, n > 0 ? ": " : "", (int) n,
                     a->excerpt) < 0)
                *ret_text = NULL;
        return a->status == 404 || a->status == 410 ? -ENOENT : -EREMOTEIO;
}
