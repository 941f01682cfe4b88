/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The other way round: a declared machine as the text of its file. */

#include "memstream.h"
#include "strv.h"
#include "vmfile.h"

int vmfile_add(VmFile *f, VmKey k, const char *value) {
        return value ? strv_extend(&f->values[k], value) : 0;
}

bool vmfile_fits(const char *value) {
        size_t n = strlen(value);

        for (const char *c = value; *c; c++)
                if ((unsigned char) *c < ' ' || *c == 0x7f)
                        return false;
        return n == 0 || (*value != ' ' && value[n - 1] != ' ' && value[n - 1] != '\\');
}

/* One of a list: quoted where it would come apart. */
static void print_word(FILE *out, const char *word) {
        if (word[strcspn(word, " \"'\\")] == '\0') {
                fputs(word, out);
                return;
        }
        fputc('"', out);
        for (; *word; word++)
                fprintf(out, "%s%c", *word == '"' || *word == '\\' ? "\\" : "", *word);
        fputc('"', out);
}

static void print_key(FILE *out, VmKey k, char *const *values) {
        const VmKeyRow *row = &vmkey_rows[k];

        if (row->type == VMKEY_LINES) {
                STRV_FOREACH(value, values)
                        fprintf(out, "%s=%s\n", row->name, *value);
                return;
        }
        fprintf(out, "%s=", row->name);
        if (row->type == VMKEY_WORDS)
                STRV_FOREACH(word, values) {
                        fputs(word == values ? "" : " ", out);
                        print_word(out, *word);
                }
        else
                fputs(values[strv_length(values) - 1], out);
        fputc('\n', out);
}

static bool all_fit(const VmFile *f) {
        for (VmKey k = 0; k < _VMKEY_MAX; k++)
                STRV_FOREACH(value, f->values[k])
                        if (!vmfile_fits(*value))
                                return false;
        return true;
}

int vmfile_format(const VmFile *f, char **ret) {
        _cleanup_(memstream_done) Memstream m = {};
        const char *section = NULL;
        FILE *out;

        if (!all_fit(f))
                return -EINVAL;
        out = memstream_open(&m);
        if (!out)
                return -ENOMEM;
        for (VmKey k = 0; k < _VMKEY_MAX; k++) {
                if (!f->values[k])
                        continue;
                if (!streq_ptr(section, vmkey_rows[k].section))
                        fprintf(out, "%s[%s]\n", section ? "\n" : "", vmkey_rows[k].section);
                section = vmkey_rows[k].section;
                print_key(out, k, f->values[k]);
        }
        return memstream_close(&m, ret, NULL);
}
