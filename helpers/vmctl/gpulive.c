/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Gpulive: cards of a machine that runs. libvirt gives a guest one function at a time, into a root port of
 * its own, and takes one only with the guest's consent. */

#include "domain.h"
#include "gpumove.h"
#include "nodes.h"
#include "stop.h"
#include "virtdev.h"

enum { LOOK_MSEC = 500, ASK_AGAIN_SEC = 5 };

static int read_now(const Move *m, char **ret) {
        int r = virtvm_xml_now(m->c->virt, m->vm.name, ret);

        return r < 0 ? vmctl_tell(m->c, r, "Cannot look at '%s'", m->vm.name) : 0;
}

static const char *name_of(Bdf b, char text[static BDF_STRING_MAX]) {
        return bdf_format(b, text);
}

static size_t count_missing(const Move *m, const char *now) {
        HostdevPlace place;
        size_t missing = 0;

        for (size_t i = 0; i < m->n; i++)
                for (size_t k = 0; k < m->cards[i].functions.n; k++)
                        missing += hostdevs_find(now, m->cards[i].functions.functions[k], &place) == 0;
        return missing;
}

int live_check(Move *m) {
        _cleanup_free_ char *now = NULL, *why = NULL;
        _cleanup_free_ unsigned *ports = NULL;
        size_t free_ports, missing;
        int r;

        if (!m->runs)
                return 0;
        r = read_now(m, &now);
        if (r < 0)
                return r;
        missing = count_missing(m, now);
        if (missing == 0)
                return 0;
        r = hostdevs_refusal(now, &why);
        if (r >= 0)
                r = hostdevs_free_ports(now, &ports, &free_ports);
        if (r < 0)
                return log_error_errno(r, "Cannot make sense of what libvirt says of '%s': %m", m->vm.name);
        if (why)
                return log_full_errno(LOG_ERR, EOPNOTSUPP, "'%s' runs, and cannot be given a GPU now: %s",
                                      m->vm.name, why);
        if (m->vm.state != VM_RUNNING)
                return log_full_errno(LOG_ERR, EBUSY,
                                      "'%s' is %s, and its guest notices nothing: resume it first",
                                      m->vm.name, vm_state_to_string(m->vm.state));
        if (free_ports < missing)
                return log_full_errno(
                                LOG_ERR, EOPNOTSUPP,
                                "'%s' runs, and has %zu free root ports for %zu functions. Stop it and attach again: a machine that is off gets more",
                                m->vm.name, free_ports, missing);
        return 0;
}

/* The host's side: a driver of VFIO's has the function. */
static int check_driver(const Move *m, Bdf b) {
        const PciDevice *d = pci_find(&m->states.bus, b);
        _cleanup_free_ char *driver = NULL;
        char name[BDF_STRING_MAX];
        int r = d ? pci_read_driver(m->phase.root, d, &driver) : -ENODEV;

        if (r < 0)
                return log_error_errno(r, "Cannot tell which driver has %s: %m", name_of(b, name));
        return driver && nodes_is_vfio_driver(driver)
                        ? 0
                        : log_full_errno(LOG_ERR, EBUSY,
                                         "%s is not on VFIO but %s%s. 'systemctl status gpuvm-vfio@*' tells more",
                                         name_of(b, name), driver ? "with " : "without a driver",
                                         strempty(driver));
}

static int plug(Move *m, Bdf b, unsigned port) {
        _cleanup_free_ char *xml = NULL, *now = NULL;
        char name[BDF_STRING_MAX];
        HostdevPlace place;
        int r;

        (void) name_of(b, name);
        r = check_driver(m, b);
        if (r < 0)
                return r;
        if (domain_hostdev_xml(b, port, 0, false, &xml) < 0)
                return log_oom();
        log_info("attach %s: to '%s', which runs", name, m->vm.name);
        r = virtdev_attach(m->c->virt, m->vm.name, xml);
        if (r < 0)
                return vmctl_tell(m->c, r, "Cannot give %s to '%s'", name, m->vm.name);
        r = read_now(m, &now);
        if (r >= 0 && hostdevs_find(now, b, &place) <= 0)
                return log_full_errno(LOG_ERR, EIO, "libvirt has given %s to '%s', and it is not there", name,
                                      m->vm.name);
        return r < 0 ? r : check_driver(m, b);
}

