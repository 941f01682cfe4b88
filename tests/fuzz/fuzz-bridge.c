/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Bridge: its state, and the files of each network's owner. */

#include "bridge.h"
#include "netifupdown.h"
#include "netkeyfile.h"
#include "netnetworkd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds) {
        if (!holds)
                abort();
}

static void check_state(const char *data, size_t size) {
        _cleanup_(bridge_done) BridgeState s = {}, again = {};
        _cleanup_free_ char *once = NULL, *twice = NULL;

        if (bridge_parse(data, size, &s) < 0)
                return;
        check(bridge_format(&s, &once) == 0);
        check(bridge_parse(once, strlen(once), &again) == 0);
        check(bridge_format(&again, &twice) == 0 && streq(once, twice));
}

/* Either files, or a reason; and files where an owner has his. */
static void check_made(int r, NetFiles *f, char *reason) {
        check(r == 0 ? f->n > 0 && !reason : r == NETFILE_REFUSED && reason && f->n == 0);
        for (size_t i = 0; i < f->n; i++)
                check(startswith(f->items[i].path, "/etc/") && f->items[i].text);
        netfiles_done(f);
        free(reason);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const uint8_t mac[6] = { 2 };
        const NetWish w = { .bridge = "br0",
                            .uplink = "eth0",
                            .mac = mac,
                            .mtu = 1500,
                            .client_id = "ff01020304" };
        char *text = strndup((const char *) data, size), *reason = NULL;
        NetFiles f = {};
        int r;

        check(text);
        check_state((const char *) data, size);
        r = netnetworkd_make(&w, "10-a.network", text, &f, &reason);
        check_made(r, &f, reason);
        reason = NULL;
        r = netkeyfile_make(&w, text, &f, &reason);
        check_made(r, &f, reason);
        reason = NULL;
        r = netifupdown_make(&w, "/etc/network/interfaces", 0644, text, &f, &reason);
        check_made(r, &f, reason);
        check(!netowner_has_stanza(text, "eth0") || strstr(text, "iface"));
        free(text);
        return 0;
}
