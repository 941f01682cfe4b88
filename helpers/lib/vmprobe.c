/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <time.h>

#include "catalog.h"
#include "fs.h"
#include "guestask.h"
#include "log.h"
#include "setupcheck.h"
#include "virtaddress.h"
#include "virtagent.h"
#include "virtverdict.h"
#include "vmprobe.h"

enum { AGENT_SEC = 5, ENGINES_SEC = 60 };

/* One that is not declared, or wrongly, is like one that says nothing. */
int vmprobe_init(VmProbe *p, int root, const char *name) {
        VmFile f = {};
        int r = catalog_read(root, name, NULL, NULL, &f);

        if (r < 0)
                return r;
        *p = (VmProbe){ .root = root,
                        .name = name,
                        .health = vmhealth_from(r > 0 && f.n_problems == 0 ? &f : NULL) };
        vmfile_done(&f);
        return 0;
}

static void forget_engines(VmProbe *p) {
        free(p->engines);
        p->engines = NULL;
        p->engines_usec = 0;
}

void vmprobe_done(VmProbe *p) {
        forget_engines(p);
        free(p->text);
        p->text = NULL;
}

void vmprobe_begin(VmProbe *p) {
        uint64_t now = monotonic_usec();

        forget_engines(p);
        vmhealth_begin(&p->health, now);
        p->next_usec = now;
}

uint64_t vmprobe_wait_usec(const VmProbe *p) {
        uint64_t now = monotonic_usec();

        if (p->next_usec == UINT64_MAX)
                return UINT64_MAX;
        return p->next_usec > now ? p->next_usec - now : 0;
}

/* The unit has no network: nobody is asked by it, but libvirt and the guest's agent. */
static int find_address(Virt *v, GuestFacts *f) {
        int r = 0;

        for (VirtSource source = VIRT_LEASE; source <= VIRT_AGENT && r >= 0 && !f->address; source++) {
                _cleanup_strv_ char **l = NULL;

                if (source == VIRT_AGENT && !f->agent)
                        break;
                r = virtaddress_find(v, f->name, source, AGENT_SEC, &l);
                if (r >= 0 && l && *l)
                        r = free_and_strdup(&f->address, *l);
        }
        return MIN(r, 0);
}

/* What was said last stays until there is something else. */
static void hear_engines(VmProbe *p, Virt *v) {
        _cleanup_free_ char *text = NULL;
        int status, r = virtagent_poll(v, p->name, p->engines_pid, &status, &text);

        if (r == 0 && monotonic_usec() - p->engines_usec < ENGINES_SEC * USEC_PER_SEC)
                return;
        if (r < 0)
                log_debug("%s: what its engines do is not known: %s", p->name, virt_message(v));
        forget_engines(p);
        p->engines = TAKE_PTR(text);
}

static void ask_engines(VmProbe *p, Virt *v) {
        static const char *const argv[] = { SETUPCHECK_PROGRAM, "engines", NULL };

        if (p->engines_usec > 0)
                hear_engines(p, v);
        if (p->engines_usec > 0)
                return;
        if (virtagent_start(v, p->name, argv, &p->engines_pid) >= 0)
                p->engines_usec = monotonic_usec();
        else
                forget_engines(p);
}

static int ask(VmProbe *p, Virt *v, const VirtVm *vm, GuestFacts *f, bool *ret_llm) {
        _cleanup_(metadata_done) Metadata m = {};
        int r = vm->metadata ? metadata_parse(vm->metadata, &m) : 0;

        if (r < 0)
                return r;
        *ret_llm = streq_ptr(m.kind, "llm");
        f->state = vm->state;
        f->talos = streq_ptr(m.kind, "talos");
        f->name = strdup(p->name);
        if (!f->name)
                return -ENOMEM;
        if (f->state != VM_RUNNING)
                return 0;
        r = guestask_agent(v, f);
        if (r >= 0)
                r = find_address(v, f);
        if (r >= 0 && *ret_llm && f->agent)
                ask_engines(p, v);
        return r < 0 ? r : guestask_gpus(v, p->root, &m, f);
}

