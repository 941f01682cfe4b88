/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Address: of one machine thoroughly, or of all of them quickly. */

#include <linux/neighbour.h>

#include "address.h"
#include "guestnet.h"

enum { AGENT_SEC = 5, AGENTS_MSEC = 500 };

void addresses_done(Addresses *a) {
        strv_free(a->address);
        strv_free(a->source);
}

/* One that was seen twice is told once, by its first source; ARP knows no prefix length. */
static bool is_known(const Addresses *a, const char *address) {
        size_t n = strcspn(address, "/");

        STRV_FOREACH(s, a->address)
                if (strcspn(*s, "/") == n && strncmp(*s, address, n) == 0)
                        return true;
        return false;
}

static int note_address(Addresses *a, const char *address, const char *source) {
        if (is_known(a, address))
                return 0;
        return strv_extend(&a->address, address) < 0 || strv_extend(&a->source, source) < 0 ? log_oom() : 0;
}

static int ask(Context *c, const char *name, VirtSource source, unsigned agent_sec, Addresses *a) {
        _cleanup_strv_ char **found = NULL;
        int r = virtaddress_find(c->virt, name, source, agent_sec, &found);

        if (r == -ENOENT) /* gone meanwhile */
                return 0;
        if (r < 0)
                return vmctl_tell(c, r, "Cannot ask for the addresses of '%s'", name);
        STRV_FOREACH(f, found)
                if (r >= 0)
                        r = note_address(a, *f, virt_source_to_string(source));
        return r;
}

int addresses_find(Context *c, const char *name, bool on, const Metadata *m, Addresses *a) {
        int r = m->address ? note_address(a, m->address, "reserved") : 0;

        for (VirtSource source = 0; on && source < _VIRT_SOURCE_MAX && r >= 0; source++)
                r = ask(c, name, source, AGENT_SEC, a);
        return r;
}

int vmctl_address(Context *c, const char *name, const Metadata *m, char **ret) {
        _cleanup_(addresses_done) Addresses a = {};
        int r = addresses_find(c, name, true, m, &a);

        if (r < 0 || !a.address)
                return r;
        *ret = strndup(a.address[0], strcspn(a.address[0], "/"));
        return *ret ? 1 : log_oom();
}

json_object *addresses_to_json(const Addresses *a) {
        _cleanup_json_ json_object *list = json_object_new_array();

        for (size_t i = 0; i < strv_length(a->address); i++) {
                json_object *o = json_object_new_object();

                if (json_add_text(o, "address", a->address[i]) < 0 ||
                    json_add_text(o, "source", a->source[i]) < 0) {
                        (void) json_object_put(o);
                        return NULL;
                }
                if (json_append(list, o) < 0)
                        return NULL;
        }
        return TAKE_PTR(list);
}

void addressbook_done(AddressBook *b) {
        virtleases_done(&b->leases);
        netstate_done(&b->net);
}

/* What cannot be read knows nothing: a list is no place to fail for that. */
static void fill(Context *c, AddressBook *b) {
        if (b->looked)
                return;
        b->looked = true;
        if (virtaddress_leases(c->virt, &b->leases) < 0)
                log_debug("What libvirt's networks have leased is not known: %s", virt_message(c->virt));
        if (vmctl_is_local(c) && netstate_read(&b->net) < 0)
                log_debug("The kernel's neighbours are not known");
}

static int add_neighbours(const NetState *s, const char *mac, Addresses *a) {
        int r = 0;

        for (size_t i = 0; i < s->n_neighbours && r >= 0; i++) {
                const NetNeighbour *n = &s->neighbours[i];
                const char *address = net_address_to_string(n->family, n->bytes);

                if ((n->state & (NUD_FAILED | NUD_INCOMPLETE | NUD_NOARP)) == 0 &&
                    !startswith(address, "fe80:") && strcasecmp(net_mac_to_string(n->mac), mac) == 0)
                        r = note_address(a, address, virt_source_to_string(VIRT_ARP));
        }
        return r;
}

/* A machine of before it was written down has the one of its UUID, mostly. */
static bool find_mac(const VirtVm *vm, const Metadata *m, char ret[static sizeof("52:54:00:00:00:00")]) {
        if (!m->mac)
                return m->kind && guestnet_mac(vm->uuid, 0, ret) >= 0;
        return snprintf(ret, sizeof("52:54:00:00:00:00"), "%s", m->mac) < (int) sizeof("52:54:00:00:00:00");
}

static int look_up(const AddressBook *b, const char *mac, Addresses *a) {
        int r = 0;

        for (size_t i = 0; i < b->leases.n && r >= 0; i++)
                if (strcasecmp(b->leases.list[i].mac, mac) == 0)
                        r = note_address(a, b->leases.list[i].address, virt_source_to_string(VIRT_LEASE));
        return r < 0 ? r : add_neighbours(&b->net, mac, a);
}

static int ask_agent(Context *c, AddressBook *b, const char *name, Addresses *a) {
        uint64_t start = monotonic_usec();
        int r;

        if (b->agents_usec >= AGENTS_MSEC * USEC_PER_MSEC)
                return 0;
        r = ask(c, name, VIRT_AGENT, 1, a);
        b->agents_usec += monotonic_usec() - start;
        return r;
}

int addressbook_find(Context *c, AddressBook *b, const VirtVm *vm, const Metadata *m, Addresses *a) {
        char mac[sizeof("52:54:00:00:00:00")];
        int r = 0;

        if (m->address)
                return note_address(a, m->address, "reserved");
        if (!vm_state_is_on(vm->state))
                return 0;
        fill(c, b);
        if (find_mac(vm, m, mac))
                r = look_up(b, mac, a);
        return r < 0 || a->address || vm->state != VM_RUNNING ? r : ask_agent(c, b, vm->name, a);
}
