/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a catalog says of a machine's network and GPUs as values of a file of ours. */

#include "confvalid.h"
#include "fs.h"
#include "guestnet.h"
#include "parse.h"
#include "strv.h"
#include "vmimportwork.h"

/* "24", "/24", "192.168.0.0/24" or "255.255.255.0". */
static int prefix_of(const char *text, unsigned *ret) {
        const char *slash = strrchr(text, '/');
        unsigned bytes[4];
        uint32_t mask;
        char end;

        if (!strchr(text, '.') || slash)
                return parse_uint(slash ? slash + 1 : text, 128, ret);
        if (sscanf(text, "%3u.%3u.%3u.%3u%c", &bytes[0], &bytes[1], &bytes[2], &bytes[3], &end) != 4)
                return -EINVAL;
        mask = 0;
        for (size_t i = 0; i < 4; i++) {
                if (bytes[i] > 255)
                        return -EINVAL;
                mask = mask << 8 | bytes[i];
        }
        *ret = (unsigned) __builtin_popcount(mask);
        return mask == 0 || (~mask & (~mask + 1)) != 0 ? -EINVAL : 0; /* ones, then zeros */
}

/* Of its subnet: what it says itself, or the catalog where the address is in it. Returns 1; 0 where nobody
 * says it, or after a message. */
static int find_prefix(Reading *g, const char *address, unsigned *ret) {
        const YamlNode *n = yamldoc_find(g->network, "subnet");
        const char *text = NULL;
        int r;

        r = vmimport_text(g, SLOT_PREFIX, &text);
        if (r > 0 && prefix_of(text, ret) < 0)
                return vmimport_wrong(g, SLOT_PREFIX, "a prefix length like 24 or 255.255.255.0");
        if (r != 0)
                return r;
        if (!n || n->kind != YAML_TEXT || guestnet_check_address(n->text) < 0 ||
            guestnet_is_near(address, (const char *const[]){ n->text, NULL }) <= 0)
                return 0;
        return prefix_of(n->text, ret) >= 0;
}

static int make_gateway(Reading *g, const char *address) {
        const YamlNode *n = yamldoc_find(g->network, "gateway");
        const char *text = NULL;
        int r = vmimport_text(g, SLOT_GATEWAY, &text);

        if (r == 0 && n && n->kind == YAML_TEXT &&
            guestnet_is_near(n->text, (const char *const[]){ address, NULL }) > 0)
                text = n->text;
        return r < 0 || !text ? r : vmimport_set(g, VMKEY_GATEWAY, SLOT_GATEWAY, text);
}

int vmimport_make_network(Reading *g) {
        _cleanup_free_ char *address = NULL;
        const char *text = NULL, *mac = NULL;
        unsigned prefix = 0;
        int r;

        r = vmimport_text(g, SLOT_MAC, &mac);
        if (r > 0)
                r = vmimport_set(g, VMKEY_MAC, SLOT_MAC, mac);
        if (r >= 0)
                r = vmimport_text(g, SLOT_ADDRESS, &text);
        if (r <= 0 || strcasecmp(text, "dhcp") == 0)
                return r;
        r = strchr(text, '/') ? 0 : find_prefix(g, text, &prefix);
        if (r >= 0)
                r = prefix > 0 ? str_printf(&address, "%s/%u", text, prefix)
                               : free_and_strdup(&address, text);
        if (r < 0)
                return r;
        if (guestnet_check_address(address) < 0 && guestnet_is_near(address, NULL) < 0)
                return vmimport_wrong(g, SLOT_ADDRESS, "an address like 192.168.0.140/24");
        r = vmimport_set(g, VMKEY_ADDRESS, SLOT_ADDRESS, address);
        if (r >= 0 && !strchr(address, '/') && !g->slots[SLOT_PREFIX])
                r = vmimport_note(g, "Address=%s has no prefix length: it is that of the host's bridge",
                                  address);
        return r < 0 ? r : make_gateway(g, address);
}

