/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <arpa/inet.h>
#include <ctype.h>

#include "confvalid.h"
#include "parse.h"
#include "strv.h"

/* True for 1 to max bytes, the first alphanumeric or '_', the rest that or one of extra. */
static bool is_name(const char *s, size_t max, const char *extra) {
        size_t n = 0;

        for (; s[n]; n++)
                if (!isalnum((unsigned char) s[n]) && s[n] != '_' && (n == 0 || !strchr(extra, s[n])))
                        return false;
        return n > 0 && n <= max;
}

bool confvalid_user(const char *s) {
        return !isdigit((unsigned char) *s) && is_name(s, 32, ".-");
}

bool confvalid_hostname(const char *s) {
        size_t n = 0;

        while (isalnum((unsigned char) s[n]) || (s[n] == '-' && n > 0))
                n++;
        return n > 0 && n <= 63 && s[n] == '\0' && s[n - 1] != '-';
}

bool confvalid_word(const char *s) {
        return is_name(s, 64, ".+-");
}

bool confvalid_interface(const char *s) {
        return is_name(s, 15, ".-"); /* IFNAMSIZ - 1 */
}

bool confvalid_subnet(const char *s) {
        const char *slash = strchr(s, '/');
        char address[INET6_ADDRSTRLEN];
        unsigned char raw[16];
        unsigned bits;

        if (!slash || (size_t) (slash - s) >= sizeof(address))
                return false;
        memcpy(address, s, (size_t) (slash - s));
        address[slash - s] = '\0';
        if (inet_pton(AF_INET, address, raw) == 1)
                return parse_uint(slash + 1, 32, &bits) >= 0;
        return inet_pton(AF_INET6, address, raw) == 1 && parse_uint(slash + 1, 128, &bits) >= 0;
}

bool confvalid_range(const char *s) {
        const char *dash = strchr(s, '-');
        struct in_addr first, last;
        char address[INET_ADDRSTRLEN];

        if (!dash || (size_t) (dash - s) >= sizeof(address))
                return false;
        memcpy(address, s, (size_t) (dash - s));
        address[dash - s] = '\0';
        return inet_pton(AF_INET, address, &first) == 1 && inet_pton(AF_INET, dash + 1, &last) == 1 &&
                        ntohl(first.s_addr) <= ntohl(last.s_addr);
}

static bool is_port(const char *word) {
        const char *text = startswith(word, "tcp/") ?: startswith(word, "udp/"), *dash;
        char first[sizeof("65535")];
        unsigned low, high;
        size_t n;

        dash = text ? strchr(text, '-') : NULL;
        n = dash ? (size_t) (dash - text) : text ? strlen(text) : 0;
        if (n == 0 || n >= sizeof(first))
                return false;
        memcpy(first, text, n);
        first[n] = '\0';
        return parse_uint(first, 65535, &low) >= 0 && low > 0 &&
                        (!dash || (parse_uint(dash + 1, 65535, &high) >= 0 && high > low));
}

bool confvalid_ports(const char *s) {
        _cleanup_strv_ char **words = NULL;

        if (streq(s, "all") || streq(s, "none"))
                return true;
        if (strlen(s) > 1024 || strv_split(s, " ,", &words) < 0 || !words)
                return false;
        STRV_FOREACH(w, words)
                if (!is_port(*w))
                        return false;
        return true;
}

bool confvalid_clocks(const char *s) {
        _cleanup_strv_ char **words = NULL;
        unsigned memory, graphics;

        if (strlen(s) > 64 || strv_split(s, ",", &words) < 0 || strv_length(words) != 2)
                return false;
        return parse_uint(words[0], 100000, &memory) >= 0 && memory > 0 &&
                        parse_uint(words[1], 100000, &graphics) >= 0 && graphics > 0;
}

bool confvalid_path(const char *s) {
        if (*s != '/' || s[strspn(s, "/")] == '\0' || strlen(s) > 1024)
                return false;
        for (const char *p = s; *p; p++) {
                if ((unsigned char) *p < ' ' || *p == 0x7f || strchr("\\%", *p))
                        return false;
                if (p[0] == '/' && p[1] == '.' && p[2] == '.' && (p[3] == '/' || !p[3]))
                        return false;
        }
        return true;
}

bool confvalid_plain_path(const char *s) {
        static const char allowed[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ._-/+@";

        return confvalid_path(s) && strlen(s) <= 200 && s[strspn(s, allowed)] == '\0';
}

bool confvalid_url(const char *s) {
        static const char allowed[] =
                        "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-._~:/[]";
        const char *host = startswith(s, "https://");

        return host && *host && *host != '/' && strlen(s) <= 512 && !endswith(s, "/") &&
                        s[strspn(s, allowed)] == '\0';
}

bool confvalid_image_size(const char *s) {
        uint64_t n;

        return parse_size(s, &n) >= 0 && n >= UINT64_C(1) << 30 && n <= UINT64_C(1) << 40;
}

static bool is_hex(const char *s, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (!isxdigit((unsigned char) s[i]))
                        return false;
        return true;
}

int confvalid_address(const char *s, char **ret) {
        const char *tail = strlen(s) == strlen("BB:SS.F") ? s : strchr(s, ':');
        size_t domain = tail == s ? 0 : tail ? (size_t) (tail - s) : 0;
        char *t;

        if (!tail || (tail != s && (domain < 4 || domain > 8 || !is_hex(s, domain))))
                return -EINVAL;
        tail += tail != s;
        if (strlen(tail) != strlen("BB:SS.F") || !is_hex(tail, 2) || tail[2] != ':' || !is_hex(tail + 3, 2) ||
            strchr("01", tail[3]) == NULL || tail[5] != '.' || tail[6] < '0' || tail[6] > '7')
                return -EINVAL;
        if (asprintf(&t, "%.*s:%s", domain ? (int) domain : 4, domain ? s : "0000", tail) < 0)
                return -ENOMEM;
        for (char *p = t; *p; p++)
                *p = (char) tolower((unsigned char) *p);
        *ret = t;
        return 0;
}

bool confvalid_gpu_path(const char *s) {
        return startswith(s, "pci-") && !strstr(s, "..") && is_name(s, 255, ":./-");
}
