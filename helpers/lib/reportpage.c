/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fs.h"
#include "memstream.h"
#include "report.h"

enum { CHANGES_SHOWN = 20, TEXT_SHOWN = 160 };

/* What came from a file may hold anything; a line of ours stays one line. */
static void put_text(FILE *f, const char *s, size_t max) {
        size_t n = 0;

        for (; *s && n < max; s++, n++)
                fputc((unsigned char) *s < 0x20 || *s == 0x7f ? '?' : *s, f);
        if (*s)
                fputs("...", f);
}

/* A column: cut or filled to the width. */
static void put_column(FILE *f, const char *s, int width) {
        _cleanup_free_ char *cut = strndup(s, (size_t) width);

        put_text(f, strempty(cut), (size_t) width);
        fprintf(f, "%*s", width - (int) strlen(strempty(cut)), "");
}

/* "123.4 s", and what is more than meant. */
static void put_time(json_object *o, FILE *f) {
        int64_t took = json_object_get_int64(json_member(o, "took_ms", json_type_int)),
                limit = json_object_get_int64(json_member(o, "limit_ms", json_type_int));

        fprintf(f, "%8.1f s", (double) took / 1000);
        if (limit > 0 && took > limit)
                fprintf(f, " (more than %lld s)", (long long) limit / 1000);
}

/* A record of an older version has it not. */
static void put_sum(json_object *report, const char *key, const char *title, FILE *f) {
        json_object *o = json_member(report, key, json_type_object);

        if (!o)
                return;
        fprintf(f, "  %-26s", title);
        put_time(o, f);
        fputc('\n', f);
}

static void print_phase(json_object *p, FILE *f) {
        size_t n = json_length(p, "changes");

        fputs("  ", f);
        put_column(f, json_text(p, "phase"), 11);
        put_column(f, json_text(p, "result"), 15);
        put_time(p, f);
        fprintf(f, n == 0 ? "  nothing changed\n" : n == 1 ? "  1 change\n" : "  %zu changes\n", n);
        for (size_t i = 0; i < MIN(n, (size_t) CHANGES_SHOWN); i++) {
                json_object *c = json_item(p, "changes", i);
                const char *detail = json_text(c, "detail");

                fputs("      ", f);
                put_text(f, json_text(c, "action"), TEXT_SHOWN);
                fputc(' ', f);
                put_text(f, json_text(c, "object"), TEXT_SHOWN);
                if (*detail) {
                        fputs(": ", f);
                        put_text(f, detail, TEXT_SHOWN);
                }
                fputc('\n', f);
        }
        if (n > CHANGES_SHOWN)
                fprintf(f, "      and %zu more\n", n - CHANGES_SHOWN);
        if (*json_text(p, "failure")) {
                fputs("      ", f);
                put_text(f, json_text(p, "failure"), 4 * TEXT_SHOWN);
                fputc('\n', f);
        }
}

static const char *driver_of(json_object *o) {
        const char *d = json_text(o, "driver");

        return *d ? d : "no driver";
}

static void print_gpu(json_object *g, FILE *f) {
        json_object *group = json_member(g, "iommu_group", json_type_int);

        fputs("  ", f);
        put_text(f, json_text(g, "address"), TEXT_SHOWN);
        fputs("  ", f);
        put_text(f, json_text(g, "id"), TEXT_SHOWN);
        fputc(' ', f);
        put_text(f, json_text(g, "architecture"), TEXT_SHOWN);
        fputs(", ", f);
        put_text(f, json_text(g, "mode"), TEXT_SHOWN);
        fputs(", ", f);
        put_text(f, driver_of(g), TEXT_SHOWN);
        if (group)
                fprintf(f, ", IOMMU group %d\n", json_object_get_int(group));
        else
                fputs(", no IOMMU group\n", f);
        for (size_t i = 0; i < json_length(g, "group"); i++) {
                json_object *d = json_item(g, "group", i);

                if (streq(json_text(d, "address"), json_text(g, "address")))
                        continue;
                fputs("      ", f);
                put_text(f, json_text(d, "address"), TEXT_SHOWN);
                fputs("  ", f);
                put_text(f, driver_of(d), TEXT_SHOWN);
                fputc('\n', f);
        }
}

static void print_check(json_object *c, FILE *f) {
        const char *remedy = json_text(c, "remedy");

        fputs("  ", f);
        put_column(f, json_text(c, "result"), 6);
        put_column(f, json_text(c, "check"), 11);
        put_text(f, json_text(c, "text"), 4 * TEXT_SHOWN);
        fputc('\n', f);
        if (*remedy) {
                fputs("                   ", f);
                put_text(f, remedy, 4 * TEXT_SHOWN);
                fputc('\n', f);
        }
}

void report_print(json_object *report, FILE *f) {
        static const struct {
                const char *key, *title;
                void (*print)(json_object *o, FILE *f);
        } sections[] = {
                { "phases", "Phases", print_phase },
                { "gpus", "GPUs", print_gpu },
                { "checks", "Checks", print_check },
        };
        json_object *host = json_member(report, "host", json_type_object),
                    *iommu = json_member(report, "iommu", json_type_object),
                    *ready = json_member(report, "ready", json_type_boolean);
        int64_t groups;
        const char *verdict = "Not ready: see the checks that fail", *stopped = "";

        fputs("gpuvm ", f);
        put_text(f, json_text(report, "version"), TEXT_SHOWN);
        fputs(": ", f);
        put_text(f, json_text(host, "system"), TEXT_SHOWN);
        fputs(", kernel ", f);
        put_text(f, json_text(host, "kernel"), TEXT_SHOWN);
        if (!ready)
                verdict = "Not verified yet";
        else if (json_object_get_boolean(ready))
                verdict = "Ready for GPU VMs";
        else if (*json_text(report, "stopped")) {
                verdict = "Not ready: after these checks the bootstrap has stopped in phase ";
                stopped = json_text(report, "stopped");
        }
        fprintf(f, "\n%s", verdict);
        put_text(f, stopped, TEXT_SHOWN);
        fputc('\n', f);
        groups = json_object_get_int64(json_member(iommu, "groups", json_type_int));
        fprintf(f, "IOMMU: %lld group%s\n", (long long) groups, groups == 1 ? "" : "s");
        for (size_t s = 0; s < ELEMENTSOF(sections); s++) {
                if (json_length(report, sections[s].key) > 0)
                        fprintf(f, "%s:\n", sections[s].title);
                for (size_t i = 0; i < json_length(report, sections[s].key); i++)
                        sections[s].print(json_item(report, sections[s].key, i), f);
                if (s == 0 && json_length(report, sections[s].key) > 0) {
                        put_sum(report, "provisioning", "all but the driver", f);
                        put_sum(report, "all_phases", "all", f);
                }
        }
}

int report_page(json_object *report, char **ret) {
        _cleanup_(memstream_done) Memstream m = {};
        FILE *f = memstream_open(&m);

        if (!f)
                return -ENOMEM;
        report_print(report, f);
        return memstream_close(&m, ret, NULL);
}