static int judge(const VmProbe *p, const GuestFacts *f, bool llm, Findings *l) {
        int r = guestcheck(f, l);

        return r < 0 || !llm || !f->agent ? r : setupcheck_engines(p->name, p->engines, l);
}

/* That QEMU runs is no verdict, but the end of one from before the guest started again. */
static bool is_verdict(const VmProbe *p, Virt *v, VmHealthNews news) {
        _cleanup_(verdict_done) Verdict before = {};

        if (news == VMHEALTH_SAME || news == VMHEALTH_STILL)
                return false;
        if (news != VMHEALTH_READY || p->health.ready != VMREADY_STARTED)
                return true;
        return virtverdict_get(v, p->name, &before) > 0 && !streq(before.level, "ok");
}

/* What it is at, and the verdict if that is news. */
static int tell(VmProbe *p, Virt *v, VmHealthNews news, const GuestFacts *f, const Finding *lacks) {
        FindingLevel level = news == VMHEALTH_UNHEALTHY ? FINDING_FAIL
                        : news == VMHEALTH_LATE         ? FINDING_WARN
                                                        : FINDING_OK;

        free(p->text);
        p->text = NULL;
        if (!lacks)
                p->text = strdup("is ready");
        else if (guestcheck_describe(f, lacks, &p->text) < 0)
                p->text = NULL;
        if (!p->text)
                return -ENOMEM;
        if (is_verdict(p, v, news) &&
            virtverdict_set(v, p->name, finding_level_to_string(level), p->text) < 0)
                log_debug("%s: the verdict is not kept: %s", p->name, virt_message(v));
        return (int) news;
}

int vmprobe_look(VmProbe *p, Virt *v) {
        _cleanup_(guestfacts_done) GuestFacts f = {};
        _cleanup_(findings_done) Findings l = {};
        _cleanup_(virtvm_done) VirtVm vm = {};
        const Finding *lacks;
        VmHealthNews news;
        bool llm = false;
        uint64_t next;
        int r;

        if (vmprobe_wait_usec(p) > 0)
                return VMHEALTH_SAME;
        p->next_usec = monotonic_usec() + VMHEALTH_SOON_SEC * USEC_PER_SEC; /* if that fails */
        r = virtvm_find(v, p->name, METADATA_URI, &vm);
        if (r >= 0)
                r = ask(p, v, &vm, &f, &llm);
        if (r >= 0)
                r = judge(p, &f, llm, &l);
        if (r < 0)
                return r;
        p->stopped = f.state != VM_RUNNING;
        news = vmhealth_look(&p->health, &l, monotonic_usec(), &lacks);
        next = vmhealth_next_usec(&p->health);
        p->next_usec = next == UINT64_MAX ? UINT64_MAX : monotonic_usec() + next;
        p->agent_left = (news == VMHEALTH_UNHEALTHY || news == VMHEALTH_STILL) &&
                        streq(lacks->check, "agent") && virtagent_has_left(v, p->name) > 0;
        return tell(p, v, news, &f, lacks);
}

/* Returns 1, or 0 if that has been often enough. */
static int note_restart(const VmProbe *p) {
        _cleanup_free_ char *path = NULL, *before = NULL, *after = NULL;
        int r = str_printf(&path, VMPROBE_DIR "/%s", p->name);

        if (r >= 0)
                r = fs_read(p->root, path, FS_ATTR_MAX, &before, NULL);
        if (r < 0 && r != -ENOENT)
                return r;
        r = vmhealth_may_restart(strempty(before), (uint64_t) time(NULL), &after);
        if (r > 0)
                r = fs_write_atomic(p->root, path, after, strlen(after), 0644);
        return r < 0 ? r : after != NULL;
}

const char *vmprobe_may_restart(const VmProbe *p) {
        int r;

        if (p->stopped)
                return "somebody may want it so";
        if (p->agent_left)
                return "the guest has ended its agent itself, and may be shutting down";
        r = note_restart(p);
        return r > 0            ? NULL
                        : r < 0 ? "how often it was started again cannot be noted in " VMPROBE_DIR
                                : "it was started again for that three times within an hour";
}
