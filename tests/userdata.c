/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* userdata: what a guest is told by cloud-init, for tests to look at: userdata KIND [OPTION=VALUE...]
 *
 * KIND is debian, server, desktop, llm or worker; or build or verify, of the image of workers. An option is
 * one of 'vmctl create'; "gpu=yes" gives it one, "key=WORD" and "token=WORD" are secrets themselves, and
 * "join=TEXT" is what a worker joins with. What is no such wish is told, with status 2. */

#include <stdio.h>

#include "buildinit.h"
#include "gueststeps.h"
#include "nodeinit.h"
#include "strv.h"

#define KEY "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHVzZWxlc3NrZXlmb3J0ZXN0c29ubHl4eHg= me@here"

typedef struct Asked {
        GuestWish wish;
        char **values[_GUEST_KEY_MAX];
        const char *key, *token, *join;
} Asked;

static int take(Asked *a, char *word) {
        char *value = strchr(word, '=');

        if (!value)
                return -EINVAL;
        *value++ = '\0';
        if (streq(word, "gpu"))
                a->wish.gpu = true;
        else if (streq(word, "key"))
                a->key = value;
        else if (streq(word, "token"))
                a->token = value;
        else if (streq(word, "join"))
                a->join = value;
        else
                for (GuestKey k = 0; k < _GUEST_KEY_MAX; k++)
                        if (streq(word, guestwish_option(k)))
                                return strv_split(value, " ", &a->values[k]);
        return 0;
}

static int print(const char *kind, Asked *a) {
        static const char *const keys[] = { KEY, NULL };
        _cleanup_free_ char *said = NULL, *text = NULL;
        _cleanup_strv_ char **packages = NULL;
        CloudInit c = { .kind = streq(kind, "debian")            ? CLOUDINIT_DEBIAN
                                        : streq(kind, "desktop") ? CLOUDINIT_UBUNTU_DESKTOP
                                                                 : CLOUDINIT_UBUNTU_SERVER,
                        .hostname = "guest",
                        .instance_id = "f3a1c2d4-0f5e-4b7a-9c3d-1e2f3a4b5c6d",
                        .user = "ada",
                        .ssh_keys = keys };
        CloudInitFile *files = NULL;
        int r;

        a->wish.llm = streq(kind, "llm");
        for (GuestKey k = 0; k < _GUEST_KEY_MAX; k++)
                a->wish.values[k] = a->values[k];
        if (guestwish_check(&a->wish, &said) < 0) {
                fprintf(stderr, "userdata: %s\n", strempty(said));
                return 2;
        }
        r = guestwish_packages(&a->wish, &packages);
        if (r >= 0)
                r = gueststeps_files(&a->wish, a->key, a->token, &files, &c.n_files);
        c.gpu = a->wish.gpu && !a->wish.llm;
        c.packages = packages;
        c.files = files;
        c.setup = gueststeps_wanted(&a->wish);
        if (r >= 0)
                r = streq(kind, "worker") ? nodeinit_user_data(&c, a->join, &text)
                                          : cloudinit_user_data(&c, &text);
        gueststeps_free(files, c.n_files);
        return r < 0 || fputs(text, stdout) < 0;
}

static int print_job(BuildJob job, const Asked *a) {
        const BuildWant w = { .name = BUILDPLAN_WORKER,
                              .packages = a->values[GUEST_PACKAGES],
                              .arch = "amd64" };
        _cleanup_(buildplan_done) BuildPlan p = {};
        _cleanup_free_ char *said = NULL, *text = NULL;

        if (buildplan_make(&w, &p, &said) < 0) {
                fprintf(stderr, "userdata: %s\n", strempty(said));
                return 2;
        }
        return buildinit_user_data(job, &p, &text) < 0 || fputs(text, stdout) < 0;
}

int main(int argc, char *argv[]) {
        Asked a = {};
        int status = 2;

        for (int i = 2; i < argc; i++)
                if (take(&a, argv[i]) < 0)
                        return status;
        if (argc > 1)
                status = streq(argv[1], "build")           ? print_job(BUILD_JOB_BUILD, &a)
                                : streq(argv[1], "verify") ? print_job(BUILD_JOB_VERIFY, &a)
                                                           : print(argv[1], &a);
        for (GuestKey k = 0; k < _GUEST_KEY_MAX; k++)
                strv_free(a.values[k]);
        return status;
}
