/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A machine's description of itself: whatever it says, what delete would remove is a file of an absolute
 * path. */

#include "metadata.h"
#include "vmtold.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(metadata_done) Metadata m = {};
        _cleanup_(vmfile_done) VmFile f = {};
        _cleanup_free_ char *text = strndup((const char *) data, size);

        assert(text);
        if (metadata_parse(text, &m) <= 0) {
                assert(!m.kind && !m.disks);
                return 0;
        }
        assert(!isempty(m.kind));
        STRV_FOREACH(d, m.disks)
                assert((*d)[0] == '/' && !strstr(*d, "/../"));
        assert(vmtold_read(m.told, &f) == 0);
        for (VmKey k = 0; k < _VMKEY_MAX; k++)
                STRV_FOREACH(value, f.values[k])
                        assert(vmtold_has(k) && **value && vmfile_fits(*value));
        assert(!m.seed || m.seed[0] == '/');
        return 0;
}
