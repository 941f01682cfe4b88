/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <arpa/inet.h>
#include <ctype.h>

#include "memstream.h"
#include "scrub.h"
#include "strv.h"

struct Scrub {
        char *host;        /* lower case; NULL: none */
        char *host_dashed; /* as device-mapper has it in names: "-" is "--" */
        char **users;
        char **uuids, **macs, **disks; /* in the order in which they were seen */
};

/* Installers give them; they tell nothing, and stand in many a file. */
static const char *const common[] = { "localhost", "debian",  "ubuntu", "linux", "host",   "server",
                                      "root",      "default", "gpu",    "gpuvm", "nvidia", "intel",
                                      "amd",       "vfio",    "node",   "kernel" };

/* Their names say nothing about whoever downloads from them. */
static const char *const servers[] = { "debian.org", "ubuntu.com", "nvidia.com",
                                       "talos.dev",  "github.com", "github.io" };

void scrub_free(Scrub *s) {
        free(s->host);
        free(s->host_dashed);
        strv_free(s->uuids);
        strv_free(s->macs);
        strv_free(s->disks);
        strv_free(s->users);
        free(s);
}

static bool is_common(const char *name) {
        for (size_t i = 0; i < ELEMENTSOF(common); i++)
                if (strcasecmp(name, common[i]) == 0)
                        return true;
        return strlen(name) < 3;
}

static int set_host(Scrub *s, const char *name) {
        char *to;

        s->host = strndup(name, strcspn(name, "."));
        s->host_dashed = malloc(2 * strlen(name) + 1);
        if (!s->host || !s->host_dashed)
                return -ENOMEM;
        for (char *c = s->host; *c; c++)
                *c = (char) tolower((unsigned char) *c);
        to = s->host_dashed;
        for (const char *c = s->host; *c; c++) {
                *to++ = *c;
                if (*c == '-')
                        *to++ = '-';
        }
        *to = '\0';
        return 0;
}

int scrub_new(const char *hostname, Scrub **ret) {
        _cleanup_(scrub_freep) Scrub *s = calloc(1, sizeof(*s));
        _cleanup_free_ char *first = hostname ? strndup(hostname, strcspn(hostname, ".")) : NULL;

        if (!s || (hostname && !first))
                return -ENOMEM;
        if (first && !is_common(first) && set_host(s, hostname) < 0)
                return -ENOMEM;
        *ret = TAKE_PTR(s);
        return 0;
}

int scrub_hide_user(Scrub *s, const char *name) {
        return is_common(name) || strv_contains(s->users, name) ? 0 : strv_extend(&s->users, name);
}

/* The number of a word, from 1. */
static int number_of(char ***known, const char *word, size_t n, unsigned *ret) {
        _cleanup_free_ char *w = strndup(word, n);
        unsigned i = 0;
        int r;

        if (!w)
                return -ENOMEM;
        for (char *c = w; *c; c++)
                *c = (char) tolower((unsigned char) *c);
        STRV_FOREACH(k, *known) {
                i++;
                if (streq(*k, w)) {
                        *ret = i;
                        return 0;
                }
        }
        r = strv_extend(known, w);
        *ret = i + 1;
        return r;
}

static size_t span_hex(const char *s) {
        return strspn(s, "0123456789abcdefABCDEF");
}

static bool is_word(char c) {
        return isalnum((unsigned char) c);
}

/* Each matcher returns how many bytes it takes, 0 for none of its, or -ENOMEM, and writes what is there
 * instead. before: the byte in front. */
typedef ssize_t (*Matcher)(Scrub *s, const char *at, char before, FILE *out);

/* Of EFI's own variables: the specification gives them, and the shim does. */
static bool is_known_uuid(const char *at) {
        return strncasecmp(at, "8be4df61-93ca-11d2-aa0d-00e098032b8c", 36) == 0 ||
                        strncasecmp(at, "605dab50-e046-4300-abb6-3dd810dd8b23", 36) == 0;
}

