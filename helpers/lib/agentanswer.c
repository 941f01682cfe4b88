/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <arpa/inet.h>

#include "agentanswer.h"
#include "json.h"
#include "strv.h"

enum { SEXTET = 6, BYTE = 8, SIGNAL_BASE = 128, STATUS_MAX = 255 };

static int sextet(char c) {
        static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        const char *p = c ? strchr(digits, c) : NULL;

        return p ? (int) (p - digits) : -1;
}

static char readable(unsigned byte) {
        return (byte >= ' ' && byte < 0x7f) || byte == '\n' || byte == '\t' ? (char) byte : '?';
}

/* base64 up to its padding, or what the text may have. */
static int decode(const char *s, char **ret) {
        size_t size = MIN(strlen(s), (size_t) AGENT_TEXT_MAX), n = 0;
        _cleanup_free_ char *text = malloc(size + 1);
        unsigned bits = 0, kept = 0;

        if (!text)
                return -ENOMEM;
        for (; *s && *s != '=' && n < size; s++) {
                int v = sextet(*s);

                if (v < 0)
                        return -EBADMSG;
                bits = bits << SEXTET | (unsigned) v;
                kept += SEXTET;
                if (kept < BYTE)
                        continue;
                kept -= BYTE;
                text[n++] = readable(bits >> kept & UINT8_MAX);
        }
        text[n] = '\0';
        *ret = TAKE_PTR(text);
        return 0;
}

static int get_number(json_object *o, int64_t *ret) {
        if (!json_object_is_type(o, json_type_int))
                return -EBADMSG;
        *ret = json_object_get_int64(o);
        return 0;
}

/* A text that is not there is an empty one: qemu-ga leaves it out. */
static int get_text(json_object *o, const char *key, char **ret) {
        return decode(json_text(o, key), ret);
}

int agentanswer_handle(const char *json, int64_t *ret) {
        _cleanup_json_ json_object *o = json_tokener_parse(json);

        return get_number(json_member(o, "return", json_type_int), ret);
}

int agentanswer_pid(const char *json, int64_t *ret) {
        _cleanup_json_ json_object *o = json_tokener_parse(json);

        return get_number(json_member(json_member(o, "return", json_type_object), "pid", json_type_int), ret);
}

int agentanswer_text(const char *json, char **ret) {
        _cleanup_json_ json_object *o = json_tokener_parse(json);
        json_object *value = json_member(o, "return", json_type_object);

        return value ? get_text(value, "buf-b64", ret) : -EBADMSG;
}

/* Bits of an address, or 0 for what is none. */
static int count_bits(const char *text) {
        uint8_t raw[sizeof(struct in6_addr)];

        if (inet_pton(AF_INET, text, raw) == 1)
                return 32;
        return inet_pton(AF_INET6, text, raw) == 1 ? 128 : 0;
}

static int add_address(json_object *o, char ***l) {
        const char *address = json_text(o, "ip-address");
        int64_t prefix = json_object_get_int64(json_member(o, "prefix", json_type_int));
        int bits = count_bits(address);

        if (bits == 0)
                return 0;
        if (prefix <= 0 || prefix > bits)
                return strv_extend(l, address);
        return strv_extendf(l, "%s/%d", address, (int) prefix);
}

int agentanswer_addresses(const char *json, char ***ret) {
        _cleanup_json_ json_object *o = json_tokener_parse(json);
        _cleanup_strv_ char **l = NULL;

        if (!json_member(o, "return", json_type_array))
                return -EBADMSG;
        for (size_t i = 0; i < json_length(o, "return"); i++) {
                json_object *interface = json_item(o, "return", i);

                if (streq(json_text(interface, "name"), "lo"))
                        continue;
                for (size_t k = 0; k < json_length(interface, "ip-addresses"); k++)
                        if (strv_length(l) < AGENT_ADDRESSES_MAX &&
                            add_address(json_item(interface, "ip-addresses", k), &l) < 0)
                                return -ENOMEM;
        }
        *ret = TAKE_PTR(l);
        return 0;
}

int agentanswer_end(const char *json, int *ret_status, char **ret_text) {
        _cleanup_json_ json_object *o = json_tokener_parse(json);
        json_object *value = json_member(o, "return", json_type_object), *exited, *number;
        int64_t status;
        int r;

        exited = json_member(value, "exited", json_type_boolean);
        if (!exited)
                return -EBADMSG;
        if (!json_object_get_boolean(exited))
                return 0;
        number = json_member(value, "signal", json_type_int);
        r = get_number(number ?: json_member(value, "exitcode", json_type_int), &status);
        if (r < 0)
                return r;
        status += number ? SIGNAL_BASE : 0;
        if (status < 0 || status > STATUS_MAX)
                return -EBADMSG;
        r = get_text(value, "out-data", ret_text);
        if (r < 0)
                return r;
        *ret_status = (int) status;
        return 1;
}
