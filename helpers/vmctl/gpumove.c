/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Gpumove: what attach and detach look at before they change anything, and the hold that they have on it. */

#include <signal.h>

#include "catalog.h"
#include "fs.h"
#include "gpulease.h"
#include "gpumove.h"
#include "json.h"
#include "planvm.h"
#include "rollback.h"
#include "stop.h"
#include "virtgpus.h"

void move_done(Move *m) {
        virtwatch_free(m->watch);
        for (size_t i = 0; i < m->n_leases; i++)
                (void) safe_close(m->leases[i]);
        free(m->leases);
        free(m->cards);
        strv_free(m->own);
        strv_free(m->apart);
        metadata_done(&m->metadata);
        virtvm_done(&m->vm);
        gpustate_done(&m->states);
        conf_done(&m->conf);
        phase_done(&m->phase);
}

int move_check_stop(const Move *m) {
        return stop_asked()
                        ? log_full_errno(LOG_ERR, EINTR, "Interrupted; '%s' is left as it was", m->vm.name)
                        : 0;
}

/* Those that are never on together with it may have the same GPU: whoever else has it too is marked after
 * them, and counts. */
static int find_apart(Move *m) {
        _cleanup_(catalog_done) Catalog catalog = {};
        int r;

        r = catalog_load(m->phase.root, NULL, NULL, &catalog);
        if (r >= 0)
                r = planvm_apart(&catalog, &m->states.bus, m->vm.name, &m->apart);
        return r < 0 ? log_error_errno(r, "Cannot read the machines that are declared: %m") : 0;
}

static int look_at_machine(Move *m, const VirtVm *vm) {
        _cleanup_strv_ char **l = NULL;
        int r;

        r = virtgpus_collect(m->c->virt, vm, &l);
        if (r < 0)
                return vmctl_tell(m->c, r, "Cannot tell which GPUs virtual machine '%s' has", vm->name);
        if (streq(vm->name, m->vm.name)) {
                strv_free(m->own);
                m->own = TAKE_PTR(l);
                return 0;
        }
        return gpustate_mark_machine(&m->states, vm->name, l) < 0 ? log_oom() : 0;
}

static int look_at_machines(Move *m, const VirtVms *l, bool apart) {
        int r = 0;

        for (size_t i = 0; i < l->n && r >= 0; i++)
                if (strv_contains(m->apart, l->vms[i].name) == apart)
                        r = look_at_machine(m, &l->vms[i]);
        return r;
}

/* Who has which GPU now: m->states and m->own. */
static int look(Move *m) {
        _cleanup_(virtvms_done) VirtVms l = {};
        _cleanup_strv_ char **claimed = NULL;
        int r;

        /* First those of machines in the making: one that is finished meanwhile is among libvirt's then. */
        r = rollback_claimed(m->phase.root, ROLLBACK_GPU, &claimed);
        if (r < 0 && r != -EACCES)
                return vmctl_tell_record(m->phase.root, r, "Cannot find out which GPUs are taken");
        r = virtvm_list(m->c->virt, METADATA_URI, &l);
        if (r < 0)
                return vmctl_tell(m->c, r, "Cannot list the virtual machines");
        r = look_at_machines(m, &l, true);
        if (r >= 0 && gpustate_mark_machine(&m->states, VIRTGPUS_BEING_MADE, claimed) < 0)
                return log_oom();
        return r < 0 ? r : look_at_machines(m, &l, false);
}

/* NVIDIA's persistence daemon lets go of a GPU when its unit asks it to. */
int move_read(const Move *m, GpuStates *ret) {
        bool see = !fs_is_host(m->phase.root) || geteuid() == 0;
        int r = gpustate_read(m->phase.root, &m->conf, see, ret);

        if (r < 0)
                return log_error_errno(r, "Cannot look at the GPUs: %m");
        for (size_t i = 0; i < ret->n; i++)
                holders_drop(&ret->list[i].holders, HOLDERS_PERSISTENCED);
        return 0;
}