int live_plug(Move *m, Bdf *plugged, size_t *n) {
        _cleanup_free_ char *now = NULL;
        _cleanup_free_ unsigned *ports = NULL;
        size_t free_ports, used = 0;
        HostdevPlace place;
        int r;

        r = read_now(m, &now);
        if (r >= 0)
                r = hostdevs_free_ports(now, &ports, &free_ports);
        for (size_t i = 0; i < m->n; i++) {
                const HostdevCard *card = &m->cards[i].functions;

                for (size_t k = 0; k < card->n && r >= 0; k++) {
                        if (hostdevs_find(now, card->functions[k], &place) > 0)
                                continue;
                        if (used == free_ports)
                                return log_full_errno(LOG_ERR, ENOSPC, "'%s' has no free root port any more",
                                                      m->vm.name);
                        plugged[(*n)++] = card->functions[k]; /* also one of which libvirt is not sure */
                        r = plug(m, card->functions[k], ports[used++]);
                        if (r >= 0)
                                r = move_check_stop(m);
                }
        }
        return r;
}

typedef struct Asked {
        Bdf function;
        HostdevPlace place;
        bool gone;
} Asked;

static bool is_off(const Move *m) {
        VmState state;
        int r = virtvm_state(m->c->virt, m->vm.name, &state);

        return r == -ENOENT || (r >= 0 && !vm_state_is_on(state));
}

/* Returns how many are still there, or -errno. One that is off, or has gone, has none. */
static int look(Move *m, Asked *l, size_t n) {
        _cleanup_free_ char *now = NULL;
        int r, left = 0;

        if (is_off(m))
                return 0;
        r = read_now(m, &now);
        for (size_t i = 0; i < n && r >= 0; i++) {
                HostdevPlace place;

                r = hostdevs_find(now, l[i].function, &place);
                l[i].gone = r == 0;
                left += r > 0;
        }
        return r < 0 ? r : left;
}

/* A guest that has not heard it, or just got the device, is asked again: an error of one request proves
 * nothing. */
static int ask(Move *m, const Asked *l, size_t n) {
        int r = 0;

        for (size_t i = 0; i < n; i++)
                if (!l[i].gone && virtdev_ask_back(m->c->virt, m->vm.name, l[i].place.alias) < 0)
                        r = -EAGAIN;
        return r;
}

static int tell_kept(const Move *m, const Asked *l, size_t n, bool refused, uint64_t timeout_usec) {
        char name[BDF_STRING_MAX] = "";

        for (size_t i = 0; i < n && !*name; i++)
                if (!l[i].gone)
                        (void) name_of(l[i].function, name);
        if (refused)
                return log_full_errno(LOG_ERR, EBUSY,
                                      "The guest of '%s' does not let go of %s. Stop what uses it in there",
                                      m->vm.name, name);
        return log_full_errno(
                        LOG_ERR, EBUSY,
                        "The guest of '%s' has not let go of %s within %llu s%s%s. Is it up, and is the GPU idle in "
                        "there? --timeout gives it longer",
                        m->vm.name, name, (unsigned long long) (timeout_usec / USEC_PER_SEC),
                        *virt_message(m->c->virt) ? ": " : "", virt_message(m->c->virt));
}

