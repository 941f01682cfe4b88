/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The compiler's help with curl_easy_setopt() is a macro that wants the real function. */
#define CURL_DISABLE_TYPECHECK
#include <arpa/inet.h>
#include <curl/curl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <strings.h>
#include <sys/socket.h>

#include "fetch.h"
#include "fs.h"
#include "library.h"

#define LIBRARY "libcurl.so.4"

enum {
        BUFFER_BYTES = 1024 * 1024,
        PIECE_BYTES = 256 * 1024, /* what curl hands over at once, at most */
        HEADERS_BYTES = 64 * 1024,
        REDIRECTS_MAX = 5,
        TRIES_MAX = 20,     /* connections in all */
        IDLE_TRIES = 2,     /* further ones in a row that bring next to nothing */
        LITTLE = 64 * 1024, /* bytes: next to nothing for a connection */
        SLOW = 1024,        /* bytes a second: next to nothing for a moment */
        POLL_MSEC = 250,
        EXCERPT_BYTES = 200, /* of what a server says with an error */
};

#define FUNCTIONS(X)                \
        X(curl_global_init)         \
        X(curl_easy_init)           \
        X(curl_easy_cleanup)        \
        X(curl_easy_setopt)         \
        X(curl_easy_getinfo)        \
        X(curl_easy_pause)          \
        X(curl_easy_strerror)       \
        X(curl_slist_append)        \
        X(curl_slist_free_all)      \
        X(curl_multi_init)          \
        X(curl_multi_cleanup)       \
        X(curl_multi_add_handle)    \
        X(curl_multi_remove_handle) \
        X(curl_multi_perform)       \
        X(curl_multi_poll)          \
        X(curl_multi_info_read)

static struct {
        void *library;
#define X(f) typeof(&(f)) f;
        FUNCTIONS(X)
#undef X
} lib;

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
        char excerpt[EXCERPT_BYTES]; /* of an answer that is an error */
        size_t n_excerpt;
        char *message;
        int failure; /* what a callback found: -errno */

        /* The answer. */
        bool answered; /* its headers are whole */
        long status;
        char *validator; /* ETag or Last-Modified, for If-Range */
        bool strong;     /* validator is an ETag */
        uint64_t length, received, range_start;
        size_t header_bytes;

        /* The connection. */
        uint64_t received_before; /* when it began */
        uint64_t began_usec;
        unsigned tries, idle_tries;
        uint64_t window_received, window_usec; /* waited since it last brought something */
};

#define X(f) { #f, &lib.f },
static const LibraryFunction functions[] = { FUNCTIONS(X) };
#undef X

