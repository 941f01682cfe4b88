/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <inttypes.h>
#include <stdarg.h>

#include "curllib.h"
#include "fetch.h"
#include "fetchanswer.h"
#include "fs.h"

enum {
        BUFFER_BYTES = 1024 * 1024,
        TRIES_MAX = 20,     /* connections in all */
        IDLE_TRIES = 2,     /* further ones in a row that bring next to nothing */
        LITTLE = 64 * 1024, /* bytes: next to nothing for a connection */
        SLOW = 1024,        /* bytes a second: next to nothing for a moment */
        POLL_MSEC = 250,
};

typedef struct Buffer {
        char *data;
        size_t n;
} Buffer;

struct Fetch {
        FetchOptions o;
        char *url, *post, *ca_file;
        CURLM *multi;
        CURL *easy;
        struct curl_slist *headers; /* of the request */
        Buffer in, out;             /* being filled; handed out */
        bool paused, added, ended;
        char error[CURL_ERROR_SIZE];
        char *message;
        int failure; /* what a callback found: -errno */

        FetchAnswer answer;
        CurlSetup setup;
        uint64_t received;

        /* The connection. */
        uint64_t received_before; /* when it began */
        uint64_t began_usec;
        unsigned tries, idle_tries;
        uint64_t window_received, window_usec; /* waited since it last brought something */
};

static void set_message(Fetch *f, const char *format, ...) _printf_(2, 3);
static void set_message(Fetch *f, const char *format, ...) {
        va_list ap;
        char *text = NULL;

        va_start(ap, format);
        if (vasprintf(&text, format, ap) >= 0) {
                free(f->message);
                f->message = text;
        }
        va_end(ap);
}

/* Ends the transfer from inside a callback. */
static int refuse(Fetch *f, int error, const char *message) {
        f->failure = error;
        set_message(f, "%s", message);
        return error;
}

static size_t on_data(char *data, size_t size, size_t n, void *userdata) {
        Fetch *f = userdata;

        n *= size;
        if (!f->answer.whole) {
                /* What an error says of itself is for the message, and no part of the file. */
                fetchanswer_excerpt(&f->answer, data, n);
                return n;
        }
        if (f->in.n + n > BUFFER_BYTES) {
                f->paused = true;
                return CURL_WRITEFUNC_PAUSE;
        }
        if (n > f->o.max - MIN(f->received, f->o.max)) {
                (void) refuse(f, -EFBIG, "the server sends more than is allowed");
                return CURL_WRITEFUNC_ERROR;
        }
        memcpy(f->in.data + f->in.n, data, n);
        f->in.n += n;
        f->received += n;
        return n;
}

static size_t on_header(char *data, size_t size, size_t n, void *userdata) {
        const char *reason = NULL;
        Fetch *f = userdata;
        int r;

        n *= size;
        r = fetchanswer_line(&f->answer, data, n, f->received, f->o.max, &reason);
        if (r == -ESTALE) {
                _cleanup_free_ char *before = TAKE_PTR(f->message);

                set_message(f, "%s, and %s", strempty(before), reason);
                f->failure = r;
        } else if (r < 0)
                (void) refuse(f, r, reason);
        return r < 0 ? 0 : n;
}

static void on_refusal(void *userdata, const char *reason) {
        (void) refuse(userdata, -EPROTO, reason);
}

/* The same for every connection. */
static int set_up(Fetch *f) {
        /* "Expect: 100-continue" would cost a second at a server that does not know it. */
        f->headers = curllib.curl_slist_append(NULL, "Expect:");
        if (!f->headers)
                return -ENOMEM;
        f->setup = (CurlSetup){ .url = f->url,
                                .post = f->post,
                                .ca_file = f->ca_file,
                                .headers = f->headers,
                                .error = f->error,
                                .on_data = on_data,
                                .on_header = on_header,
                                .on_refusal = on_refusal,
                                .userdata = f };
        return curllib_set_up(f->easy, &f->setup);
}

static int begin(Fetch *f) {
        fetchanswer_begin(&f->answer);
        f->paused = false;
        f->error[0] = '\0';
        f->received_before = f->window_received = f->received;
        f->window_usec = 0;
        f->tries++;
        if (curllib.curl_multi_add_handle(f->multi, f->easy) != CURLM_OK)
                return -ENOMEM;
        f->added = true;
        return 0;
}