static int wait_gone(Move *m, Asked *l, size_t n, uint64_t timeout_usec) {
        uint64_t now = monotonic_usec(), end = now + timeout_usec, again = 0;
        int r, news = 0;

        for (;;) {
                r = look(m, l, n);
                if (r <= 0)
                        return r;
                if (stop_asked() && !m->undoing)
                        return log_full_errno(LOG_ERR, EINTR, "Interrupted while '%s' was asked", m->vm.name);
                now = monotonic_usec();
                if (now >= end || (news & VIRTWATCH_KEPT))
                        return tell_kept(m, l, n, news & VIRTWATCH_KEPT, timeout_usec);
                if (news & VIRTWATCH_LOST)
                        return log_full_errno(LOG_ERR, ECONNRESET, "libvirt went away while '%s' was asked",
                                              m->vm.name);
                if (now >= again) {
                        if (ask(m, l, n) < 0)
                                log_debug("'%s': %s", m->vm.name, virt_message(m->c->virt));
                        again = monotonic_usec() + ASK_AGAIN_SEC * USEC_PER_SEC;
                        news = 0;
                        continue;
                }
                news = virtwatch_wait(m->watch, LOOK_MSEC * USEC_PER_MSEC);
                if (news < 0)
                        return log_error_errno(news, "Cannot wait for '%s': %m", m->vm.name);
        }
}

static void plug_again(Move *m, const Asked *l, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (l[i].gone && plug(m, l[i].function, l[i].place.bus) < 0)
                        log_error("'%s' has lost a part of its GPU; 'vmctl gpu detach' goes on with it",
                                  m->vm.name);
}

/* Functions that share a slot of the guest's leave together, which libvirt does not do
 * (qemuDomainDetachDeviceLive()). */
static int check_slots(const Move *m, const Asked *l, size_t n) {
        for (size_t i = 0; i < n; i++)
                for (size_t k = 0; k < i; k++)
                        if (l[i].place.bus == l[k].place.bus && l[i].place.slot == l[k].place.slot)
                                return log_full_errno(
                                                LOG_ERR, EOPNOTSUPP,
                                                "'%s' was started with this GPU, all its functions in one slot, and libvirt takes no such card from a machine that runs. "
                                                "Stop it, and detach then",
                                                m->vm.name);
        return 0;
}

int live_unplug(Move *m, const Bdf *functions, size_t n, uint64_t timeout_usec) {
        _cleanup_free_ Asked *l = calloc(n + 1, sizeof(*l));
        _cleanup_free_ char *now = NULL;
        size_t found = 0;
        int r;

        if (!l)
                return log_oom();
        r = read_now(m, &now);
        if (r >= 0 && is_off(m)) /* what was read may be what it will be at its next start */
                return 0;
        for (size_t i = 0; i < n && r >= 0; i++) {
                r = hostdevs_find(now, functions[i], &l[found].place);
                if (r > 0)
                        l[found++].function = functions[i];
        }
        if (r < 0 || found == 0)
                return r;
        r = check_slots(m, l, found);
        if (r < 0)
                return r;
        r = wait_gone(m, l, found, timeout_usec);
        if (r < 0)
                plug_again(m, l, found);
        return r < 0 ? r : 1;
}

/* What is undone is undone of those that it did not have before. */
int live_note(Move *m, bool has) {
        _cleanup_free_ char *element = NULL, *changed = NULL;
        _cleanup_free_ HostdevCard *cards = calloc(m->n + 1, sizeof(*cards));
        size_t n = 0;
        int r;

        if (!cards)
                return log_oom();
        for (size_t i = 0; i < m->n; i++)
                if (!m->undoing || !m->cards[i].had)
                        cards[n++] = m->cards[i].functions;
        r = virtdev_get_metadata(m->c->virt, m->vm.name, METADATA_URI, &element);
        if (r >= 0)
                r = hostdevs_note(element, cards, n, has, &changed);
        if (r > 0)
                r = virtdev_set_metadata(m->c->virt, m->vm.name, changed, "gpuvm", METADATA_URI);
        return r < 0 ? vmctl_tell(m->c, r, "Cannot note in '%s' which GPUs it has", m->vm.name) : 0;
}
