/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The story of restarts: what is read comes out as it went in, and whatever a story says, the machine is
 * restarted at most as often as promised from there on. */

#include "reboot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds) {
        if (!holds)
                abort();
}

/* A phase that asks in every boot, for ever. */
static void check_limits(RebootStory *s) {
        static char *const causes[] = { (char *) "iommu", NULL };
        unsigned granted = 0, before = s->total;

        for (unsigned i = 0; i < 10; i++) {
                char boot[] = "00000000-0000-4000-8000-00000000000x";
                const char *which;
                RebootVerdict v;
                int r;

                boot[sizeof(boot) - 2] = (char) ('0' + i);
                r = reboot_decide(s, boot, causes, true, &v, &which);
                check(r == 0 || r == -E2BIG);
                granted += r == 0 && v == REBOOT_GRANTED;
        }
        /* One may be that of a story that was counted in the first of these boots. */
        check(granted <= REBOOT_MAX_PER_CAUSE + 1 && s->total <= MAX(before, (unsigned) REBOOT_MAX_TOTAL));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(reboot_story_done) RebootStory s = {}, again = {};
        _cleanup_free_ char *once = NULL, *twice = NULL;

        if (reboot_story_parse((const char *) data, size, &s) < 0)
                return 0;
        check(s.total <= REBOOT_MAX_TOTAL && s.resumes <= REBOOT_MAX_RESUMES &&
              s.n_causes <= REBOOT_MAX_CAUSES);
        check(reboot_story_format(&s, &once) == 0);
        check(reboot_story_parse(once, strlen(once), &again) == 0);
        check(reboot_story_format(&again, &twice) == 0 && streq(once, twice));
        check_limits(&s);
        return 0;
}
