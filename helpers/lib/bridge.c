/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "bridge.h"
#include "confvalid.h"
#include "fs.h"
#include "ledger.h"
#include "reboot.h"
#include "restore.h"
#include "strv.h"

#include <sys/file.h>

#define HEADER    "gpuvm-bridge 1"
#define LOCK_PATH "/run/gpuvm/bridge.lock"

enum {
        STATE_MAX = 16 * 1024,
        FIXED_LINES = 9, /* the header and eight values */
        ZONE_MAX = 64,   /* characters of a zone's name */
};

static const char *const stages[] = { "armed", "changing", "changed", "reverting", "kept" };
static const char *const owners[] = { "none", "NetworkManager", "networkd", "netplan", "ifupdown" };

const char *bridge_stage_to_string(BridgeStage s) {
        return (size_t) s < ELEMENTSOF(stages) ? stages[s] : NULL;
}

void bridge_done(BridgeState *s) {
        free(s->boot_id);
        free(s->uplink);
        free(s->bridge);
        free(s->profile);
        strv_free(s->files);
        free(s->zone);
        *s = (BridgeState){};
}

static int find(const char *const *names, size_t n, const char *name) {
        for (size_t i = 0; name && i < n; i++)
                if (streq(names[i], name))
                        return (int) i;
        return -EBADMSG;
}

/* Where a network's owner has his files, and nowhere else: this is about to be written to. */
static bool is_network_file(const char *path) {
        static const char *const below[] = { "/etc/systemd/network/",
                                             "/etc/NetworkManager/system-connections/",
                                             "/etc/network/interfaces", "/etc/sysctl.d/" };

        if (!confvalid_path(path) || strstr(path, "/."))
                return false;
        for (size_t i = 0; i < ELEMENTSOF(below); i++)
                if (startswith(path, below[i]))
                        return true;
        return false;
}

static bool is_profile(const char *s) {
        return streq(s, "-") || reboot_boot_id_is_valid(s); /* a UUID, as that is */
}

/* Not there as long as firewalld has no part in it. Returns 1 if it was this line. */
static int parse_zone(const char *line, BridgeState *s) {
        const char *text = startswith(line, "zone "), *more;
        size_t n;

        if (!text)
                return 0;
        n = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-");
        more = text + n;
        if (n == 0 || n > ZONE_MAX || (*more && !streq(more, " uplink")))
                return -EBADMSG;
        s->zone = strndup(text, n);
        s->zone_uplink = *more;
        return s->zone ? 1 : -ENOMEM;
}

