/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "repository.h"
#include "aptrun.h"
#include "fs.h"

enum { FETCH_SEC = 2 * 60, KEY_MAX = 64 * 1024 };

#define APT_HELPER "/usr/lib/apt/apt-helper"
#define ARMOUR     "-----BEGIN PGP PUBLIC KEY BLOCK-----\n"

/* By apt's own means: with its proxies and certificates. */
static int fetch(Phase *p, const Repository *r, const char *to) {
        _cleanup_(aptrun_done) AptRun a = { .phase = p, .status_fd = -EBADF };
        const char *const argv[] = {
                APT_HELPER, "-o", "Acquire::Retries=3", "download-file", r->key, to, NULL
        };
        int status;

        phase_status(p, "Fetching the key of %s", r->uri);
        for (unsigned attempt = 0;; attempt++) {
                status = aptrun_program(&a, (char *const *) argv, NULL, FETCH_SEC, APT_JOB_FETCH);
                if (status == 0)
                        return 0;
                if (status < 0 || !aptrun_again(&a, attempt, "Fetching a key"))
                        return phase_fail(p, MIN(status, 0), apt_remedy(a.trouble),
                                          "Failed to fetch '%s'%s%s", r->key, a.cause ? ": " : "",
                                          strempty(a.cause));
        }
}

/* What is fetched lands where a crash leaves it to the next boot, and becomes a key in one piece. */
static int add_key(Phase *p, Undo *u, const Repository *r, const char *path) {
        _cleanup_free_ char *fetched = NULL, *real = NULL, *text = NULL;
        size_t size = 0;
        int k;

        if (str_printf(&fetched, RUN_DIR "/%s.key", r->name) < 0 ||
            str_printf(&real, "%s%s", strempty(p->root_path), fetched) < 0)
                return log_oom();
        k = fs_mkdir_p(p->root, RUN_DIR, 0755);
        if (k >= 0)
                k = fs_remove(p->root, fetched);
        if (k < 0)
                return phase_fail(p, k, "Run 'systemd-tmpfiles --create gpuvm.conf'.",
                                  "Cannot write to " RUN_DIR);
        k = fetch(p, r, real);
        if (k < 0)
                return k;
        k = fs_read(p->root, fetched, KEY_MAX, &text, &size);
        if (fs_remove(p->root, fetched) < 0)
                log_debug("Left behind: '%s'", fetched);
        if (k < 0 || !startswith(text, ARMOUR) || strlen(text) != size)
                return phase_fail(p, MIN(k, 0), "See whether a proxy answers in its place.", "'%s' is no key",
                                  r->key);
        k = undo_write_file(u, path, text, size, 0644);
        return k < 0 ? phase_fail(p, k, "See that /etc/apt can be written.", "Cannot write '%s'", path) : 0;
}

int repository_add(Phase *p, Undo *u, const Repository *r, const AptSources *sources) {
        _cleanup_free_ char *key = NULL, *source = NULL, *text = NULL;
        int k;

        if (aptsources_have_uri(sources, r->uri))
                return 0;
        if (str_printf(&key, KEYRING_DIR "/gpuvm-%s.asc", r->name) < 0 ||
            str_printf(&source, SOURCES_DIR "/gpuvm-%s.sources", r->name) < 0 ||
            str_printf(&text,
                       "# Written by gpuvm; 'gpuvm-undo %s' takes it back.\nTypes: deb\nURIs: %s\nSuites: /\n"
                       "Signed-By: %s %s\n",
                       p->name, r->uri, key, r->fingerprint) < 0)
                return log_oom();
        k = phase_change(p, "write", source, "packages from %s, if signed by %s", r->uri, r->fingerprint);
        if (k <= 0)
                return k < 0 ? log_oom() : 1;
        k = add_key(p, u, r, key);
        if (k < 0)
                return k;
        k = undo_write_file(u, source, text, strlen(text), 0644);
        if (k < 0)
                return phase_fail(p, k, "See that /etc/apt can be written.", "Cannot write '%s'", source);
        return 1;
}
