/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "vmtold.h"
#include "ini.h"
#include "strv.h"

bool vmtold_has(VmKey k) {
        const VmKeyRow *row = &vmkey_rows[k];

        switch (k) {
        case VMKEY_IMAGE:
        case VMKEY_SCHEMATIC:
        case VMKEY_MACHINE_CONFIG:
                return true;
        case VMKEY_USER:
        case VMKEY_JOIN:
        case VMKEY_MODEL_STORE:
                return false;
        default:
                return streq(row->section, "Guest") || streq(row->section, "Llm");
        }
}

/* Returns 1, or 0 for what a definition cannot hold. */
static int add_line(VmKey k, const char *value, char ***l) {
        int r;

        if (!vmfile_fits(value) || !ini_is_utf8(value, strlen(value)))
                return 0;
        r = strv_extendf(l, "%s=%s", vmkey_rows[k].name, value);
        return r < 0 ? r : 1;
}

/* As add_line(). */
static int add_key(const VmFile *f, VmKey k, char ***l) {
        int r = 1;

        if (!f->values[k] || !vmtold_has(k))
                return 1;
        if (vmkey_rows[k].type == VMKEY_FLAG)
                return vmfile_flag(f, k) ? add_line(k, "yes", l) : 1;
        if (vmkey_rows[k].type < VMKEY_WORDS)
                return add_line(k, vmfile_value(f, k), l);
        STRV_FOREACH(value, f->values[k])
                if (r > 0)
                        r = add_line(k, *value, l);
        return r;
}

int vmtold_write(const VmFile *f, char ***ret) {
        _cleanup_strv_ char **l = calloc(1, sizeof(*l)); /* not NULL: nothing is something as well */
        int r = l ? 1 : -ENOMEM;

        for (VmKey k = 0; k < _VMKEY_MAX && r > 0; k++)
                r = add_key(f, k, &l);
        if (r < 0)
                return r;
        *ret = r > 0 ? TAKE_PTR(l) : NULL;
        return 0;
}

static VmKey find_key(const char *line, size_t n) {
        VmKey k = 0;

        while (k < _VMKEY_MAX &&
               !(strlen(vmkey_rows[k].name) == n && strncmp(vmkey_rows[k].name, line, n) == 0))
                k++;
        return k;
}

int vmtold_read(char *const *told, VmFile *f) {
        STRV_FOREACH(line, told) {
                const char *equals = strchr(*line, '=');
                VmKey k = equals ? find_key(*line, (size_t) (equals - *line)) : _VMKEY_MAX;

                if (k == _VMKEY_MAX || !vmtold_has(k) || !equals[1] || !vmfile_fits(equals + 1))
                        continue;
                if (vmfile_add(f, k, equals + 1) < 0)
                        return -ENOMEM;
        }
        return 0;
}
