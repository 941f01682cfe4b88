/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "guestfilter.h"
#include "bus.h"
#include "child.h"
#include "confvalid.h"
#include "fs.h"
#include "xml.h"

#define NFT          "/usr/sbin/nft"
#define TABLE        "inet gpuvm"
#define NETWORK_PATH "/etc/libvirt/qemu/networks/default.xml"
#define BRIDGE       "virbr0" /* as libvirt's own definition has it */
#define LOADER       "gpuvm-bridge-forward.service"

enum { NFT_SEC = 20, LOADER_SEC = 60 };

/* Whether it is there or not: then it is gone, and made anew, in one transaction. */
#define FRESH "table " TABLE "\ndelete table " TABLE "\n"

static int add_rules(const char *ports, char **ret) {
        _cleanup_strv_ char **words = NULL;
        _cleanup_free_ char *rules = NULL;
        int r = strv_split(ports, " ,", &words);

        STRV_FOREACH(w, words) {
                char *t;

                if (r >= 0)
                        r = str_printf(&t, "%s                %.3s dport %s accept\n", strempty(rules), *w,
                                       *w + strlen("tcp/"));
                if (r < 0)
                        return r;
                free(rules);
                rules = t;
        }
        *ret = TAKE_PTR(rules);
        return MIN(r, 0);
}

int guestfilter_text(const char *ports, const char *bridge, char **ret) {
        static const char head[] = "# Written by gpuvm, from GuestToHost= in [Network] of gpuvm.conf(5);\n"
                                   "# 'gpuvm-undo storage' takes it back.\n" FRESH;
        _cleanup_free_ char *rules = NULL;
        int r;

        if (streq(ports, "all"))
                return str_printf(ret, "%s", head);
        r = streq(ports, "none") ? 0 : add_rules(ports, &rules);
        if (r < 0)
                return r;
        return str_printf(ret,
                          "%stable " TABLE " {\n"
                          "        chain input {\n"
                          "                type filter hook input priority filter; policy accept;\n"
                          "                iifname != \"%s\" accept\n"
                          "                ct state established,related accept\n"
                          "                meta l4proto { icmp, ipv6-icmp } accept\n"
                          "                udp dport { 53, 67, 547 } accept\n"
                          "                tcp dport 53 accept\n"
                          "%s                reject with icmpx admin-prohibited\n"
                          "        }\n"
                          "}\n",
                          head, bridge, strempty(rules));
}

/* An administrator may have given it another one. */
static int find_bridge(int root, char **ret) {
        _cleanup_xml_doc_ XmlDoc *d = NULL;
        _cleanup_free_ char *text = NULL;
        const char *name = NULL;

        if (fs_read(root, NETWORK_PATH, XML_SIZE_MAX, &text, NULL) >= 0 && xml_read(text, &d) >= 0)
                name = xml_attribute(xml_child(xml_root(d), "bridge"), "name");
        *ret = strdup(name && confvalid_interface(name) ? name : BRIDGE);
        return *ret ? 0 : -ENOMEM;
}

static void on_stderr(const char *line, void *userdata) {
        log_debug("%s", line);
}

static int nft(Phase *p, const char *a, const char *b, const char *c, const char *d) {
        return child_run(&(const Child){ PHASE_CHILD(p),
                                         .argv = (const char *const[]){ NFT, a, b, c, d, NULL },
                                         .timeout_usec = NFT_SEC * USEC_PER_SEC, .on_stderr = on_stderr });
}

int guestfilter_load(Phase *p) {
        _cleanup_free_ char *path = NULL;
        int r;

        r = fs_exists(p->root, GUESTFILTER_PATH);
        if (r <= 0)
                return r < 0 ? phase_fail(p, r, "Look at it", "Cannot read " GUESTFILTER_PATH) : 0;
        r = str_printf(&path, "%s" GUESTFILTER_PATH, strempty(p->root_path));
        if (r < 0)
                return log_oom();
        r = nft(p, "-f", path, NULL, NULL);
        if (r == -ENOENT)
                return phase_fail(p, 0, "Install it: 'apt-get install nftables', or set GuestToHost=all",
                                  "There is no " NFT " to keep guests from the host's ports");
        return r != 0 ? phase_fail(p, MIN(r, 0), "See what '" NFT " -f " GUESTFILTER_PATH "' says",
                                   "Guests cannot be kept from the host's ports")
                      : 0;
}

/* In the unit that does it at each boot: what works there now, works then. */
static int have_loaded(Phase *p) {
        _cleanup_bus_ Bus *b = NULL;
        int r;

        if (!fs_is_host(p->root))
                return 0;
        r = bus_open(&b);
        if (r >= 0)
                r = bus_start_unit(b, LOADER, LOADER_SEC * USEC_PER_SEC, phase_alive, p);
        return r < 0 ? phase_fail(p, r, "See 'journalctl -u " LOADER "', or set GuestToHost=all",
                                  "Guests cannot be kept from the host's ports by " LOADER)
                     : 0;
}

int guestfilter_put(Phase *p, Undo *u, const Conf *c) {
        _cleanup_free_ char *bridge = NULL, *text = NULL, *now = NULL;
        int r;

        r = fs_read(p->root, GUESTFILTER_PATH, FS_FILE_MAX, &now, NULL);
        if (r == -ENOENT && streq(c->guest_to_host, "all"))
                return 0;
        r = find_bridge(p->root, &bridge);
        if (r >= 0)
                r = guestfilter_text(c->guest_to_host, bridge, &text);
        if (r < 0)
                return log_oom();
        if (streq_ptr(now, text))
                return 0;
        r = phase_change(p, "write", GUESTFILTER_PATH, "guests on %s reach of the host: %s", bridge,
                         c->guest_to_host);
        if (r <= 0)
                return r < 0 ? log_oom() : 0;
        r = undo_record_refresh(u, "guests");
        if (r >= 0)
                r = undo_write_file(u, GUESTFILTER_PATH, text, strlen(text), 0644);
        if (r < 0)
                return phase_fail(p, r, "See that " STATE_DIR " can be written.",
                                  "Cannot write '" GUESTFILTER_PATH "'");
        return have_loaded(p);
}

void guestfilter_drop(Phase *p) {
        int r = phase_change(p, "remove", TABLE, "guests reach the host's ports again");

        if (r > 0)
                r = nft(p, "delete", "table", "inet", "gpuvm");
        if (r < 0 && r != -ENOENT)
                phase_note(p, "The table stays until the next start: 'nft delete table " TABLE "'");
}