/* Asks for the rest, if it is still the same. */
static int resume(Fetch *f) {
        _cleanup_free_ char *range = NULL, *condition = NULL;
        struct curl_slist *l;

        if (str_printf(&range, "%" PRIu64 "-", f->received) < 0 ||
            str_printf(&condition, "If-Range: %s", f->answer.validator) < 0)
                return -ENOMEM;
        curllib.curl_slist_free_all(f->headers);
        f->headers = l = curllib.curl_slist_append(NULL, condition);
        if (!l || curllib.curl_easy_setopt(f->easy, CURLOPT_HTTPHEADER, l) != CURLE_OK ||
            curllib.curl_easy_setopt(f->easy, CURLOPT_RANGE, range) != CURLE_OK)
                return -ENOMEM;
        return begin(f);
}

static int fetch_new(const char *url, const FetchOptions *o, Fetch **ret) {
        _cleanup_(fetch_freep) Fetch *f = calloc(1, sizeof(*f));

        if (!f)
                return -ENOMEM;
        f->o = *o;
        f->o.answer_usec = o->answer_usec ?: 20 * USEC_PER_SEC;
        f->o.stall_usec = o->stall_usec ?: 15 * USEC_PER_SEC;
        f->o.total_usec = o->total_usec ?: 6 * 3600 * USEC_PER_SEC;
        f->began_usec = boottime_usec();
        fetchanswer_init(&f->answer);
        f->in.data = malloc(BUFFER_BYTES);
        f->out.data = malloc(BUFFER_BYTES);
        f->multi = curllib.curl_multi_init();
        f->easy = curllib.curl_easy_init();
        if (!f->in.data || !f->out.data || !f->multi || !f->easy || free_and_strdup(&f->url, url) < 0 ||
            free_and_strdup(&f->post, o->post) < 0 || free_and_strdup(&f->ca_file, o->ca_file) < 0)
                return -ENOMEM;
        *ret = TAKE_PTR(f);
        return 0;
}

int fetch_open(const char *url, const FetchOptions *o, Fetch **ret) {
        _cleanup_(fetch_freep) Fetch *f = NULL;
        int r;

        if (!startswith(url, "https://"))
                return -EINVAL;
        r = curllib_load();
        if (r >= 0)
                r = fetch_new(url, o, &f);
        if (r >= 0)
                r = set_up(f);
        if (r >= 0)
                r = begin(f);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(f);
        return 0;
}

void fetch_free(Fetch *f) {
        if (!f)
                return;
        if (f->added)
                (void) curllib.curl_multi_remove_handle(f->multi, f->easy);
        if (f->easy)
                curllib.curl_easy_cleanup(f->easy);
        if (f->multi)
                (void) curllib.curl_multi_cleanup(f->multi);
        curllib.curl_slist_free_all(f->headers);
        free(f->in.data);
        free(f->out.data);
        free(f->url);
        free(f->post);
        free(f->ca_file);
        fetchanswer_done(&f->answer);
        free(f->message);
        free(f);
}

/* An answer that is an error, as one. */
static int translate_status(Fetch *f) {
        if (f->answer.whole)
                return 0;
        free(f->message);
        return fetchanswer_error(&f->answer, &f->message);
}

/* A connection that broke, or a server that has no time now. */
static bool is_transient(const Fetch *f, int error) {
        return error == -ECONNRESET || (error == -ETIMEDOUT && f->answer.whole) ||
                        (error == -EREMOTEIO && (f->answer.status == 429 || f->answer.status >= 500));
}

/* Returns 1 if it goes on with another connection, or error. */
static int try_again(Fetch *f, int error) {
        if (f->received - f->received_before >= LITTLE)
                f->idle_tries = 0;
        else if (f->idle_tries++ >= IDLE_TRIES)
                return error;
        if (!is_transient(f, error) || f->tries >= TRIES_MAX || f->post ||
            (f->received > 0 && !f->answer.validator))
                return error;
        f->failure = 0;
        /* The second one in a row that brings nothing comes after a second, not at once. */
        if (f->idle_tries > 1)
                (void) curllib.curl_multi_poll(f->multi, NULL, 0, 1000, NULL);
        error = f->received > 0 ? resume(f) : begin(f);
        return error < 0 ? error : 1;
}

