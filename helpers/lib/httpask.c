/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "httpask.h"
#include "curllib.h"

enum { BODY_MAX = 64 * 1024 };

static void easy_free(CURL *easy) {
        curllib.curl_easy_cleanup(easy);
}
DEFINE_POINTER_CLEANUP(CURL, easy_free)

/* One that never ends is none that is well. */
static size_t on_data(char *data, size_t size, size_t n, void *userdata) {
        size_t *received = userdata;

        (void) data;
        *received += size * n;
        return *received > BODY_MAX ? 0 : size * n;
}

static CURLcode set_up(CURL *easy, const char *url, uint64_t timeout_usec, size_t *received, char *error) {
        CURLcode c = CURLE_OK;

#define SET(option, value) c = c ?: curllib.curl_easy_setopt(easy, option, value)
        SET(CURLOPT_URL, url);
        SET(CURLOPT_PROTOCOLS_STR, "http");
        SET(CURLOPT_NOPROXY, "*");
        SET(CURLOPT_NOSIGNAL, 1L);
        SET(CURLOPT_TIMEOUT_MS, (long) (timeout_usec / 1000));
        SET(CURLOPT_USERAGENT, "gpuvm/" GPUVM_VERSION);
        SET(CURLOPT_ERRORBUFFER, error);
        SET(CURLOPT_WRITEFUNCTION, on_data);
        SET(CURLOPT_WRITEDATA, received);
#undef SET
        return c;
}

int httpask(const char *url, uint64_t timeout_usec, char **reterr_message) {
        char error[CURL_ERROR_SIZE] = "";
        _cleanup_(easy_freep) CURL *easy = NULL;
        size_t received = 0;
        long status = 0;
        CURLcode c;
        int r;

        r = curllib_load();
        if (r < 0)
                return r;
        easy = curllib.curl_easy_init();
        if (!easy)
                return -ENOMEM;
        c = set_up(easy, url, timeout_usec, &received, error);
        c = c ?: curllib.curl_easy_perform(easy);
        c = c ?: curllib.curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
        if (c != CURLE_OK) {
                *reterr_message = strdup(error[0] ? error : curllib.curl_easy_strerror(c));
                return curllib_translate(c);
        }
        return status < 100 || status > 999 ? -EPROTO : (int) status;
}
