/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Any bytes as somebody's catalog: what comes out are lines of text, and files that say what they were made
 * to say, and nothing else. */

#include "strv.h"
#include "vmimport.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds) {
        if (!holds)
                abort();
}

static void on_problem(const char *file, unsigned line, const char *text, void *userdata) {
        check(streq(file, "c.yml") && *text && strlen(text) < 1024);
        ++*(unsigned *) userdata;
}

/* More than a file may have is told by its reader. */
static bool is_much(const VmFile *f) {
        for (VmKey k = 0; k < _VMKEY_MAX; k++) {
                size_t size = 0;

                STRV_FOREACH(value, f->values[k])
                        size += 2 * strlen(*value) + 3;
                if (size > 60 * 1024 || strv_length(f->values[k]) > 64)
                        return true;
        }
        return false;
}

static void check_machine(const VmFile *f) {
        _cleanup_(vmfile_done) VmFile again = { .name = strdup(f->name) };
        _cleanup_free_ char *text = NULL;
        unsigned told = 0;
        int r = vmfile_format(f, &text);

        check(again.name && (r == 0 || r == -EINVAL));
        if (r < 0)
                return;
        check(vmfile_parse(&again, "c.yml", text, strlen(text), on_problem, &told) == 0);
        if (is_much(f))
                return;
        check(told == 0);
        for (VmKey k = 0; k < _VMKEY_MAX; k++) {
                check(strv_length(f->values[k]) == strv_length(again.values[k]));
                for (size_t i = 0; i < strv_length(f->values[k]); i++)
                        check(streq(f->values[k][i], again.values[k][i]));
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(vmimport_done) VmImport l = {};
        _cleanup_yamldoc_ YamlNode *root = NULL;
        const VmImportWish any = {};
        const char *unknown;
        YamlError error;
        unsigned told = 0, counted = 0;
        int r;

        r = yamldoc_parse((const char *) data, size, &root, &error);
        check(r == 0 || r == -ENOPKG || (*error.text && (r == -EBADMSG || r == -EFBIG)));
        if (r < 0)
                return 0;
        r = vmimport_read(root, "c.yml", &any, on_problem, &told, &l, &unknown);
        check(r == 0 || r == -ENODATA);
        for (size_t i = 0; i < l.n; i++) {
                counted += l.machines[i].file.n_problems;
                check_machine(&l.machines[i].file);
        }
        check(told == counted);
        return 0;
}
