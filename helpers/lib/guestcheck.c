/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "guestcheck.h"
#include "fs.h"
#include "json.h"
#include "parse.h"
#include "strv.h"

/* show_device() in the kernel's drivers/pci/proc.c: where it is, what it is, its interrupt, seven addresses,
 * seven sizes, its driver. */
enum { PCI_TABS = 17, PCI_ID_DIGITS = 8, ID_BITS = 16, TEXT_MAX = 200 };

static void pci_free(GuestPci *l, size_t n) {
        for (size_t i = 0; i < n; i++)
                free(l[i].driver);
        free(l);
}

void guestfacts_done(GuestFacts *f) {
        free(f->name);
        virtroutes_done(&f->routes);
        free(f->agent_error);
        free(f->address);
        free(f->gpus);
        pci_free(f->pci, f->n_pci);
        free(f->pci_error);
        free(f->smi_text);
        free(f->init_text);
        free(f->steps);
        free(f->found);
        for (EngineName e = 0; e < _ENGINE_NAME_MAX; e++)
                engineanswer_done(&f->engines[e]);
        *f = (GuestFacts){};
}

static bool parse_pci_line(char *line, GuestPci *ret) {
        char *id = strchr(line, '\t'), *driver = strrchr(line, '\t');
        size_t tabs = 0;
        uint64_t ids;

        for (const char *c = line; *c; c++)
                tabs += *c == '\t';
        if (tabs != PCI_TABS)
                return false;
        id[1 + strcspn(id + 1, "\t")] = '\0';
        if (strlen(id + 1) != PCI_ID_DIGITS || parse_hex(id + 1, UINT32_MAX, &ids) < 0)
                return false;
        *ret = (GuestPci){ (uint16_t) (ids >> ID_BITS), (uint16_t) ids, driver + 1 };
        return true;
}

int guestcheck_parse_pci(const char *text, GuestPci **ret, size_t *ret_n) {
        _cleanup_strv_ char **lines = NULL;
        GuestPci *l;
        size_t n = 0;

        if (strv_split(text, "\n", &lines) < 0)
                return -ENOMEM;
        l = calloc(strv_length(lines) + 1, sizeof(*l));
        if (!l)
                return -ENOMEM;
        STRV_FOREACH(line, lines) {
                if (!parse_pci_line(*line, &l[n]))
                        continue;
                l[n].driver = strdup(l[n].driver);
                if (!l[n].driver) {
                        pci_free(l, n);
                        return -ENOMEM;
                }
                n++;
        }
        *ret = l;
        *ret_n = n;
        return 0;
}

int guestcheck_excerpt(const char *text, char **ret) {
        *ret = strndup(text, MIN(strcspn(text, "\n"), (size_t) TEXT_MAX));
        for (char *c = *ret; c && *c; c++)
                if (*c < ' ' || *c > '~')
                        *c = '?';
        return *ret ? 0 : -ENOMEM;
}

/* Its own words, or those of what it could go on after; what is deprecated is none of the user's. */
static const char *stage_error(json_object *stage) {
        static const char *const kinds[] = { "CRITICAL", "ERROR", "WARNING" };
        json_object *first = json_item(stage, "errors", 0);
        json_object *others = json_member(stage, "recoverable_errors", json_type_object);

        for (size_t i = 0; !first && i < ELEMENTSOF(kinds); i++)
                first = json_item(others, kinds[i], 0);
        return json_object_is_type(first, json_type_string) ? json_object_get_string(first) : NULL;
}

int guestcheck_parse_init(const char *text, GuestInit *ret, char **ret_text) {
        static const char *const stages[] = { "init-local", "init", "modules-config", "modules-final" };
        _cleanup_json_ json_object *o = json_tokener_parse(text);
        json_object *v1 = json_member(o, "v1", json_type_object), *finished = NULL;
        const char *error = NULL, *stage = json_text(v1, "stage");
        bool done;

        if (!v1)
                return -EBADMSG;
        for (size_t i = 0; i < ELEMENTSOF(stages); i++)
                error = error ?: stage_error(json_member(v1, stages[i], json_type_object));
        (void) json_object_object_get_ex(json_member(v1, "modules-final", json_type_object), "finished",
                                         &finished);
        done = isempty(stage) && finished;
        if ((!done || error) && guestcheck_excerpt(done ? error : stage, ret_text) < 0)
                return -ENOMEM;
        *ret = !done ? GUEST_INIT_RUNS : error ? GUEST_INIT_FAILED : GUEST_INIT_DONE;
        return 0;
}

size_t guestcheck_count_gpus(const char *text) {
        size_t n = 0;

        for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n')
                n += startswith(line, "GPU ") != NULL;
        return n;
}

