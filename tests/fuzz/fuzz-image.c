/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What servers and the cache say of images: a sum is one, an entry leads to no other directory, and comes
 * back as it was written. */

#include "imagecache.h"
#include "imagesource.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_entry(const char *text) {
        _cleanup_(image_entry_done) ImageEntry e = {}, again = {};
        _cleanup_json_ json_object *o = NULL;

        if (image_entry_parse(text, &e) < 0)
                return;
        assert(!strchr(e.file, '/') && *e.file != '.' && startswith(e.path, IMAGE_CACHE "/"));
        assert(!strchr(e.name, '/') && *e.name != '.');
        assert(image_entry_to_json(&e, &o) >= 0);
        assert(image_entry_parse(json_object_to_json_string(o), &again) >= 0);
        assert(streq(e.name, again.name) && streq(e.url, again.url) && e.size == again.size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *text = strndup((const char *) data, size), *version = NULL;
        char sum[DIGEST_HEX_MAX];

        assert(text);
        for (DigestKind k = 0; k < _DIGEST_KIND_MAX; k++)
                if (imagesource_sum(text, "a.img", k, sum) >= 0) {
                        assert(strlen(sum) == digest_hex_length(k));
                        assert(sum[strspn(sum, "0123456789abcdef")] == '\0');
                }
        if (imagesource_github_latest(text, &version) >= 0)
                assert(*version == 'v' && !strchr(version, '-') && !strchr(version, '/'));
        check_entry(text);
        return 0;
}
