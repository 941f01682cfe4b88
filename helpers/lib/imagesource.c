/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <sys/utsname.h>

#include "fs.h"
#include "imagesource.h"
#include "json.h"
#include "strv.h"
#include "talos.h"

static const char *const kinds[_IMAGE_KIND_MAX] = {
        [IMAGE_TALOS] = "talos",
        [IMAGE_UBUNTU] = "ubuntu",
        [IMAGE_DEBIAN] = "debian",
};

/* Ubuntu: ubuntu.com/about/release-cycle, an interim release has nine months; Debian: wiki.debian.org/LTS. */
static const ImageRelease releases[] = {
        { IMAGE_UBUNTU, "24.04", "noble", "2029-05-31", false },
        { IMAGE_UBUNTU, "25.10", "questing", "2026-07-09", true },
        { IMAGE_UBUNTU, "26.04", "resolute", "2031-05-31", false },
        { IMAGE_DEBIAN, "12", "bookworm", "2028-06-30", false },
        { IMAGE_DEBIAN, "13", "trixie", "2030-06-30", true },
};

const char *image_kind_to_string(ImageKind k) {
        return k >= 0 && k < _IMAGE_KIND_MAX ? kinds[k] : NULL;
}

ImageKind image_kind_from_string(const char *s) {
        for (ImageKind k = 0; k < _IMAGE_KIND_MAX; k++)
                if (streq(kinds[k], s))
                        return k;
        return _IMAGE_KIND_INVALID;
}

ImageKind imagesource_kind_of(const char *machine) {
        return streq(machine, "llm") ? IMAGE_UBUNTU : image_kind_from_string(machine);
}

const ImageRelease *imagesource_release(ImageKind kind, const char *name) {
        for (size_t i = 0; i < ELEMENTSOF(releases); i++) {
                const ImageRelease *r = &releases[i];

                if (r->kind == kind &&
                    (name ? streq(r->version, name) || streq(r->codename, name) : r->standard))
                        return r;
        }
        return NULL;
}

int imagesource_versions(ImageKind kind, char **ret) {
        _cleanup_strv_ char **l = NULL;
        int r;

        for (size_t i = 0; i < ELEMENTSOF(releases); i++)
                if (releases[i].kind == kind) {
                        r = strv_extend(&l, releases[i].version);
                        if (r < 0)
                                return r;
                }
        *ret = strv_join(l, ", ");
        return *ret ? 0 : -ENOMEM;
}

bool imagesource_is_over(const ImageRelease *r, time_t now) {
        char today[sizeof("2026-07-09")];
        struct tm tm;

        /* Dates of this form are in the order of their bytes. */
        return gmtime_r(&now, &tm) && strftime(today, sizeof(today), "%Y-%m-%d", &tm) > 0 &&
                        strcmp(today, r->end) > 0;
}

const char *imagesource_arch(void) {
        struct utsname u;

        if (uname(&u) < 0)
                return NULL;
        return streq(u.machine, "x86_64") ? "amd64" : streq(u.machine, "aarch64") ? "arm64" : NULL;
}

static int place_ubuntu(const ImageRelease *r, const char *base, const char *arch, ImagePlace *p) {
        int q;

        p->digest = DIGEST_SHA256;
        q = str_printf(&p->file, "ubuntu-%s-server-cloudimg-%s.img", r->version, arch);
        if (q >= 0)
                q = str_printf(&p->url, "%s/releases/%s/release/%s", base, r->codename, p->file);
        if (q >= 0)
                q = str_printf(&p->sums, "%s/releases/%s/release/SHA256SUMS", base, r->codename);
        return q < 0 ? q : str_printf(&p->signature, "%s.gpg", p->sums);
}

/* "generic", not "genericcloud": the cloud kernel has neither DRM nor what NVIDIA's modules are built with.
 */
