/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "netifupdown.h"
#include "fs.h"
#include "memstream.h"
#include "strv.h"

#include <ctype.h>

#define ROUTED_FILE "/etc/network/interfaces.d/gpuvm-%s"

/* Words that begin another stanza, interfaces(5). "allow-" and "auto" name interfaces behind them. */
#define STANZA_WORDS "iface mapping source source-directory rename template no-auto-down no-scripts"
/* Commands about the network, that follow the addresses; what else names the uplink means the card. */
#define IP_COMMANDS   "ip /sbin/ip /bin/ip /usr/sbin/ip /usr/bin/ip route /sbin/route /usr/sbin/route"
#define CARD_COMMANDS "ethtool /sbin/ethtool /usr/sbin/ethtool"
#define METHODS       "static dhcp auto manual"
#define HOOKS         "up post-up pre-up down pre-down post-down"

#define MOVED_HEAD "# gpuvm-bridge(8) made %s of %s; 'gpuvm-bridge revert' takes it back.\n"

/* Options about the card, by how they begin. */
static const char *const card_options[] = { "bond",     "slaves",    "vlan",      "ethernet-", "link-",
                                            "offload-", "hwaddress", "hardware-", "driver-" };

enum { WORDS = 4 }; /* of a line, that are looked at */

typedef struct Line {
        const char *text; /* whole, without its newline */
        int length;
        const char *words[WORDS];
        int lengths[WORDS]; /* 0: no such word */
} Line;

static void read_line(const char *text, Line *ret) {
        const char *p = text, *end = text + strcspn(text, "\n");

        *ret = (Line){ .text = text, .length = (int) (end - text) };
        for (size_t i = 0; i < WORDS; i++) {
                while (p < end && isblank((unsigned char) *p))
                        p++;
                ret->words[i] = p;
                while (p < end && !isblank((unsigned char) *p))
                        p++;
                ret->lengths[i] = (int) (p - ret->words[i]);
        }
}

static bool word_is(const Line *l, size_t i, const char *word) {
        return l->lengths[i] == (int) strlen(word) && strncmp(l->words[i], word, (size_t) l->lengths[i]) == 0;
}

static bool word_is_one_of(const Line *l, size_t i, const char *list) {
        char word[64];

        if (l->lengths[i] == 0 || l->lengths[i] >= (int) sizeof(word))
                return false;
        (void) snprintf(word, sizeof(word), "%.*s", l->lengths[i], l->words[i]);
        return netfile_is_one_of(word, list);
}

static bool word_starts_with(const Line *l, size_t i, const char *prefix) {
        return l->lengths[i] >= (int) strlen(prefix) && strncmp(l->words[i], prefix, strlen(prefix)) == 0;
}

/* "auto", "allow-hotplug" and others of "allow-". */
static bool names_interfaces(const Line *l) {
        return word_is(l, 0, "auto") || word_starts_with(l, 0, "allow-");
}

static bool begins_stanza(const Line *l) {
        return names_interfaces(l) || word_is_one_of(l, 0, STANZA_WORDS);
}

static bool is_part_of_name(char c) {
        return isalnum((unsigned char) c) || strchr("._-:@", c);
}

/* The next place at which the name stands as a word of its own, in shell's sense, or NULL. */
static const char *find_name(const char *p, const char *end, const char *name) {
        size_t n = strlen(name);

        for (const char *q = p; q + n <= end; q++)
                if (strncmp(q, name, n) == 0 && (q == p || !is_part_of_name(q[-1])) &&
                    (q + n == end || !is_part_of_name(q[n])))
                        return q;
        return NULL;
}

static void put_renamed(FILE *f, const Line *l, const char *from, const char *to) {
        const char *p = l->text, *end = l->text + l->length, *q;

        while ((q = find_name(p, end, from))) {
                fprintf(f, "%.*s%s", (int) (q - p), p, to);
                p = q + strlen(from);
        }
        fprintf(f, "%.*s\n", (int) (end - p), p);
}

static void put_line(FILE *f, const Line *l) {
        fprintf(f, "%.*s\n", l->length, l->text);
}

