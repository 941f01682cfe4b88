/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <arpa/inet.h>
#include <sys/socket.h>

#include "curllib.h"
#include "library.h"

#define LIBRARY "libcurl.so.4"

enum {
        PIECE_BYTES = 256 * 1024, /* what curl hands over at once, at most */
        REDIRECTS_MAX = 5,
};

CurlLib curllib;

#define X(f) { #f, &curllib.f },
static const LibraryFunction functions[] = { CURL_FUNCTIONS(X) };
#undef X

int curllib_load(void) {
        int r = library_load(LIBRARY, functions, ELEMENTSOF(functions), &curllib.library);

        return r > 0 && curllib.curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK ? -EIO : MIN(r, 0);
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
        const CurlSetup *s = userdata;

        if (is_link_local(a)) {
                s->on_refusal(s->userdata, "the server's address is a link-local one");
                return CURL_SOCKET_BAD;
        }
        return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

int curllib_set_up(CURL *easy, const CurlSetup *s) {
        CURLcode c = CURLE_OK;

#define SET(option, value) c = c ?: curllib.curl_easy_setopt(easy, option, value)
        SET(CURLOPT_URL, s->url);
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
        SET(CURLOPT_ERRORBUFFER, s->error);
        SET(CURLOPT_WRITEFUNCTION, s->on_data);
        SET(CURLOPT_WRITEDATA, s->userdata);
        SET(CURLOPT_HEADERFUNCTION, s->on_header);
        SET(CURLOPT_HEADERDATA, s->userdata);
        SET(CURLOPT_OPENSOCKETFUNCTION, open_socket);
        SET(CURLOPT_OPENSOCKETDATA, s);
        SET(CURLOPT_HTTPHEADER, s->headers);
        if (s->post)
                SET(CURLOPT_POSTFIELDS, s->post);
        if (s->ca_file)
                SET(CURLOPT_CAINFO, s->ca_file);
#undef SET
        return c == CURLE_OK ? 0 : c == CURLE_OUT_OF_MEMORY ? -ENOMEM : -ENOSYS;
}

int curllib_translate(CURLcode c) {
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