static int load_library(void) {
        int r = library_load(LIBRARY, functions, ELEMENTSOF(functions), &lib.library);

        return r > 0 && lib.curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK ? -EIO : MIN(r, 0);
}

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
        if (!f->answered) {
                /* What an error says of itself is for the message, and no part of the file. */
                size_t k = MIN(n, sizeof(f->excerpt) - 1 - f->n_excerpt);

                memcpy(f->excerpt + f->n_excerpt, data, k);
                f->n_excerpt += k;
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

/* Returns the value of a header of that name, without blanks around it, or NULL. */
static const char *header_value(char *line, const char *name) {
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

static int take_range(Fetch *f, const char *value) {
        uint64_t length = UINT64_MAX;
        int r;

        r = parse_content_range(value, &f->range_start, &length);
        return r < 0                                                                             ? r
                        : f->length != UINT64_MAX && length != UINT64_MAX && length != f->length ? -EPROTO
                                                                                                 : 0;
}

/* A validator that changes with every byte: weak ETags do not. A date is good enough where there is no ETag.
 */
static int keep_validator(Fetch *f, const char *etag, const char *date) {
        if (etag && *etag == '"' && !f->strong) {
                f->strong = true;
                return free_and_strdup(&f->validator, etag);
        }
        return date && !f->validator ? free_and_strdup(&f->validator, date) : 0;
}

static int take_header(Fetch *f, char *line) {
        const char *value;
        unsigned status;

        if (sscanf(line, "HTTP/%*s %u", &status) == 1) {
                /* A new answer: of the next hop, or after "100 Continue". */
                f->status = (long) status;
                f->range_start = 0;
                return 0;
        }
        if (f->status >= 300)
                return 0;
        value = header_value(line, "Content-Range");
        if (value)
                return take_range(f, value);
        value = header_value(line, "Content-Length");
        if (value && f->status != 206)
                return sscanf(value, "%" SCNu64, &f->length) == 1 ? 0 : -EPROTO;
        /* On a connection that is taken up the one that was asked for holds. */
        if (f->received > 0)
                return 0;
        return keep_validator(f, header_value(line, "ETag"), header_value(line, "Last-Modified"));
}

/* The headers of the answer are whole. */
static int check_answer(Fetch *f) {
        if (f->status < 200 || f->status >= 300)
                return 0;
        if (f->received > 0 && f->status != 206) {
                _cleanup_free_ char *before = TAKE_PTR(f->message);

                set_message(f, "%s, and the server does not go on where it was", strempty(before));
                return f->failure = -ESTALE;
        }
        if (f->received > 0 && f->range_start != f->received)
                return refuse(f, -EPROTO, "the server goes on at another place");
        if (f->received == 0 && f->status == 206)
                return refuse(f, -EPROTO, "the server sends a part that nobody asked for");
        if (f->length != UINT64_MAX && f->length > f->o.max)
                return refuse(f, -EFBIG, "the server announces more than is allowed");
        f->answered = true;
        return 0;
}

static size_t on_header(char *data, size_t size, size_t n, void *userdata) {
        _cleanup_free_ char *line = NULL;
        Fetch *f = userdata;
        size_t k;

        n *= size;
        f->header_bytes += n;
        if (f->header_bytes > HEADERS_BYTES) {
                (void) refuse(f, -EPROTO, "the server sends too many headers");
                return 0;
        }
        line = strndup(data, n);
        if (!line)
                return 0;
        for (k = strlen(line); k > 0 && strchr(" \t\r\n", line[k - 1]);)
                line[--k] = '\0';
        if (k == 0)
                return check_answer(f) < 0 ? 0 : n;
        if (take_header(f, line) < 0) {
                (void) refuse(f, -EPROTO, "the server sends a header that makes no sense");
                return 0;
        }
        return n;
}

/* Where cloud providers keep a machine's secrets: no server may send us there. */
static bool is_link_local(const struct curl_sockaddr *a) {
        /* It is as long as addrlen says, and not as its type. */
        const char *address = (const char *) a + offsetof(struct curl_sockaddr, addr);
        struct sockaddr_in6 in6;
        struct sockaddr_in in;

        if (a->family == AF_INET) {
                memcpy(&in, address, sizeof(in));
                return ntohl(in.sin_addr.s_addr) >> 16 == 0xa9fe;
        }
        if (a->family != AF_INET6)
                return false;
        memcpy(&in6, address, sizeof(in6));
        return IN6_IS_ADDR_LINKLOCAL(&in6.sin6_addr);
}

static curl_socket_t open_socket(void *userdata, curlsocktype purpose, struct curl_sockaddr *a) {
        if (is_link_local(a)) {
                (void) refuse(userdata, -EPROTO, "the server's address is a link-local one");
                return CURL_SOCKET_BAD;
        }
        return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

/* The same for every connection. */
static int set_options(Fetch *f) {
        CURLcode c = CURLE_OK;

#define SET(option, value) c = c ?: lib.curl_easy_setopt(f->easy, option, value)
        SET(CURLOPT_URL, f->url);
        SET(CURLOPT_PROTOCOLS_STR, "https");
        SET(CURLOPT_REDIR_PROTOCOLS_STR, "https");
        SET(CURLOPT_FOLLOWLOCATION, 1L);
        SET(CURLOPT_MAXREDIRS, (long) REDIRECTS_MAX);
        SET(CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
        SET(CURLOPT_SSL_VERIFYPEER, 1L);
        SET(CURLOPT_SSL_VERIFYHOST, 2L);
        SET(CURLOPT_NOSIGNAL, 1L);
        SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L); /* a proxy's are no answer */
        SET(CURLOPT_CONNECTTIMEOUT, 15L);
        SET(CURLOPT_BUFFERSIZE, (long) PIECE_BYTES);
        SET(CURLOPT_USERAGENT, "gpuvm/" GPUVM_VERSION);
        SET(CURLOPT_ERRORBUFFER, f->error);
        SET(CURLOPT_WRITEFUNCTION, on_data);
        SET(CURLOPT_WRITEDATA, f);
        SET(CURLOPT_HEADERFUNCTION, on_header);
        SET(CURLOPT_HEADERDATA, f);
        SET(CURLOPT_OPENSOCKETFUNCTION, open_socket);
        SET(CURLOPT_OPENSOCKETDATA, f);
        /* "Expect: 100-continue" would cost a second at a server that does not know it. */
        f->headers = lib.curl_slist_append(NULL, "Expect:");
        SET(CURLOPT_HTTPHEADER, f->headers);
        if (f->post)
                SET(CURLOPT_POSTFIELDS, f->post);
        if (f->ca_file)
                SET(CURLOPT_CAINFO, f->ca_file);
#undef SET
        return c == CURLE_OK && f->headers ? 0 : c == CURLE_OUT_OF_MEMORY || !f->headers ? -ENOMEM : -ENOSYS;
}

static int begin(Fetch *f) {
        f->answered = f->paused = false;
        f->header_bytes = f->n_excerpt = 0;
        f->status = 0;
        f->error[0] = '\0';
        f->received_before = f->window_received = f->received;
        f->window_usec = 0;
        f->tries++;
        if (lib.curl_multi_add_handle(f->multi, f->easy) != CURLM_OK)
                return -ENOMEM;
        f->added = true;
        return 0;
}

/* Asks for the rest, if it is still the same. */
static int resume(Fetch *f) {
        _cleanup_free_ char *range = NULL, *condition = NULL;
        struct curl_slist *l;

        if (str_printf(&range, "%" PRIu64 "-", f->received) < 0 ||
            str_printf(&condition, "If-Range: %s", f->validator) < 0)
                return -ENOMEM;
        lib.curl_slist_free_all(f->headers);
        f->headers = l = lib.curl_slist_append(NULL, condition);
        if (!l || lib.curl_easy_setopt(f->easy, CURLOPT_HTTPHEADER, l) != CURLE_OK ||
            lib.curl_easy_setopt(f->easy, CURLOPT_RANGE, range) != CURLE_OK)
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
        f->length = UINT64_MAX;
        f->in.data = malloc(BUFFER_BYTES);
        f->out.data = malloc(BUFFER_BYTES);
        f->multi = lib.curl_multi_init();
        f->easy = lib.curl_easy_init();
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
        r = load_library();
        if (r >= 0)
                r = fetch_new(url, o, &f);
        if (r >= 0)
                r = set_options(f);
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
                (void) lib.curl_multi_remove_handle(f->multi, f->easy);
        if (f->easy)
                lib.curl_easy_cleanup(f->easy);
        if (f->multi)
                (void) lib.curl_multi_cleanup(f->multi);
        lib.curl_slist_free_all(f->headers);
        free(f->in.data);
        free(f->out.data);
        free(f->url);
        free(f->post);
        free(f->ca_file);
        free(f->validator);
        free(f->message);
        free(f);
}

static int translate(CURLcode c) {
        switch (c) {
        case CURLE_OK:
                return 0;
        case CURLE_OUT_OF_MEMORY:
                return -ENOMEM;
        case CURLE_URL_MALFORMAT:
                return -EINVAL;
        case CURLE_COULDNT_RESOLVE_HOST:
        case CURLE_COULDNT_RESOLVE_PROXY:
        case CURLE_COULDNT_CONNECT:
                return -ENETUNREACH;
        case CURLE_OPERATION_TIMEDOUT:
                return -ETIMEDOUT;
        case CURLE_PEER_FAILED_VERIFICATION:
        case CURLE_SSL_CONNECT_ERROR:
        case CURLE_SSL_CERTPROBLEM:
        case CURLE_SSL_CACERT_BADFILE:
        case CURLE_SSL_ISSUER_ERROR:
                return -EKEYREJECTED;
        case CURLE_PARTIAL_FILE:
        case CURLE_RECV_ERROR:
        case CURLE_SEND_ERROR:
        case CURLE_GOT_NOTHING:
        case CURLE_HTTP2:
        case CURLE_HTTP2_STREAM:
                return -ECONNRESET;
        default:
                return -EPROTO;
        }
}

/* An answer that is an error, as one. */
static int translate_status(Fetch *f) {
        if (f->answered)
                return 0;
        f->excerpt[f->n_excerpt] = '\0';
        /* A page for browsers says nothing here. */
        if (f->n_excerpt == 0 || f->excerpt[0] == '<')
                set_message(f, "the server answers %ld", f->status);
        else
                set_message(f, "the server answers %ld: %.*s", f->status, (int) strcspn(f->excerpt, "\r\n"),
                            f->excerpt);
        return f->status == 404 || f->status == 410 ? -ENOENT : -EREMOTEIO;
}

/* A connection that broke, or a server that has no time now. */
static bool is_transient(const Fetch *f, int error) {
        return error == -ECONNRESET || (error == -ETIMEDOUT && f->answered) ||
                        (error == -EREMOTEIO && (f->status == 429 || f->status >= 500));
}

/* Returns 1 if it goes on with another connection, or error. */
static int try_again(Fetch *f, int error) {
        if (f->received - f->received_before >= LITTLE)
                f->idle_tries = 0;
        else if (f->idle_tries++ >= IDLE_TRIES)
                return error;
        if (!is_transient(f, error) || f->tries >= TRIES_MAX || f->post || (f->received > 0 && !f->validator))
                return error;
        f->failure = 0;
        /* The second one in a row that brings nothing comes after a second, not at once. */
        if (f->idle_tries > 1)
                (void) lib.curl_multi_poll(f->multi, NULL, 0, 1000, NULL);
        error = f->received > 0 ? resume(f) : begin(f);
        return error < 0 ? error : 1;
}

static void stop(Fetch *f) {
        if (f->added)
                (void) lib.curl_multi_remove_handle(f->multi, f->easy);
        f->added = false;
}

/* The connection is over. Returns 0 at the end of the file, 1 if there is another connection, or -errno. */
static int finish(Fetch *f, CURLcode c) {
        int r;

        stop(f);
        r = f->failure;
        if (r == 0 && c != CURLE_OK) {
                r = translate(c);
                set_message(f, "%s", f->error[0] ? f->error : lib.curl_easy_strerror(c));
        }
        if (r == 0)
                r = translate_status(f);
        if (r == 0 && f->length != UINT64_MAX && f->received != f->length) {
                r = -ECONNRESET;
                set_message(f, "only %" PRIu64 " of %" PRIu64 " bytes came", f->received, f->length);
        }
        return r < 0 ? try_again(f, r) : 0;
}

/* Nothing, or next to it, came for too long. Only waiting counts: the caller may take its time. */
static int check_time(Fetch *f, uint64_t waited_usec) {
        uint64_t limit = f->answered ? f->o.stall_usec : f->o.answer_usec;

        if (boottime_usec() - f->began_usec > f->o.total_usec) {
                set_message(f, "it took longer than %" PRIu64 " s in all", f->o.total_usec / USEC_PER_SEC);
                f->tries = TRIES_MAX;
                return -ETIMEDOUT;
        }
        f->window_usec += waited_usec;
        if (f->window_usec < limit)
                return 0;
        if (f->answered && f->received - f->window_received >= SLOW * limit / USEC_PER_SEC) {
                f->window_received = f->received;
                f->window_usec = 0;
                return 0;
        }
        set_message(f,
                    f->answered ? "the server sends next to nothing any more" : "the server does not answer");
        return -ETIMEDOUT;
}

/* Lets libcurl work; returns 1 while the file goes on, 0 at its end, or -errno. */
static int perform(Fetch *f) {
        int running, queued;
        CURLMsg *m;

        if (f->paused) {
                f->paused = false;
                (void) lib.curl_easy_pause(f->easy, CURLPAUSE_CONT);
        }
        if (lib.curl_multi_perform(f->multi, &running) != CURLM_OK)
                return -EIO;
        while ((m = lib.curl_multi_info_read(f->multi, &queued)))
                if (m->msg == CURLMSG_DONE)
                        return finish(f, m->data.result);
        return 1;
}

static int wait_for_data(Fetch *f) {
        uint64_t start = boottime_usec();
        int r;

        if (f->o.tick)
                f->o.tick(f->o.userdata);
        if (lib.curl_multi_poll(f->multi, NULL, 0, POLL_MSEC, NULL) != CURLM_OK)
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
        return f->length;
}

static int read_bytes(Fetch *f, uint64_t max, char **ret, size_t *ret_size) {
        _cleanup_free_ char *bytes = malloc(max + 1);
        size_t n = 0;

        if (!bytes)
                return -ENOMEM;
        for (;;) {
                const void *data;
                ssize_t k = fetch_read(f, &data);

                if (k < 0)
                        return (int) k;
                if (k == 0)
                        break;
                memcpy(bytes + n, data, (size_t) k);
                n += (size_t) k;
        }
        bytes[n] = '\0';
        *ret = TAKE_PTR(bytes);
        *ret_size = n;
        return 0;
}

int fetch_bytes(const char *url, const FetchOptions *o, char **ret, size_t *ret_size, char **reterr_message) {
        _cleanup_(fetch_freep) Fetch *f = NULL;
        int r;

        r = fetch_open(url, o, &f);
        if (r < 0)
                return r;
        r = read_bytes(f, o->max, ret, ret_size);
        if (r < 0)
                *reterr_message = strdup(fetch_message(f));
        return r;
}

int fetch_text(const char *url, const FetchOptions *o, char **ret, char **reterr_message) {
        _cleanup_free_ char *text = NULL;
        size_t n;
        int r;

        r = fetch_bytes(url, o, &text, &n, reterr_message);
        if (r < 0)
                return r;
        if (strlen(text) != n) {
                *reterr_message = strdup("the server sends no text");
                return -EPROTO;
        }
        *ret = TAKE_PTR(text);
        return 0;
}
