/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Curllib: libcurl, loaded when it is first used, and how every transfer of files is set up. For fetch, and
 * for httpask, which asks machines of ours and is set up in its own way. */

/* The compiler's help with curl_easy_setopt() is a macro that wants the real function. */
#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>

#include "macro.h"

/* The functions used, with libcurl's own prototypes. */
#define CURL_FUNCTIONS(X)           \
        X(curl_global_init)         \
        X(curl_easy_init)           \
        X(curl_easy_cleanup)        \
        X(curl_easy_setopt)         \
        X(curl_easy_getinfo)        \
        X(curl_easy_pause)          \
        X(curl_easy_perform)        \
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

typedef struct CurlLib {
        void *library;
#define X(f) typeof(&(f)) f;
        CURL_FUNCTIONS(X)
#undef X
} CurlLib;

extern CurlLib curllib;

/* -ENOPKG: it is not installed. */
int curllib_load(void) _must_check_;

/* What differs from one transfer to another. */
typedef struct CurlSetup {
        const char *url, *post, *ca_file; /* the last two may be NULL */
        struct curl_slist *headers;
        char *error; /* CURL_ERROR_SIZE bytes */
        curl_write_callback on_data, on_header;
        void (*on_refusal)(void *userdata, const char *reason); /* of the server's address */
        void *userdata;                                         /* of all three */
} CurlSetup;

/* https alone, certificates checked, redirects counted, no address of the link. s stays needed. */
int curllib_set_up(CURL *easy, const CurlSetup *s) _must_check_ _nonnull_all_;

/* As an error of fetch.h; 0 for CURLE_OK. */
int curllib_translate(CURLcode c) _must_check_;