typedef enum Kind {
        KIND_OTHER,   /* of no stanza of the uplink */
        KIND_NAMES,   /* "auto eth0 eth1" */
        KIND_HEADER,  /* "iface eth0 inet static" */
        KIND_MOVED,   /* goes to the bridge's stanza */
        KIND_RENAMED, /* the same, and names the bridge instead of the uplink */
        KIND_CARD,    /* goes to the card's stanza */
        KIND_BOTH,
        KIND_REFUSED,
} Kind;

/* A line inside a stanza of the uplink. */
static Kind classify_option(const Line *l, const char *uplink) {
        bool named = find_name(l->text, l->text + l->length, uplink);

        if (l->lengths[0] == 0 || *l->words[0] == '#')
                return KIND_MOVED;
        if (l->text[l->length - 1] == '\\' || word_starts_with(l, 0, "bridge") ||
            word_starts_with(l, 0, "wpa") || word_starts_with(l, 0, "wireless"))
                return KIND_REFUSED;
        if (word_is_one_of(l, 0, HOOKS)) {
                if (word_is_one_of(l, 1, CARD_COMMANDS))
                        return KIND_CARD;
                return !named ? KIND_MOVED : word_is_one_of(l, 1, IP_COMMANDS) ? KIND_RENAMED : KIND_REFUSED;
        }
        if (word_is(l, 0, "mtu"))
                return KIND_BOTH;
        for (size_t i = 0; i < ELEMENTSOF(card_options); i++)
                if (word_starts_with(l, 0, card_options[i]))
                        return KIND_CARD;
        return named ? KIND_REFUSED : KIND_MOVED;
}

/* ours: the line before was in a stanza of the uplink, and says whether this one is. */
static Kind classify(const Line *l, const char *uplink, bool *ours) {
        size_t n = strlen(uplink);

        if (!begins_stanza(l))
                return *ours ? classify_option(l, uplink) : KIND_OTHER;
        *ours = false;
        if (names_interfaces(l))
                return KIND_NAMES;
        if (!word_is(l, 0, "iface"))
                return find_name(l->text, l->text + l->length, uplink) ? KIND_REFUSED : KIND_OTHER;
        /* "eth0:1" is another address of the uplink, by another name. */
        if (word_starts_with(l, 1, uplink) && l->lengths[1] > (int) n && l->words[1][n] == ':')
                return KIND_REFUSED;
        if (!word_is(l, 1, uplink))
                return KIND_OTHER;
        *ours = true;
        return word_is_one_of(l, 2, "inet inet6") && word_is_one_of(l, 3, METHODS) &&
                                        l->words[3] + l->lengths[3] == l->text + l->length
                        ? KIND_HEADER
                        : KIND_REFUSED;
}

#define FOREACH_LINE(l, t)                                                \
        for (const char *p_ = (t); p_ && *p_ && (read_line(p_, l), true); \
             p_ = strchr(p_, '\n'), p_ = p_ ? p_ + 1 : NULL)

/* Looks at all lines first: for what cannot be moved, and for what the card's stanza needs. */
static int scan(const NetWish *w, const char *current, char ***card, unsigned *stanzas, char **ret_reason) {
        bool ours = false;
        Line l;

        FOREACH_LINE(&l, current) {
                Kind k = classify(&l, w->uplink, &ours);
                int r = 0;

                if (k == KIND_REFUSED)
                        return netfile_refuse(ret_reason, "/etc/network/interfaces has '%.*s'",
                                              (int) (l.text + l.length - l.words[0]), l.words[0]);
                *stanzas += k == KIND_HEADER;
                if (k == KIND_CARD || k == KIND_BOTH)
                        r = strv_extendf(card, "%.*s", (int) (l.text + l.length - l.words[0]), l.words[0]);
                if (r < 0)
                        return r;
        }
        return *stanzas > 0 ? 0 : netfile_refuse(ret_reason, "it has no stanza there");
}