/* "8-4-4-4-12", and the 32 digits of systemd's ids; all zeros is none. */
static ssize_t match_uuid(Scrub *s, const char *at, char before, FILE *out) {
        static const size_t parts[] = { 8, 4, 4, 4, 12 };
        const char *c = at;
        unsigned n;
        int r;

        if (is_word(before))
                return 0;
        if (span_hex(at) == 32 && strspn(at, "0") != 32) {
                r = number_of(&s->uuids, at, 32, &n);
                fprintf(out, "%032u", n);
                return r < 0 ? r : 32;
        }
        for (size_t i = 0; i < ELEMENTSOF(parts); i++) {
                if (span_hex(c) != parts[i])
                        return 0;
                c += parts[i];
                if (i + 1 < ELEMENTSOF(parts) && *c++ != '-')
                        return 0;
        }
        if (is_word(*c) || is_known_uuid(at))
                return 0;
        r = number_of(&s->uuids, at, 36, &n);
        fprintf(out, "00000000-0000-0000-0000-%012u", n);
        return r < 0 ? r : 36;
}

/* "UUID=1A2B-3C4D" of FAT. */
static ssize_t match_volume(Scrub *s, const char *at, char before, FILE *out) {
        const char *rest = startswith(at, "UUID=");

        if (!rest || span_hex(rest) != 4 || rest[4] != '-' || span_hex(rest + 5) != 4)
                return 0;
        fputs("UUID=0000-0000", out);
        return 14;
}

/* Six pairs, or more: InfiniBand has twenty. */
static ssize_t match_mac(Scrub *s, const char *at, char before, FILE *out) {
        size_t pairs = 0;
        const char *c = at;
        unsigned n;
        int r;

        if (is_word(before) || before == ':')
                return 0;
        while (span_hex(c) == 2) {
                pairs++;
                c += 2;
                if (*c != ':')
                        break;
                c++;
        }
        if (pairs < 6 || is_word(*c) || c[-1] == ':')
                return 0;
        r = number_of(&s->macs, at, (size_t) (c - at), &n);
        fprintf(out, "02:00:00:00:%02x:%02x", n >> 8 & 0xff, n & 0xff);
        return r < 0 ? r : c - at;
}

/* "enx525400123456": an interface that is named by its MAC address. */
static ssize_t match_interface(Scrub *s, const char *at, char before, FILE *out) {
        static const char *const prefixes[] = { "enx", "wlx", "wwx" };
        unsigned n;
        int r;

        for (size_t i = 0; i < ELEMENTSOF(prefixes) && !is_word(before); i++) {
                const char *rest = startswith(at, prefixes[i]);

                if (!rest || span_hex(rest) != 12 || is_word(rest[12]))
                        continue;
                r = number_of(&s->macs, rest, 12, &n);
                fprintf(out, "%s02000000%04x", prefixes[i], n & 0xffff);
                return r < 0 ? r : 15;
        }
        return 0;
}

static bool is_anybodys_ipv4(const struct in_addr *a) {
        uint32_t v = ntohl(a->s_addr);

        return v == 0 || v >> 24 == 127 || v >> 24 == 255;
}

static ssize_t match_ip(Scrub *s, const char *at, char before, FILE *out) {
        size_t n = strspn(at, "0123456789abcdefABCDEF:."), k = strspn(at, "0123456789.");
        char word[INET6_ADDRSTRLEN + 1];
        struct in6_addr six;
        struct in_addr four;

        if (is_word(before) || before == '.' || before == ':')
                return 0;
        if (at[k] == ':' && memchr(at, '.', k)) /* a port, or what was said of it */
                n = k;
        while (n > 0 && (at[n - 1] == '.' || (at[n - 1] == ':' && (n < 2 || at[n - 2] != ':'))))
                n--;
        if (n < 3 || n >= sizeof(word) || is_word(at[n]))
                return 0;
        memcpy(word, at, n);
        word[n] = '\0';
        if (inet_pton(AF_INET, word, &four) == 1 && !is_anybodys_ipv4(&four)) {
                fputs(at[n] == '/' ? "192.0.2.0" : "192.0.2.1", out);
                return (ssize_t) n;
        }
        if (inet_pton(AF_INET6, word, &six) == 1 && !IN6_IS_ADDR_LOOPBACK(&six)) {
                fputs(at[n] == '/' ? "2001:db8::" : "2001:db8::1", out);
                return (ssize_t) n;
        }
        return 0;
}

static bool is_public(const char *host, size_t n) {
        for (size_t i = 0; i < ELEMENTSOF(servers); i++) {
                size_t k = strlen(servers[i]);

                if (n >= k && strncasecmp(host + n - k, servers[i], k) == 0 &&
                    (n == k || host[n - k - 1] == '.'))
                        return true;
        }
        return false;
}