static int parse_files(char *const *lines, size_t n, BridgeState *s) {
        if (n == 0)
                return -EBADMSG;
        for (size_t i = 0; i < n; i++) {
                const char *path = startswith(lines[i], "file ");

                if (!path || !is_network_file(path) || (s->files && strv_contains(s->files, path)))
                        return -EBADMSG;
                if (strv_extend(&s->files, path) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static int parse_lines(char *const *lines, BridgeState *s) {
        static const char *const modes[] = { "bridged", "routed" }, *const answers[] = { "no", "yes" };
        size_t n = strv_length(lines);
        const char *boot, *uplink, *bridge, *profile;
        int stage, owner, mode, forwarding, zone;

        if (n < FIXED_LINES + 2 || n > FIXED_LINES + BRIDGE_FILES_MAX + 2 || !streq(lines[0], HEADER) ||
            !streq(lines[n - 1], "end"))
                return -EBADMSG;
        boot = startswith(lines[1], "boot ");
        stage = find(stages, ELEMENTSOF(stages), startswith(lines[2], "stage "));
        owner = find(owners, ELEMENTSOF(owners), startswith(lines[3], "owner "));
        mode = find(modes, ELEMENTSOF(modes), startswith(lines[4], "mode "));
        forwarding = find(answers, ELEMENTSOF(answers), startswith(lines[5], "forwarding "));
        uplink = startswith(lines[6], "uplink ");
        bridge = startswith(lines[7], "bridge ");
        profile = startswith(lines[8], "profile ");
        if (!boot || !reboot_boot_id_is_valid(boot) || stage < 0 || owner <= 0 || mode < 0 ||
            forwarding < 0 || !uplink || !confvalid_interface(uplink) || !bridge ||
            !confvalid_interface(bridge) || !profile || !is_profile(profile))
                return -EBADMSG;
        s->stage = (BridgeStage) stage;
        s->owner = (NetOwner) owner;
        s->routed = mode;
        s->forwarding = forwarding;
        s->boot_id = strdup(boot);
        s->uplink = strdup(uplink);
        s->bridge = strdup(bridge);
        s->profile = streq(profile, "-") ? NULL : strdup(profile);
        if (!s->boot_id || !s->uplink || !s->bridge || (!streq(profile, "-") && !s->profile))
                return -ENOMEM;
        zone = parse_zone(lines[FIXED_LINES], s);
        if (zone < 0)
                return zone;
        return parse_files(lines + FIXED_LINES + zone, n - FIXED_LINES - zone - 1, s);
}

int bridge_parse(const char *text, size_t size, BridgeState *ret) {
        _cleanup_(bridge_done) BridgeState s = {};
        _cleanup_strv_ char **lines = NULL;
        int r;

        r = strv_split_whole(text, size, STATE_MAX, &lines);
        if (r >= 0)
                r = parse_lines(lines, &s);
        if (r < 0)
                return r;
        *ret = s;
        s = (BridgeState){};
        return 0;
}

int bridge_format(const BridgeState *s, char **ret) {
        _cleanup_free_ char *files = NULL, *zone = NULL;

        if (s->zone && str_printf(&zone, "zone %s%s\n", s->zone, s->zone_uplink ? " uplink" : "") < 0)
                return -ENOMEM;
        STRV_FOREACH(f, s->files) {
                char *t;

                if (str_printf(&t, "%sfile %s\n", strempty(files), *f) < 0)
                        return -ENOMEM;
                free(files);
                files = t;
        }
        return str_printf(
                        ret,
                        HEADER
                        "\nboot %s\nstage %s\nowner %s\nmode %s\nforwarding %s\nuplink %s\nbridge %s\nprofile %s\n%s%send\n",
                        strna(s->boot_id), stages[s->stage], owners[s->owner],
                        s->routed ? "routed" : "bridged", s->forwarding ? "yes" : "no", strna(s->uplink),
                        strna(s->bridge), s->profile ?: "-", strempty(zone), strempty(files));
}

static int load(int root, const char *path, BridgeState *ret) {
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r;

        r = fs_read(root, path, STATE_MAX, &text, &size);
        if (r == -ENOENT) {
                *ret = (BridgeState){};
                return 0;
        }
        if (r >= 0)
                r = bridge_parse(text, size, ret);
        return r < 0 ? r : 1;
}

int bridge_load(int root, BridgeState *ret) {
        int r = load(root, BRIDGE_PENDING, ret);

        return r != 0 ? r : load(root, BRIDGE_KEPT_AT, ret);
}

int bridge_save(int root, const BridgeState *s) {
        bool kept = s->stage == BRIDGE_KEPT;
        _cleanup_free_ char *text = NULL;
        int r;

        r = bridge_format(s, &text);
        if (r >= 0)
                r = fs_write_atomic(root, kept ? BRIDGE_KEPT_AT : BRIDGE_PENDING, text, strlen(text), 0644);
        /* Until this one is gone the change is not kept, and is taken back. */
        if (r >= 0 && kept)
                r = fs_remove(root, BRIDGE_PENDING);
        return MIN(r, 0);
}

int bridge_forget(int root) {
        int r = fs_remove(root, BRIDGE_KEPT_AT);

        if (r >= 0)
                r = fs_remove(root, BRIDGE_PENDING);
        return MIN(r, 0);
}

bool bridge_is_kept(const BridgeState *s, const char *bridge) {
        return s->boot_id && s->stage == BRIDGE_KEPT && streq(s->bridge, bridge);
}

int bridge_lock(int root, uint64_t timeout_usec) {
        uint64_t end = monotonic_usec() + timeout_usec;
        int fd, r;

        r = fs_mkdir_p(root, "/run/gpuvm", 0755);
        fd = r < 0 ? r : fs_open(root, LOCK_PATH, O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
        while (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0) {
                r = errno == EWOULDBLOCK && monotonic_usec() >= end ? -ETIMEDOUT : -errno;
                if (r != -EWOULDBLOCK && r != -EINTR) {
                        (void) safe_close(fd);
                        return r;
                }
                (void) usleep(50 * USEC_PER_MSEC);
        }
        return fd;
}

int bridge_advance(int root, BridgeState *s, BridgeStage from, BridgeStage to) {
        _cleanup_(bridge_done) BridgeState now = {};
        BridgeStage old = s->stage;
        int r;

        r = bridge_load(root, &now);
        if (r < 0)
                return r;
        if (r == 0 || !streq(now.boot_id, s->boot_id) || (now.stage != from && now.stage != to))
                return -ESTALE;
        s->stage = to;
        r = bridge_save(root, s);
        if (r < 0)
                s->stage = old;
        return r;
}

static char *const step_of_ours[] = { (char *) BRIDGE_STEP, NULL };

int bridge_find_changed(int root, const BridgeState *s, const char **ret_path) {
        _cleanup_(ledger_done) Ledger l = {};
        const char *path = NULL;
        int r;

        r = ledger_load(root, &l);
        if (r < 0)
                return r;
        STRV_FOREACH(f, s->files) {
                const LedgerRecord *t = restore_target(&l, step_of_ours, *f);
                RestoreState state = RESTORE_DONE;
                const char *other = NULL;

                r = t ? restore_look(root, &l, step_of_ours, t, &state, &other) : 0;
                if (r < 0)
                        return r;
                if (!path && (state == RESTORE_CHANGED || state == RESTORE_OTHER))
                        path = *f;
        }
        *ret_path = path;
        return 0;
}

/* objects: of which; NULL: all. */
static int forget_kind(int root, const Ledger *l, const char *kind, char *const *objects) {
        for (size_t i = 0; i < l->n; i++) {
                const LedgerRecord *rec = &l->records[i];
                int r;

                if (!streq(rec->step, BRIDGE_STEP) || !streq(rec->kind, kind) ||
                    (objects && !strv_contains(objects, rec->object)))
                        continue;
                /* A directory that we made, unless somebody uses it now. */
                r = streq(kind, "dir") ? restore_dir(root, rec->object) : 0;
                if (r >= 0)
                        r = ledger_remove(root, rec->name);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* What we wrote goes last: a file record alone would no longer know our bytes. */
static int forget_records(int root, const Ledger *l, const BridgeState *s) {
        int r = forget_kind(root, l, "file", s->files);

        if (r >= 0)
                r = forget_kind(root, l, "wrote", s->files);
        if (r >= 0)
                r = forget_kind(root, l, "dir", NULL);
        return r < 0 ? r : forget_kind(root, l, "refresh", NULL);
}

/* Whatever happened to its record: a file of this name is nobody else's. */
static bool is_ours_by_name(const char *path) {
        return strstr(path, "/00-gpuvm-") || strstr(path, "/gpuvm-") || strstr(path, "/60-gpuvm-");
}

static int restore_one(int root, const LedgerRecord *t, const char *path) {
        int r = t ? restore_file(root, t) : is_ours_by_name(path) ? fs_remove(root, path) : 0;

        /* Better the old network in a file of root's than none at all. */
        if ((r == -EPERM || r == -EACCES) && t && streq(t->was, "present"))
                r = fs_write_atomic(root, path, t->data, t->size, t->mode);
        return r < 0 ? r : restore_leftover(root, path);
}

int bridge_sweep(int root, const BridgeState *s) {
        int result = 0;

        STRV_FOREACH(f, s->files) {
                int r = restore_leftover(root, *f);

                if (result == 0)
                        result = r;
        }
        return result;
}

int bridge_restore(int root, const BridgeState *s, const char **reterr_path) {
        _cleanup_(ledger_done) Ledger l = {};
        int r;

        *reterr_path = LEDGER_DIR;
        r = ledger_load(root, &l);
        if (r < 0)
                return r;
        STRV_FOREACH(f, s->files) {
                /* No record: it was not changed yet, or is back already. */
                const LedgerRecord *t = restore_target(&l, step_of_ours, *f);

                *reterr_path = *f;
                r = restore_one(root, t, *f);
                if (r < 0)
                        return r;
        }
        *reterr_path = LEDGER_DIR;
        return forget_records(root, &l, s);
}