static int judge_state(const GuestFacts *f, Findings *l) {
        _cleanup_free_ char *remedy = NULL;
        const char *state = vm_state_to_string(f->state);
        int r = 0;

        if (f->state == VM_RUNNING)
                return findings_add(l, FINDING_OK, "state", f->name, NULL, "runs");
        if (f->state == VM_PAUSED)
                r = str_printf(&remedy, "'virsh resume %s' lets it go on, if nobody else has paused it",
                               f->name);
        else if (f->state == VM_SUSPENDED)
                r = str_printf(&remedy, "'virsh dompmwakeup %s' wakes it up", f->name);
        else if (!vm_state_is_on(f->state))
                r = str_printf(&remedy, "'vmctl start %s' starts it", f->name);
        return r < 0 ? r : findings_add(l, FINDING_FAIL, "state", f->name, remedy, "is %s", state);
}

static int judge_agent(const GuestFacts *f, Findings *l) {
        static const char remedy[] =
                        "Is qemu-guest-agent installed and running in it? cloud-init installs it at the first boot";

        if (f->agent)
                return findings_add(l, FINDING_OK, "agent", f->name, NULL, "has an agent that answers");
        return findings_add(l, f->answers ? FINDING_WARN : FINDING_FAIL, "agent", f->name,
                            f->talos ? "Is the extension siderolabs/qemu-guest-agent in its image?" : remedy,
                            "has no agent that answers%s%s", isempty(f->agent_error) ? "" : ": ",
                            strempty(f->agent_error));
}

/* Its config stage restarts ssh (cc_set_passwords.py); its last one may take hours, and leaves ssh alone. */
static bool may_restart_ssh(const GuestFacts *f) {
        return !f->talos && f->init == GUEST_INIT_RUNS && !streq_ptr(f->init_text, "modules-final");
}

static int judge_address(const GuestFacts *f, Findings *l) {
        const char *check = f->talos ? "api" : "ssh", *what = f->talos ? "its API" : "ssh";
        _cleanup_free_ char *remedy = NULL;

        if (str_printf(&remedy, "'vmctl console %s' shows what it is at", f->name) < 0)
                return -ENOMEM;
        if (!f->address)
                return findings_add(l, FINDING_FAIL, "address", f->name, remedy,
                                    "has no address that is known");
        if (findings_add(l, FINDING_OK, "address", f->name, NULL, "has the address %s", f->address) < 0)
                return -ENOMEM;
        if (f->answers && may_restart_ssh(f))
                return findings_add(l, FINDING_WARN, check, f->name, NULL,
                                    "answers by %s at %s, which cloud-init may still restart", what,
                                    f->address);
        if (f->answers)
                return findings_add(l, FINDING_OK, check, f->name, NULL, "answers by %s at %s", what,
                                    f->address);
        return findings_add(l, f->agent ? FINDING_WARN : FINDING_FAIL, check, f->name, remedy,
                            "does not answer by %s at %s", what, f->address);
}

/* Nothing depends on it but who looks whether the machine is there. */
static int judge_ping(const GuestFacts *f, Findings *l) {
        if (!f->pinged)
                return 0;
        if (f->pings)
                return findings_add(l, FINDING_OK, "ping", f->name, NULL, "answers a ping at %s", f->address);
        return findings_add(l, FINDING_WARN, "ping", f->name,
                            "Does its firewall let ICMP in, and does the network between?",
                            "does not answer a ping at %s", f->address);
}

/* Twins cannot be told apart in a guest, which numbers its buses for itself: the k-th of a kind is the k-th
 * of that kind there. */
static const GuestPci *find_inside(const GuestFacts *f, const GuestGpu *g) {
        size_t k = 0;

        for (const GuestGpu *t = f->gpus; t < g; t++)
                k += t->attached && t->vendor == g->vendor && t->device == g->device;
        for (size_t i = 0; i < f->n_pci; i++)
                if (f->pci[i].vendor == g->vendor && f->pci[i].device == g->device && k-- == 0)
                        return &f->pci[i];
        return NULL;
}

static int judge_unseen(const GuestFacts *f, const GuestGpu *g, Findings *l) {
        _cleanup_free_ char *remedy = NULL;

        if (!g->attached) {
                if (str_printf(&remedy, "'vmctl restart %s' gives it again", f->name) < 0)
                        return -ENOMEM;
                return findings_add(l, FINDING_FAIL, "gpu", g->name, remedy,
                                    "is not with the machine, which runs without it");
        }
        if (g->vendor == 0)
                return findings_add(l, FINDING_WARN, "gpu", g->name, "Ask on the host that it is on",
                                    "was not looked for in the guest: what it is is not known here");
        if (!f->pci)
                return findings_add(l, FINDING_WARN, "gpu", g->name, NULL,
                                    "was not looked for in the guest: %s", strempty(f->pci_error));
        return findings_add(l, FINDING_FAIL, "gpu", g->name,
                            "'dmesg' in the guest and 'journalctl -k' on the host may tell why",
                            "is not seen in the guest");
}

/* Functions that NVIDIA's driver has in the guest. */
static size_t count_driven(const GuestFacts *f) {
        size_t n = 0;

        for (size_t i = 0; i < f->n_pci; i++)
                n += streq(f->pci[i].driver, "nvidia");
        return n;
}