/* Without the uplink, and not at all if nothing else is left. */
static int put_names(FILE *f, const Line *l, const char *uplink) {
        _cleanup_free_ char *text = strndup(l->text, (size_t) l->length), *rest = NULL;
        _cleanup_strv_ char **names = NULL, **kept = NULL;
        int r;

        if (!text)
                return -ENOMEM;
        r = strv_split(text, " \t", &names);
        STRV_FOREACH(n, names)
                if (r >= 0 && !streq(*n, uplink))
                        r = strv_extend(&kept, *n);
        rest = r >= 0 ? strv_join(kept, " ") : NULL;
        if (!rest)
                return -ENOMEM;
        if (strv_length(kept) > 1)
                fprintf(f, "%s\n", rest);
        return 0;
}

/* The card without addresses, and the bridge before its first one: with the card's MAC address, and without
 * the time for which a port waits. What is there already is no error: each family has its ifup. */
static void put_first(FILE *f, const NetWish *w, char *const *card, const Line *l) {
        fprintf(f, MOVED_HEAD "auto %s %s\niface %s inet manual\n", w->bridge, w->uplink, w->uplink,
                w->bridge, w->uplink);
        STRV_FOREACH(c, card)
                fprintf(f, "    %s\n", *c);
        fputc('\n', f);
        put_renamed(f, l, w->uplink, w->bridge);
        fprintf(f,
                "    pre-up ip link add name %s address %s type bridge stp_state 0 forward_delay 0 || true\n",
                w->bridge, net_mac_to_string(w->mac));
        fprintf(f, "    pre-up ip link set dev %s master %s\n", w->uplink, w->bridge);
}

static int put(FILE *f, const NetWish *w, const char *current, char *const *card, unsigned stanzas) {
        bool ours = false;
        unsigned n = 0;
        int r = 0;
        Line l;

        FOREACH_LINE(&l, current) {
                Kind k = classify(&l, w->uplink, &ours);

                if (k == KIND_NAMES)
                        r = put_names(f, &l, w->uplink);
                else if (k == KIND_HEADER && n++ == 0)
                        put_first(f, w, card, &l);
                else if (k == KIND_HEADER || k == KIND_RENAMED)
                        put_renamed(f, &l, w->uplink, w->bridge);
                else if (k != KIND_CARD)
                        put_line(f, &l);
                if (k == KIND_HEADER && n == stanzas)
                        fprintf(f, "    post-down ip link delete dev %s || true\n", w->bridge);
                if (r < 0)
                        return r;
        }
        return 0;
}

int netifupdown_make(const NetWish *w, const char *path, mode_t mode, const char *current, NetFiles *ret,
                     char **ret_reason) {
        _cleanup_(memstream_done) Memstream m = {};
        _cleanup_strv_ char **card = NULL;
        unsigned stanzas = 0;
        char *text;
        int r;

        r = scan(w, current, &card, &stanzas, ret_reason);
        if (r != 0)
                return r;
        if (!memstream_open(&m))
                return -ENOMEM;
        r = put(m.file, w, current, card, stanzas);
        if (r < 0 || memstream_close(&m, &text, NULL) < 0)
                return -ENOMEM;
        *ret = (NetFiles){};
        return netfiles_add(ret, text, mode, "%s", path);
}

int netifupdown_make_routed(const NetWish *w, const char *current, NetFiles *ret, char **ret_reason) {
        char *text = NULL;
        int r;

        if (!strstr(current, "/etc/network/interfaces.d"))
                return netfile_refuse(ret_reason,
                                      "/etc/network/interfaces does not read /etc/network/interfaces.d");
        r = str_printf(&text,
                       NETFILE_HEAD
                       "auto %s\niface %s inet static\n    address %s\n"
                       "    pre-up ip link add name %s type bridge stp_state 0 forward_delay 0 || true\n"
                       "    post-down ip link delete dev %s || true\n",
                       w->bridge, w->bridge, w->address, w->bridge, w->bridge);
        if (r < 0)
                return r;
        *ret = (NetFiles){};
        return netfiles_add(ret, text, 0644, ROUTED_FILE, w->bridge);
}