/* "0000:01:00" is all of a card, as Proxmox has it. */
static int take_address(const char *word, char **ret) {
        _cleanup_free_ char *whole = NULL;
        int r = confvalid_address(word, ret);

        if (r == -EINVAL)
                r = str_printf(&whole, "%s.0", word);
        return whole && r >= 0 ? confvalid_address(whole, ret) : r;
}

static int take_ids(Reading *g, const char *word, char **ret) {
        unsigned vendor, device;
        char end;

        if (strlen(word) != strlen("10de:2d04") || sscanf(word, "%4x:%4x%c", &vendor, &device, &end) != 2 ||
            !g->w->find_gpu)
                return 0;
        return g->w->find_gpu(vendor, device, ret, g->w->userdata);
}

/* A list of words, as Gpu= is one. */
static int set_model(Reading *g, Slot s, const char *model) {
        _cleanup_strv_ char **words = NULL;
        int r = strv_split(model, " ", &words);

        STRV_FOREACH(word, words)
                r = r < 0 ? r : vmimport_set(g, VMKEY_GPU, s, *word);
        return r;
}

/* Adds what one word of a device comes to. */
static int add_card(Reading *g, const char *word) {
        _cleanup_free_ char *value = NULL;
        int r;

        r = take_address(word, &value);
        if (r >= 0)
                r = vmimport_set(g, VMKEY_GPU, SLOT_GPU_DEVICE, value);
        if (r >= 0)
                return vmimport_note(
                                g,
                                "Gpu=%s is its address on the old host: compare it with 'vmctl gpu status'",
                                value);
        if (r == -EINVAL)
                r = take_ids(g, word, &value);
        if (r < 0)
                return r;
        if (r == 0)
                return vmimport_wrong(
                                g, SLOT_GPU_DEVICE,
                                "no card that is known here: write its address or model, as 'vmctl gpu status' shows them");
        return set_model(g, SLOT_GPU_DEVICE, value);
}

/* Details of Proxmox's stand behind a comma, and several cards are parted by semicolons. */
static int add_cards(Reading *g, const char *text) {
        _cleanup_strv_ char **cards = NULL;
        int r;

        r = strv_split(text, "; ", &cards);
        STRV_FOREACH(card, cards) {
                (*card)[strcspn(*card, ",")] = '\0';
                r = r < 0 ? r : add_card(g, startswith(*card, "host=") ?: *card);
        }
        return r;
}

/* "gpu:" says whether, or which one. */
static int read_gpu(Reading *g, bool *ret_wanted) {
        const char *said = NULL;
        int r = vmimport_text(g, SLOT_GPU, &said);

        *ret_wanted = false;
        if (r <= 0)
                return vmimport_flag(g, SLOT_GPU_ENABLED, ret_wanted);
        if (parse_boolean(said) >= 0)
                return vmimport_flag(g, SLOT_GPU, ret_wanted);
        g->slots[strchr(said, ':') ? SLOT_GPU_DEVICE : SLOT_GPU_MODEL] = g->slots[SLOT_GPU];
        return 0;
}

int vmimport_make_gpu(Reading *g) {
        const char *device = NULL, *model = NULL, *slot = NULL;
        bool wanted;
        int r, said;

        said = read_gpu(g, &wanted);
        if (said < 0)
                return said;
        if (said > 0 && !wanted)
                return vmimport_set(g, VMKEY_GPU, SLOT_GPU, "none");
        r = vmimport_text(g, SLOT_GPU_DEVICE, &device);
        if (r >= 0)
                r = vmimport_text(g, SLOT_GPU_MODEL, &model);
        if (r >= 0)
                r = vmimport_text(g, SLOT_GPU_SLOT, &slot);
        if (r > 0)
                r = vmimport_note(g, "Proxmox's slot '%.20s' has no meaning here", slot);
        if (r < 0)
                return r;
        if (device)
                return add_cards(g, device);
        return model ? set_model(g, SLOT_GPU_MODEL, model)
                     : vmimport_set(g, VMKEY_GPU, SLOT_GPU, wanted ? "any" : "none");
}
