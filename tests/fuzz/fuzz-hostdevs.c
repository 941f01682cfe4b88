/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A machine's definition with a card more: whatever it was, the card is in it then, whole and in one slot,
 * and is not in it any more once it was taken away. */

#include "hostdevs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const HostdevCard card = { .functions = { { .bus = 0x21 }, { .bus = 0x21, .function = 1 } },
                                  .n = 2,
                                  .is_gpu = true };

static void check_added(const char *with) {
        _cleanup_free_ char *again = NULL, *without = NULL, *more = NULL;
        HostdevPlace first, second;

        assert(hostdevs_find(with, card.functions[0], &first) == 1);
        assert(hostdevs_find(with, card.functions[1], &second) == 1);
        assert(hostdevs_add(with, &card, 1, &again) == 0 && !again);
        assert(hostdevs_remove(with, &card, 1, &without) == 1);
        assert(hostdevs_find(without, card.functions[0], &first) == 0);
        assert(hostdevs_remove(without, &card, 1, &more) == 0 && !more);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *text = strndup((const char *) data, size), *with = NULL, *without = NULL,
                            *why = NULL, *element = NULL;
        _cleanup_free_ unsigned *ports = NULL;
        size_t n = 0;

        assert(text);
        if (hostdevs_free_ports(text, &ports, &n) >= 0) {
                assert(n < 256);
                for (size_t i = 0; i < n; i++)
                        assert(ports[i] < 256);
        }
        if (hostdevs_refusal(text, &why) < 0)
                assert(!why);
        if (hostdevs_add(text, &card, 1, &with) > 0)
                check_added(with);
        if (hostdevs_remove(text, &card, 1, &without) > 0) {
                HostdevPlace place;

                assert(hostdevs_find(without, card.functions[1], &place) == 0);
        }
        if (hostdevs_note(text, &card, 1, true, &element) > 0)
                assert(strstr(element, "0000:21:00.0"));
        return 0;
}
