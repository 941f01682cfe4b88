/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "vfiofacts.h"
#include "json.h"
#include "parse.h"
#include "strv.h"

enum { MIB_SHIFT = 20 };

static bool get(VfioJob *j, const PciDevice *d, const char *attribute, char **ret) {
        if (d->names && !strv_contains(d->names, attribute) && !strchr(attribute, '/'))
                return false;
        return binder_get(&j->binder, d, attribute, ret) >= 0;
}

static bool get_number(VfioJob *j, const PciDevice *d, const char *attribute, uint64_t *ret) {
        _cleanup_free_ char *line = NULL;

        return get(j, d, attribute, &line) && parse_u64(line, ret) >= 0;
}

static int tell_reset(VfioJob *j, const PciDevice *d, char ***words, json_object *o) {
        _cleanup_free_ char *method = NULL;

        if (!get(j, d, "reset_method", &method))
                return 0; /* kernels before 5.15 do not say */
        json_object_object_add(o, "reset_method", json_object_new_string(method));
        if (isempty(method))
                return strv_extend(words,
                                   "cannot be reset, so that the next VM finds it as the last one left it");
        return strv_extendf(words, "is reset by %s", method);
}

static int tell_power(VfioJob *j, const PciDevice *d, char ***words, json_object *o) {
        _cleanup_free_ char *control = NULL;
        uint64_t d3cold;

        if (j->p->json && get(j, d, "power/control", &control))
                json_object_object_add(o, "power_control", json_object_new_string(control));
        if (!get_number(j, d, "d3cold_allowed", &d3cold))
                return 0;
        json_object_object_add(o, "d3cold_allowed", json_object_new_boolean(d3cold == 1));
        return d3cold == 1 ? strv_extend(words, "keeps its power from now on") : 0;
}

static int tell_virtual_functions(VfioJob *j, const PciDevice *d, char ***words, json_object *o) {
        uint64_t total;

        if (!get_number(j, d, "sriov_totalvfs", &total))
                return 0;
        json_object_object_add(o, "sriov_totalvfs", json_object_new_int64((int64_t) total));
        return total > 0
                        ? strv_extendf(words, "could have %llu virtual functions", (unsigned long long) total)
                        : 0;
}

/* The kernel's mask has a bit for each size that the BAR can have, from 1 MiB up. It is resized while no
 * driver has the function, which is a matter of the host's firmware and taste: only told. */
static int tell_bar(VfioJob *j, const PciDevice *d, unsigned bar, char ***words, json_object *bars) {
        _cleanup_free_ char *line = NULL;
        char attribute[sizeof("resource0_resize")];
        json_object *o;
        uint64_t mask, most;

        (void) snprintf(attribute, sizeof(attribute), "resource%u_resize", bar);
        if (!get(j, d, attribute, &line) || parse_hex(line, UINT64_MAX, &mask) < 0 || mask == 0 ||
            mask >> (64 - MIB_SHIFT) != 0)
                return 0;
        most = UINT64_C(1) << (63 - __builtin_clzll(mask)) << MIB_SHIFT;
        o = json_object_new_object();
        json_object_object_add(o, "bar", json_object_new_int((int) bar));
        json_object_object_add(o, "size", json_object_new_int64((int64_t) d->bar_size[bar]));
        json_object_object_add(o, "largest", json_object_new_int64((int64_t) most));
        json_object_array_add(bars, o);
        if (most <= d->bar_size[bar])
                return 0;
        return strv_extendf(words, "has %llu MiB of memory in BAR %u where %llu MiB are possible",
                            (unsigned long long) (d->bar_size[bar] >> MIB_SHIFT), bar,
                            (unsigned long long) (most >> MIB_SHIFT));
}

static bool has_resizable_bar(const PciDevice *d) {
        STRV_FOREACH(name, d->names)
                if (endswith(*name, "_resize"))
                        return true;
        return false;
}

static int tell_function(VfioJob *j, const PciDevice *d, json_object *o) {
        _cleanup_strv_ char **words = NULL;
        _cleanup_free_ char *text = NULL;
        json_object *bars;
        int r;

        /* Of companions nothing is told but to programs. */
        if (!pci_is_display(d) && !j->p->json)
                return 0;
        if (has_resizable_bar(d))
                pci_read_bars(&j->bus.devices[d - j->bus.devices]);
        json_object_object_add(o, "address", json_object_new_string(d->name));
        json_object_object_add(o, "driver", d->driver ? json_object_new_string(d->driver) : NULL);
        bars = json_object_new_array();
        json_object_object_add(o, "resizable_bars", bars);
        r = tell_reset(j, d, &words, o);
        if (r >= 0)
                r = tell_power(j, d, &words, o);
        if (r >= 0)
                r = tell_virtual_functions(j, d, &words, o);
        for (unsigned i = 0; i < ELEMENTSOF(d->bar_size) && r >= 0; i++)
                if (d->bar_size[i] > 0)
                        r = tell_bar(j, d, i, &words, bars);
        if (r < 0 || !words || !pci_is_display(d))
                return r;
        text = strv_join(words, ", ");
        if (!text)
                return -ENOMEM;
        phase_note(j->p, "%s %s", d->name, text);
        return 0;
}

int vfiofacts_tell(VfioJob *j) {
        json_object *functions = json_object_new_array();
        int r = 0;

        for (size_t i = 0; i < j->n_todo && r >= 0; i++) {
                json_object *o = json_object_new_object();

                json_object_array_add(functions, o);
                r = tell_function(j, j->todo[i], o);
        }
        if (r < 0 || !j->p->json)
                (void) json_object_put(functions);
        else
                phase_result(j->p, "functions", functions);
        return r;
}