static int open_host(Move *m) {
        const char *directory = vmctl_value(m->c, OPT_ROOT) ?: secure_getenv("GPUVM_ROOT");
        int r;

        m->phase.root = fs_open_root(directory);
        if (m->phase.root < 0)
                return log_error_errno(m->phase.root, "Cannot open '%s': %m", directory ?: "/");
        m->phase.dry_run = vmctl_has(m->c, OPT_DRY_RUN);
        r = conf_load_and_warn(m->phase.root, &m->conf);
        if (r < 0)
                return log_oom();
        return move_read(m, &m->states);
}

/* What runs elsewhere has GPUs of elsewhere. A recorded host has whatever libvirt it is told. */
static int open_libvirt(Move *m) {
        const char *wanted = vmctl_value(m->c, OPT_CONNECT);
        _cleanup_free_ char *uri = NULL;
        int r, watched;

        if (wanted && virt_is_elsewhere(wanted))
                return gpu_tell_elsewhere(wanted);
        watched = virtwatch_new(&m->watch); /* before the connection is made */
        r = vmctl_connect(m->c);
        if (r < 0)
                return r;
        if (watched < 0)
                return log_error_errno(watched, "Cannot watch libvirt: %m");
        m->phase.alive = virtwatch_answer;
        m->phase.alive_userdata = m->watch;
        if (virt_uri(m->c->virt, &uri) >= 0 && virt_is_elsewhere(uri))
                return gpu_tell_elsewhere(uri);
        if (fs_is_host(m->phase.root) && !vmctl_is_local(m->c))
                return log_full_errno(
                                LOG_ERR, EOPNOTSUPP,
                                "GPUs of this machine go to machines of qemu:///system alone, not of '%s'",
                                strempty(uri));
        return 0;
}

int move_open(Context *c, const char *name, Move *ret) {
        Move *m = ret;
        int r;

        *m = (Move){ .c = c, .phase = { .name = "gpu", .root = -EBADF, .no_record = true } };
        if ((vmctl_has(c, OPT_QUIET) || vmctl_has(c, OPT_JSON)) && !vmctl_has(c, OPT_VERBOSE))
                log_set_max_level(LOG_NOTICE);
        stop_catch();
        /* A libvirtd that dies is an error like others. */
        (void) sigaction(SIGPIPE, &(struct sigaction){ .sa_handler = SIG_IGN }, NULL);
        r = open_host(m);
        if (r >= 0)
                r = open_libvirt(m);
        if (r >= 0)
                r = vmctl_find(c, name, &m->vm, &m->metadata);
        if (r < 0)
                return r;
        m->runs = vm_state_is_on(m->vm.state);
        r = find_apart(m);
        if (r >= 0)
                r = look(m);
        if (r >= 0 && m->runs && virtwatch_join(m->watch, c->virt, name) < 0)
                return vmctl_tell(c, -EIO, "Cannot watch '%s'", name);
        return r;
}

static int take_lease(Move *m, const char *what) {
        _cleanup_free_ char *machine = NULL;
        int lease = gpulease_take(m->phase.root, what, m->vm.name, &machine);

        if (lease == -EBUSY && streq(what, m->vm.name))
                return log_full_errno(LOG_ERR, EBUSY, "Somebody gives '%s' GPUs, or takes them, just now",
                                      what);
        if (lease == -EBUSY)
                return log_full_errno(LOG_ERR, EBUSY, "GPU %s is on its way to '%s' just now, or from it",
                                      what, strempty(machine));
        if (lease < 0)
                return log_error_errno(lease, "Cannot lock '%s' in " GPULEASE_DIR ": %m", what);
        m->leases[m->n_leases++] = lease;
        return 0;
}

int move_claim(Move *m) {
        int r;

        /* Whoever is not root gives none away, and has no lease either: see gpudetach.c. */
        if (m->phase.dry_run || (fs_is_host(m->phase.root) && geteuid() != 0))
                return 0;
        m->leases = calloc(m->n + 1, sizeof(*m->leases));
        if (!m->leases)
                return log_oom();
        r = take_lease(m, m->vm.name);
        for (size_t i = 0; i < m->n && r >= 0; i++)
                r = take_lease(m, m->cards[i].gpu);
        return r < 0 ? r : look(m);
}

