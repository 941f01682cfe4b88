/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Virtroute: what it comes to that a machine is not reached, there and back through a record. */

#include "tests/tap.h"
#include "virtroute.h"

static VirtRoutes parse(const char *text) {
        _cleanup_json_ json_object *o = json_tokener_parse(text);
        VirtRoutes l = {};

        ASSERT_EQ(virtroute_from_json(o, &l), 0);
        return l;
}

#define GAP(address, tap, route, proxy)                                                                      \
        "{\"machine\": \"web\", \"address\": \"" address "\", \"interface\": \"" tap "\", \"route\": " route \
        ", \"proxy\": " proxy "}"

TEST(what_is_missing) {
        static const struct {
                const char *text, *want;
        } rows[] = {
                { GAP("192.0.2.20", "vnet0", "false", "true"),
                  "is not reached at 192.0.2.20: the host has no route to it" },
                { GAP("192.0.2.20", "vnet0", "true", "false"),
                  "is not reached at 192.0.2.20: the host does not answer for it" },
                { GAP("192.0.2.20", "vnet0", "false", "false"),
                  "is not reached at 192.0.2.20: the host has no route to it, and does not answer for it" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(virtroutes_done) VirtRoutes l = {}, again = {};
                _cleanup_(findings_done) Findings found = {};
                _cleanup_json_ json_object *o = NULL;
                char text[400];

                (void) snprintf(text, sizeof(text), "{\"wanted\": 2, \"gaps\": [%s]}", rows[i].text);
                l = parse(text);
                ASSERT_EQ(virtroute_to_json(&l, &o), 0);
                again = parse(json_object_to_json_string(o));
                ASSERT(again.known);
                ASSERT_EQ(again.wanted, 2);
                ASSERT_EQ(virtroute_judge(&again, "route", &found), 0);
                ASSERT_EQ(found.n, 1);
                ASSERT_EQ(found.items[0].level, FINDING_FAIL);
                ASSERT_STREQ(found.items[0].object, "web");
                ASSERT_STREQ(found.items[0].text, rows[i].want);
                ASSERT_STREQ(found.items[0].fix, "sudo systemctl restart gpuvm-route@vnet0.service");
        }
}

/* A record is somebody's word: it goes into a command. */
TEST(what_is_none) {
        static const char *const wrong[] = { GAP("a", "vnet0", "false", "true"),
                                             GAP("192.0.2.20", "a b", "false", "true"),
                                             GAP("192.0.2.20", "$(x)", "false", "true"), "7" };

        for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
                _cleanup_(virtroutes_done) VirtRoutes l = {};
                char text[400];

                (void) snprintf(text, sizeof(text), "{\"wanted\": 1, \"gaps\": [%s]}", wrong[i]);
                l = parse(text);
                ASSERT(l.known);
                ASSERT_EQ(l.n, 0);
        }
        ASSERT(!parse("{\"error\": -110}").known);
        ASSERT(!parse("{}").known);
}
