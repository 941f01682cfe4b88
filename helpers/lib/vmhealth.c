/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "vmhealth.h"
#include "parse.h"
#include "setupsteps.h"
#include "strv.h"

/* The place of a key's value among its words; what is not there is the first. */
static unsigned find_word(const VmFile *f, VmKey k) {
        const char *value = f ? vmfile_value(f, k) : NULL;

        for (unsigned i = 0; value && vmkey_rows[k].words[i]; i++)
                if (streq(vmkey_rows[k].words[i], value))
                        return i;
        return 0;
}

static VmReady find_ready(const VmFile *f) {
        if (f && !f->values[VMKEY_READY] && !f->values[VMKEY_USER_DATA] &&
            streq_ptr(vmfile_value(f, VMKEY_KIND), "llm"))
                return VMREADY_ENGINES;
        return (VmReady) find_word(f, VMKEY_READY);
}

static uint64_t find_time(const VmFile *f, VmKey k, unsigned otherwise_sec) {
        const char *value = f ? vmfile_value(f, k) : NULL;
        uint64_t usec;

        return value && parse_sec(value, &usec) >= 0 ? usec : otherwise_sec * USEC_PER_SEC;
}

VmHealth vmhealth_from(const VmFile *f) {
        VmHealth h = { .ready = find_ready(f),
                       .watchdog = (VmWatchdog) find_word(f, VMKEY_WATCHDOG),
                       .ready_usec = find_time(f, VMKEY_READY_SEC, VMHEALTH_READY_SEC),
                       .setup_usec = find_time(f, VMKEY_READY_SEC, SETUPSTEPS_ALL_SEC),
                       .patience_usec = find_time(f, VMKEY_WATCHDOG_SEC, VMHEALTH_PATIENCE_SEC) };

        return h;
}

void vmhealth_begin(VmHealth *h, uint64_t now_usec) {
        *h = (VmHealth){ .ready = h->ready,
                         .watchdog = h->watchdog,
                         .ready_usec = h->ready_usec,
                         .setup_usec = h->setup_usec,
                         .patience_usec = h->patience_usec,
                         .begin_usec = now_usec };
}

uint64_t vmhealth_next_usec(const VmHealth *h) {
        if (!h->was_ready && !h->late)
                return VMHEALTH_SOON_SEC * USEC_PER_SEC;
        return h->watchdog == VMWATCHDOG_OFF && h->was_ready ? UINT64_MAX : h->patience_usec / VMHEALTH_LOOKS;
}

static bool is_expected(const VmHealth *h, const char *check) {
        if (streq(check, "agent"))
                return h->expect_agent || h->ready == VMREADY_AGENT || h->ready == VMREADY_GPU ||
                                h->ready == VMREADY_ENGINES;
        if (streq(check, "gpu"))
                return h->expect_gpu || h->ready == VMREADY_GPU;
        if (streq(check, "engines"))
                return h->expect_engines || h->ready == VMREADY_ENGINES;
        if (streq(check, "address"))
                return h->ready == VMREADY_ADDRESS;
        return streq(check, "state");
}

/* A GPU that cannot be looked for just now is none that was lost: the agent of a guest whose file systems are
 * frozen for a backup answers, and reads no files. Nor do engines that are just set up anew. */
static bool is_lack(const VmHealth *h, const Finding *x) {
        bool looked_for = streq(x->check, "gpu") || streq(x->check, "engines");

        if (x->level == FINDING_OK || !is_expected(h, x->check))
                return false;
        return !h->was_ready || x->level == FINDING_FAIL || !looked_for;
}

static const Finding *find_lack(const VmHealth *h, const Findings *l) {
        for (size_t i = 0; i < l->n; i++)
                if (is_lack(h, &l->items[i]))
                        return &l->items[i];
        return NULL;
}

/* What is there is expected from now on. Of several GPUs that are not all seen, none is. */
static void note_what_is_there(VmHealth *h, const Findings *l) {
        size_t gpus = 0, seen = 0;

        for (size_t i = 0; i < l->n; i++) {
                const Finding *x = &l->items[i];

                h->expect_agent = h->expect_agent || (streq(x->check, "agent") && x->level == FINDING_OK);
                h->expect_engines =
                                h->expect_engines || (streq(x->check, "engines") && x->level == FINDING_OK);
                gpus += streq(x->check, "gpu");
                seen += streq(x->check, "gpu") && x->level == FINDING_OK;
        }
        h->expect_gpu = h->expect_gpu || (gpus > 0 && gpus == seen);
}

/* One that does not run is not asked about again: its guest has its time once it goes on. */
static VmHealthNews miss_on(VmHealth *h, const Finding *lack, uint64_t now) {
        bool due = now - h->told_usec >= h->patience_usec;

        if (due || streq(lack->check, "state"))
                h->told_usec = now;
        return due && !streq(lack->check, "state") ? VMHEALTH_STILL : VMHEALTH_SAME;
}

/* A guest at work does not answer each time, and its agent is restarted by the packages that it installs. */
static bool sets_up(VmHealth *h, const Finding *lack, uint64_t now) {
        if (streq(lack->check, "engines") && lack->level == FINDING_SKIP)
                h->setup_seen_usec = now;
        return h->setup_seen_usec > 0 && now - h->setup_seen_usec < h->patience_usec;
}

static bool is_late(VmHealth *h, const Finding *lack, uint64_t now) {
        return now - h->begin_usec >= (sets_up(h, lack, now) ? h->setup_usec : h->ready_usec);
}

static VmHealthNews miss(VmHealth *h, const Finding *lack, uint64_t now) {
        if (!h->was_ready) {
                if (h->late || !is_late(h, lack, now))
                        return VMHEALTH_SAME;
                h->late = true;
                return VMHEALTH_LATE;
        }
        if (h->bad_usec == 0)
                h->bad_usec = now;
        if (h->unhealthy)
                return miss_on(h, lack, now);
        if (now - h->bad_usec < h->patience_usec)
                return VMHEALTH_SAME;
        h->unhealthy = true;
        h->told_usec = now;
        return VMHEALTH_UNHEALTHY;
}

VmHealthNews vmhealth_look(VmHealth *h, const Findings *l, uint64_t now_usec, const Finding **ret_lacks) {
        VmHealthNews news = VMHEALTH_SAME;

        note_what_is_there(h, l);
        *ret_lacks = find_lack(h, l);
        if (*ret_lacks)
                return miss(h, *ret_lacks, now_usec);
        if (!h->was_ready)
                news = VMHEALTH_READY;
        else if (h->unhealthy)
                news = VMHEALTH_WELL;
        h->was_ready = true;
        h->unhealthy = false;
        h->bad_usec = 0;
        return news;
}

/* What is no time counts as none: the file is ours, and it may have been cut. */
int vmhealth_may_restart(const char *times, uint64_t now_sec, char **ret) {
        _cleanup_strv_ char **lines = NULL, **kept = NULL;
        size_t n = 0;
        int r;

        r = strv_split(times, "\n", &lines);
        STRV_FOREACH(line, lines) {
                uint64_t t;

                if (r < 0 || parse_u64(*line, &t) < 0 || t > now_sec || now_sec - t >= VMHEALTH_RESTARTS_SEC)
                        continue;
                n++;
                r = strv_extendf(&kept, "%s\n", *line);
        }
        if (r < 0)
                return r;
        if (n >= VMHEALTH_RESTARTS)
                return 0;
        if (strv_extendf(&kept, "%llu\n", (unsigned long long) now_sec) < 0)
                return -ENOMEM;
        *ret = strv_join(kept, "");
        return *ret ? 1 : -ENOMEM;
}
