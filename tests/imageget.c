/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Gets one image as a program would, for tests and measurements:
 * imageget ROOT BASE KIND[=RELEASE] [gpu] [refresh] [stall=SECONDS] [max=BYTES] [kill=STEP] [hold]
 *
 * BASE stands in for all three servers. kill: by SIGKILL when that step is first told (0 ask ... 3 sync).
 * hold: until the standard input ends. Prints the entry's path, format and virtual size. */

#include <signal.h>

#include "fs.h"
#include "image.h"
#include "parse.h"

static long kill_at = -1;

static void on_progress(const ImageProgress *p, void *userdata) {
        if ((long) p->step == kill_at && (p->step != IMAGE_STEP_DOWNLOAD || p->done > 0))
                (void) raise(SIGKILL);
}

static int take_argument(const char *s, ImageSetup *setup, ImageWant *want, bool *hold) {
        static const GpuArch ada = GPU_ARCH_ADA;
        const char *value;
        uint64_t n = 0;

        if (streq(s, "gpu")) {
                want->gpus = &ada;
                want->n_gpus = 1;
        } else if (streq(s, "refresh"))
                setup->refresh = true;
        else if (streq(s, "hold"))
                *hold = true;
        else if ((value = startswith(s, "stall=")) && parse_u64(value, &n) >= 0)
                setup->stall_usec = n * USEC_PER_SEC;
        else if ((value = startswith(s, "max=")) && parse_u64(value, &n) >= 0)
                setup->max = n;
        else if ((value = startswith(s, "kill=")) && parse_u64(value, &n) >= 0)
                kill_at = (long) n;
        else
                return -EINVAL;
        return 0;
}

int main(int argc, char *argv[]) {
        _cleanup_(image_failure_done) ImageFailure failure = {};
        _cleanup_(image_entry_done) ImageEntry e = {};
        _cleanup_close_ int root = -EBADF;
        ImageSetup setup = { .progress = on_progress };
        ImageWant want = {};
        bool hold = false;
        char *release;
        int r;

        if (argc < 4)
                return 2;
        root = fs_open_root(argv[1]);
        if (root < 0)
                return 2;
        setup.root = root;
        setup.root_path = argv[1];
        if (*argv[2])
                setup.factory = setup.ubuntu = setup.debian = argv[2];
        release = strchr(argv[3], '=');
        if (release)
                *release++ = '\0';
        want.release = release;
        want.arch = "amd64";
        want.kind = image_kind_from_string(argv[3]);
        if (want.kind < 0)
                return 2;
        for (int i = 4; i < argc; i++)
                if (take_argument(argv[i], &setup, &want, &hold) < 0)
                        return 2;
        r = image_get(&setup, &want, &e, &failure);
        if (r < 0) {
                fprintf(stderr, "%s: %s. %s\n", strerror(-r), strna(failure.cause), strempty(failure.remedy));
                return EXIT_FAILURE;
        }
        printf("%s %s %llu\n", e.path, e.format, (unsigned long long) e.size);
        (void) fflush(stdout);
        while (hold && getchar() != EOF)
                ;
        return EXIT_SUCCESS;
}