bool move_has(const Move *m, const char *gpu) {
        for (size_t i = 0; i < m->n; i++)
                if (streq(m->cards[i].gpu, gpu))
                        return true;
        return false;
}

static Card *append(Move *m, const char *gpu) {
        Card *cards = reallocarray(m->cards, m->n + 1, sizeof(*cards));

        if (!cards)
                return NULL;
        m->cards = cards;
        cards[m->n] = (Card){};
        (void) snprintf(cards[m->n].gpu, sizeof(cards[m->n].gpu), "%s", gpu);
        return &cards[m->n++];
}

static void add_function(Card *card, Bdf b) {
        HostdevCard *c = &card->functions;
        size_t i = c->n;

        for (size_t k = 0; k < c->n; k++)
                if (bdf_compare(c->functions[k], b) == 0)
                        return;
        if (c->n == ELEMENTSOF(c->functions))
                return;
        for (; i > 0 && bdf_compare(c->functions[i - 1], b) > 0; i--)
                c->functions[i] = c->functions[i - 1];
        c->functions[i] = b;
        c->n++;
}

int move_add(Move *m, const PciDevice *d, const GpuState *g) {
        const PciBus *bus = &m->states.bus;
        Card *card = append(m, d->name);

        if (!card)
                return log_oom();
        card->state = g;
        card->functions.is_gpu = g != NULL;
        for (size_t i = 0; i < bus->n; i++)
                if (pci_same_slot(&bus->devices[i], d)) {
                        add_function(card, bus->devices[i].bdf);
                        card->had = card->had || strv_contains(m->own, bus->devices[i].name);
                }
        return 0;
}

int move_add_slot(Move *m, const char *address) {
        Card *card = append(m, address);
        Bdf gpu, b;

        if (!card)
                return log_oom();
        card->functions.is_gpu = true;
        card->had = true;
        if (bdf_parse(address, &gpu) < 0)
                return log_full_errno(LOG_ERR, EINVAL, "'%s' is no PCI address", address);
        add_function(card, gpu);
        STRV_FOREACH(own, m->own)
                if (bdf_parse(*own, &b) >= 0 && b.domain == gpu.domain && b.bus == gpu.bus &&
                    b.slot == gpu.slot)
                        add_function(card, b);
        for (size_t i = 0; i < m->states.n; i++)
                if (streq(m->states.list[i].gpu->name, address))
                        card->state = &m->states.list[i];
        return 0;
}

HostdevCard *move_cards(const Move *m) {
        HostdevCard *cards = calloc(m->n + 1, sizeof(*cards));

        if (!cards)
                log_oom();
        for (size_t i = 0; cards && i < m->n; i++)
                cards[i] = m->cards[i].functions;
        return cards;
}

static json_object *card_to_json(const Card *card) {
        _cleanup_json_ json_object *o = json_object_new_object(), *functions = json_object_new_array();

        for (size_t i = 0; i < card->functions.n; i++) {
                char name[BDF_STRING_MAX];

                if (json_append(functions,
                                json_object_new_string(bdf_format(card->functions.functions[i], name))) < 0)
                        return NULL;
        }
        if (json_add_text(o, "address", card->gpu) < 0 || json_add(o, "functions", TAKE_PTR(functions)) < 0)
                return NULL;
        return TAKE_PTR(o);
}

int move_show_json(const Move *m, bool changed) {
        _cleanup_json_ json_object *o = json_object_new_object(), *gpus = json_object_new_array();

        for (size_t i = 0; i < m->n; i++)
                if (json_append(gpus, card_to_json(&m->cards[i])) < 0)
                        return log_oom();
        if (json_add_text(o, "machine", m->vm.name) < 0 ||
            json_add(o, "running", json_object_new_boolean(m->runs)) < 0 ||
            json_add(o, "changed", json_object_new_boolean(changed)) < 0 ||
            json_add(o, "gpus", TAKE_PTR(gpus)) < 0)
                return log_oom();
        return json_print(o, stdout);
}