/* nvidia-smi leaves out what its driver cannot use, and succeeds. */
static int judge_smi(const GuestFacts *f, const GuestGpu *g, Findings *l) {
        static const char remedy[] = "'dmesg' in the guest may tell why";
        _cleanup_free_ char *said = NULL;
        size_t n;

        if (f->smi_status == -ETIMEDOUT)
                return findings_add(l, FINDING_FAIL, "driver", g->name, remedy,
                                    "hangs in the guest: nvidia-smi does not come back");
        if (guestcheck_excerpt(strempty(f->smi_text), &said) < 0)
                return -ENOMEM;
        if (f->smi_status != 0)
                return findings_add(l, FINDING_FAIL, "driver", g->name, remedy,
                                    "does not work in the guest, nvidia-smi says: %s", said);
        n = guestcheck_count_gpus(strempty(f->smi_text));
        if (n < count_driven(f))
                return findings_add(l, FINDING_FAIL, "driver", g->name, remedy,
                                    "may not work in the guest: nvidia-smi lists %zu of %zu GPUs", n,
                                    count_driven(f));
        return findings_add(l, FINDING_OK, "driver", g->name, NULL,
                            "works in the guest: nvidia-smi lists it");
}

static int judge_driver(const GuestFacts *f, const GuestGpu *g, const GuestPci *p, Findings *l) {

        if (isempty(p->driver))
                return findings_add(l, FINDING_WARN, "driver", g->name,
                                    "Install NVIDIA's driver in the guest", "has no driver in the guest");
        if (f->smi && streq(p->driver, "nvidia"))
                return judge_smi(f, g, l);
        return findings_add(l, FINDING_OK, "driver", g->name, NULL, "has the driver %s in the guest",
                            p->driver);
}

static int judge_gpu(const GuestFacts *f, const GuestGpu *g, Findings *l) {
        const GuestPci *p = g->attached && g->vendor > 0 ? find_inside(f, g) : NULL;

        if (!p)
                return judge_unseen(f, g, l);
        if (findings_add(l, FINDING_OK, "gpu", g->name, NULL, "is seen in the guest") < 0)
                return -ENOMEM;
        return judge_driver(f, g, p, l);
}

static int judge_init(const GuestFacts *f, Findings *l) {
        static const char remedy[] = "'cloud-init status --long' in the guest tells more";

        if (f->talos || f->init == GUEST_INIT_UNKNOWN)
                return 0;
        if (f->init == GUEST_INIT_DONE)
                return findings_add(l, FINDING_OK, "cloud-init", f->name, NULL, "has been set up");
        if (f->init == GUEST_INIT_RUNS)
                return findings_add(l, FINDING_WARN, "cloud-init", f->name, remedy,
                                    "is still being set up%s%s", isempty(f->init_text) ? "" : ": ",
                                    strempty(f->init_text));
        return findings_add(l, FINDING_WARN, "cloud-init", f->name, remedy,
                            "was not set up without errors: %s", strempty(f->init_text));
}

int guestcheck(const GuestFacts *f, Findings *ret) {
        int r = judge_state(f, ret);

        if (r < 0 || f->state != VM_RUNNING)
                return r;
        r = virtroute_judge(&f->routes, "route", ret);
        if (r >= 0)
                r = judge_agent(f, ret);
        if (r >= 0)
                r = judge_address(f, ret);
        if (r >= 0)
                r = judge_ping(f, ret);
        for (size_t i = 0; i < f->n_gpus && r >= 0; i++)
                r = judge_gpu(f, &f->gpus[i], ret);
        return r < 0 ? r : judge_init(f, ret);
}

static bool is_of_later(const Finding *x) {
        return streq(x->check, "driver") || streq(x->check, "cloud-init");
}

/* Of warnings that of a GPU says most: it names the others as its reason. */
static bool is_worse(const Finding *x, const Finding *than) {
        return x->level > than->level ||
                        (x->level == FINDING_WARN && than->level == FINDING_WARN && streq(x->check, "gpu"));
}

const Finding *guestcheck_unready(const Findings *l) {
        const Finding *worst = NULL;

        for (size_t i = 0; i < l->n; i++)
                if (!is_of_later(&l->items[i]) && (!worst || is_worse(&l->items[i], worst)))
                        worst = &l->items[i];
        return worst;
}

int guestcheck_describe(const GuestFacts *f, const Finding *lacks, char **ret) {
        bool gpu = streq(lacks->check, "gpu");
        const char *far = f->agent && f->answers ? "runs, its agent answers and it can be reached"
                        : f->agent               ? "runs and its agent answers"
                        : !f->answers            ? "runs"
                        : f->talos               ? "runs and its API answers"
                                                 : "runs and its ssh answers";

        if (f->state != VM_RUNNING)
                return str_printf(ret, "%s", lacks->text);
        return str_printf(ret, "%s; %s%s %s", far, gpu ? "GPU " : "it", gpu ? lacks->object : "",
                          lacks->text);
}