static int place_debian(const ImageRelease *r, const char *base, const char *arch, ImagePlace *p) {
        int q;

        p->digest = DIGEST_SHA512;
        q = str_printf(&p->file, "debian-%s-generic-%s.qcow2", r->version, arch);
        if (q >= 0)
                q = str_printf(&p->url, "%s/%s/latest/%s", base, r->codename, p->file);
        return q < 0 ? q : str_printf(&p->sums, "%s/%s/latest/SHA512SUMS", base, r->codename);
}

int imagesource_place(const ImageRelease *r, const char *base, const char *arch, ImagePlace *ret) {
        _cleanup_(image_place_done) ImagePlace p = {};
        int q;

        q = r->kind == IMAGE_UBUNTU ? place_ubuntu(r, base, arch, &p) : place_debian(r, base, arch, &p);
        if (q < 0)
                return q;
        *ret = p;
        p = (ImagePlace){};
        return 0;
}

void image_place_done(ImagePlace *p) {
        free(p->file);
        free(p->url);
        free(p->sums);
        free(p->signature);
        *p = (ImagePlace){};
}

/* The name in a line of sha256sum(1), behind HEX and a blank and "*" or another blank; or NULL. */
static const char *line_name(const char *line, size_t *ret_n_hex) {
        size_t n = strspn(line, "0123456789abcdefABCDEF");

        if (n == 0 || line[n] != ' ' || (line[n + 1] != ' ' && line[n + 1] != '*'))
                return NULL;
        *ret_n_hex = n;
        return line + n + 2;
}

int imagesource_sum(const char *list, const char *file, DigestKind kind, char ret[static DIGEST_HEX_MAX]) {
        char found[DIGEST_HEX_MAX] = "";
        _cleanup_strv_ char **lines = NULL;

        if (strv_split(list, "\r\n", &lines) < 0)
                return -ENOMEM;
        STRV_FOREACH(line, lines) {
                char sum[DIGEST_HEX_MAX] = "";
                size_t n;
                const char *name = line_name(*line, &n);

                if (!name || !streq(name, file))
                        continue;
                if (n != digest_hex_length(kind))
                        return -EBADMSG;
                for (size_t i = 0; i < n; i++)
                        sum[i] = (char) ((*line)[i] >= 'A' && (*line)[i] <= 'F' ? (*line)[i] + ('a' - 'A')
                                                                                : (*line)[i]);
                if (*found && !streq(found, sum))
                        return -EBADMSG;
                memcpy(found, sum, sizeof(found));
        }
        if (!*found)
                return -ENOENT;
        memcpy(ret, found, sizeof(found));
        return 0;
}

const char *imagesource_variant(char *const *extensions, char buf[static IMAGE_VARIANT_MAX]) {
        static const struct {
                const char *prefix, *word;
        } modules[] = {
                { "siderolabs/nonfree-kmod-nvidia", "nonfree" },
                { "siderolabs/nvidia-open-gpu-kernel-modules", "open" },
        };

        *buf = '\0';
        STRV_FOREACH(e, extensions)
                for (size_t i = 0; i < ELEMENTSOF(modules); i++) {
                        const char *tier = startswith(*e, modules[i].prefix);

                        if (tier)
                                (void) snprintf(buf, IMAGE_VARIANT_MAX, "%s%s", modules[i].word, tier);
                }
        return buf;
}

int imagesource_github_latest(const char *answer, char **ret) {
        _cleanup_json_ json_object *o = json_tokener_parse(answer);
        char version[TALOS_VERSION_MAX];
        json_object *tag;
        TalosVersion v;

        if (!json_object_is_type(o, json_type_object) || !json_object_object_get_ex(o, "tag_name", &tag) ||
            !json_object_is_type(tag, json_type_string))
                return -EBADMSG;
        if (talos_version_parse(json_object_get_string(tag), &v) < 0 || v.pre)
                return -EBADMSG;
        *ret = strdup(talos_version_format(v, version));
        return *ret ? 0 : -ENOMEM;
}