/* "://user:secret@mirror.example.com:8080" */
static ssize_t match_url(Scrub *s, const char *at, char before, FILE *out) {
        const char *rest = startswith(at, "://"), *host;
        size_t n, port;

        if (!rest)
                return 0;
        n = strcspn(rest, "/ \t\n\r\"'<>?#,;");
        host = memrchr(rest, '@', n);
        host = host ? host + 1 : rest;
        port = strcspn(host, ":");
        if (n == 0)
                return 0;
        if (is_public(host, MIN(port, (size_t) (rest + n - host)))) {
                fprintf(out, "://%.*s", (int) (rest + n - host), host);
                return (ssize_t) (3 + n);
        }
        /* What is behind it may be a secret as well: "/customer-4711/token". */
        fputs(rest[n] == '/' && !isspace((unsigned char) rest[n + 1]) ? "://host.invalid/hidden"
                                                                      : "://host.invalid",
              out);
        return (ssize_t) (3 + n + (rest[n] == '/' ? strcspn(rest + n, " \t\n\r\"'<>,;)") : 0));
}

/* "/dev/disk/by-id/ata-Samsung_SSD_870_S5Y1NG0R-part1": the partition stays. */
static ssize_t match_disk(Scrub *s, const char *at, char before, FILE *out) {
        const char *rest = startswith(at, "/by-id/");
        size_t n = rest ? strspn(rest,
                                 "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:+=@#%\\")
                        : 0,
               whole = n, digits = 0;
        unsigned number;
        int r;

        if (n == 0)
                return 0;
        while (n > 0 && isdigit((unsigned char) rest[n - 1]))
                n--, digits++;
        if (digits == 0 || n < 6 || strncmp(rest + n - 5, "-part", 5) != 0)
                n = whole;
        else
                n -= 5;
        r = number_of(&s->disks, rest, n, &number);
        fprintf(out, "/by-id/disk-%u%.*s", number, (int) (whole - n), rest + n);
        return r < 0 ? r : (ssize_t) (7 + whole);
}

static ssize_t match_user(Scrub *s, const char *at, char before, FILE *out) {
        STRV_FOREACH(user, s->users) {
                size_t n = strlen(*user);

                if (is_word(before) || strncmp(at, *user, n) != 0 || is_word(at[n]))
                        continue;
                fputs("user", out);
                return (ssize_t) n;
        }
        return 0;
}

static ssize_t match_home(Scrub *s, const char *at, char before, FILE *out) {
        const char *rest = startswith(at, "/home/");
        size_t n = rest ? strcspn(rest, "/ \t\n\"':\\") : 0;

        if (n == 0)
                return 0;
        fputs("/home/user", out);
        return (ssize_t) (6 + n);
}

static ssize_t match_host(Scrub *s, const char *at, char before, FILE *out) {
        const char *const names[] = { s->host_dashed, s->host };

        for (size_t i = 0; i < ELEMENTSOF(names) && s->host && !is_word(before); i++) {
                size_t n = strlen(names[i]);

                if (strncasecmp(at, names[i], n) != 0 || is_word(at[n]))
                        continue;
                /* Its domain tells as much. */
                while (at[n] == '.' && is_word(at[n + 1]))
                        n += 1 +
                                        strspn(at + n + 1,
                                               "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-");
                fputs("host", out);
                return (ssize_t) n;
        }
        return 0;
}

/* The order matters: a URL's host before its parts. */
static const Matcher matchers[] = { match_url,       match_home, match_disk, match_uuid, match_volume,
                                    match_interface, match_mac,  match_ip,   match_host, match_user };

int scrub_text(Scrub *s, const char *text, char **ret) {
        _cleanup_(memstream_done) Memstream m = {};
        FILE *out = memstream_open(&m);
        char before = '\n';
        int r = 0;

        if (!out)
                return -ENOMEM;
        while (*text && r >= 0) {
                ssize_t n = 0;

                for (size_t i = 0; i < ELEMENTSOF(matchers) && n == 0; i++)
                        n = matchers[i](s, text, before, out);
                if (n == 0)
                        fputc(*text, out);
                r = (int) MIN(n, 0);
                text += MAX(n, 1);
                before = text[-1];
        }
        return r < 0 ? r : memstream_close(&m, ret, NULL);
}