static void stop(Fetch *f) {
        if (f->added)
                (void) curllib.curl_multi_remove_handle(f->multi, f->easy);
        f->added = false;
}

/* The connection is over. Returns 0 at the end of the file, 1 if there is another connection, or -errno. */
static int finish(Fetch *f, CURLcode c) {
        int r;

        stop(f);
        r = f->failure;
        if (r == 0 && c != CURLE_OK) {
                r = curllib_translate(c);
                set_message(f, "%s", f->error[0] ? f->error : curllib.curl_easy_strerror(c));
        }
        if (r == 0)
                r = translate_status(f);
        if (r == 0 && f->answer.length != UINT64_MAX && f->received != f->answer.length) {
                r = -ECONNRESET;
                set_message(f, "only %" PRIu64 " of %" PRIu64 " bytes came", f->received, f->answer.length);
        }
        return r < 0 ? try_again(f, r) : 0;
}

/* Nothing, or next to it, came for too long. Only waiting counts: the caller may take its time. */
static int check_time(Fetch *f, uint64_t waited_usec) {
        uint64_t limit = f->answer.whole ? f->o.stall_usec : f->o.answer_usec;

        if (boottime_usec() - f->began_usec > f->o.total_usec) {
                set_message(f, "it took longer than %" PRIu64 " s in all", f->o.total_usec / USEC_PER_SEC);
                f->tries = TRIES_MAX;
                return -ETIMEDOUT;
        }
        f->window_usec += waited_usec;
        if (f->window_usec < limit)
                return 0;
        if (f->answer.whole && f->received - f->window_received >= SLOW * limit / USEC_PER_SEC) {
                f->window_received = f->received;
                f->window_usec = 0;
                return 0;
        }
        set_message(f,
                    f->answer.whole ? "the server sends next to nothing any more"
                                    : "the server does not answer");
        return -ETIMEDOUT;
}

/* Lets libcurl work; returns 1 while the file goes on, 0 at its end, or -errno. */
static int perform(Fetch *f) {
        int running, queued;
        CURLMsg *m;

        if (f->paused) {
                f->paused = false;
                (void) curllib.curl_easy_pause(f->easy, CURLPAUSE_CONT);
        }
        if (curllib.curl_multi_perform(f->multi, &running) != CURLM_OK)
                return -EIO;
        while ((m = curllib.curl_multi_info_read(f->multi, &queued)))
                if (m->msg == CURLMSG_DONE)
                        return finish(f, m->data.result);
        return 1;
}

static int wait_for_data(Fetch *f) {
        uint64_t start = boottime_usec();
        int r;

        if (f->o.tick)
                f->o.tick(f->o.userdata);
        if (curllib.curl_multi_poll(f->multi, NULL, 0, POLL_MSEC, NULL) != CURLM_OK)
                return -EIO;
        r = check_time(f, boottime_usec() - start);
        if (r >= 0)
                return 0;
        stop(f);
        r = try_again(f, r);
        return r < 0 ? r : 0;
}

ssize_t fetch_read(Fetch *f, const void **ret) {
        Buffer filled;
        int r = 1;

        while (!f->ended) {
                if (f->o.stop && f->o.stop()) {
                        set_message(f, "interrupted");
                        return -EINTR;
                }
                r = perform(f);
                if (r < 0)
                        return r;
                f->ended = r == 0;
                if (f->ended || f->in.n > 0)
                        break;
                r = wait_for_data(f);
                if (r < 0)
                        return r;
        }
        filled = f->in;
        f->in = (Buffer){ .data = f->out.data };
        f->out = filled;
        *ret = f->out.data;
        return (ssize_t) f->out.n;
}

const char *fetch_message(const Fetch *f) {
        return strempty(f->message);
}

uint64_t fetch_received(const Fetch *f) {
        return f->received;
}

uint64_t fetch_length(const Fetch *f) {
        return f->answer.length;
}
