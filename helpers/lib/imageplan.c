/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "imageplan.h"
#include "fs.h"
#include "imagecache.h"
#include "strv.h"

#define GITHUB_LATEST "https://api.github.com/repos/siderolabs/talos/releases/latest"

/* Which Talos was the newest, and when that was asked. */
#define LATEST_PATH IMAGE_CACHE "/latest-talos"

enum {
        LATEST_SEC = 24 * 3600, /* as long that answer holds */
        DIGITS = 12,            /* of a schematic, in an image's name */
};

void imageplan_done(ImagePlan *p) {
        free(p->version);
        strv_free(p->extensions);
        free(p->name);
        free(p->ca_file);
        free(p->github);
        (void) safe_close(p->cache);
}

int imageplan_out_of_memory(ImageFailure *reterr) {
        return image_fail(reterr, -ENOMEM, NULL, "Out of memory");
}

static void tell(const ImagePlan *p, ImageStep step) {
        ImageProgress progress = { .step = step, .name = p->name, .total = UINT64_MAX };

        if (p->s->progress)
                p->s->progress(&progress, p->s->userdata);
}

static void on_ask(void *userdata) {
        tell(userdata, IMAGE_STEP_ASK);
}

int imageplan_on_wait(void *userdata) {
        const ImagePlan *p = userdata;

        tell(p, IMAGE_STEP_WAIT);
        return p->s->stop && p->s->stop() ? -EINTR : 0;
}

ImageAsk imageplan_ask(ImagePlan *p) {
        return (ImageAsk){
                .root = p->s->root,
                .root_path = p->s->root_path,
                .factory = p->s->factory ?: TALOS_FACTORY,
                .github = p->github ?: GITHUB_LATEST,
                .ca_file = p->ca_file,
                .cache = p->cache,
                .tick = on_ask,
                .userdata = p,
                .stop = p->s->stop,
        };
}

int imageplan_open_cache(ImagePlan *p, ImageFailure *reterr) {
        if (p->cache >= 0)
                return 0;
        p->cache = imagecache_open(p->s->root);
        return p->cache < 0 ? image_fail(reterr, p->cache, image_remedy(p->cache), "Cannot write to '%s': %s",
                                         IMAGE_CACHE, strerror(-p->cache))
                            : 0;
}

/* Reads which Talos was the newest; any_age: however long that is ago. */
static int read_latest(const ImagePlan *p, bool any_age, char **ret) {
        _cleanup_free_ char *line = NULL;
        time_t now = time(NULL);
        char buf[TALOS_VERSION_MAX];
        TalosVersion v;
        struct stat st;
        int r;

        r = fs_stat(p->s->root, LATEST_PATH, &st);
        if (r >= 0)
                r = fs_read_line(p->s->root, LATEST_PATH, &line);
        if (r < 0)
                return r;
        if (talos_version_parse(line, &v) < 0 || v.pre)
                return -ENOENT;
        if (!any_age && (st.st_mtime > now || now - st.st_mtime > LATEST_SEC))
                return -ENOENT;
        *ret = strdup(talos_version_format(v, buf));
        return *ret ? 0 : -ENOMEM;
}

static int write_latest(const ImagePlan *p, ImageFailure *reterr) {
        _cleanup_free_ char *text = NULL;
        int r;

        if (str_printf(&text, "%s\n", p->version) < 0)
                return imageplan_out_of_memory(reterr);
        r = fs_write_atomic(p->s->root, LATEST_PATH, text, strlen(text), 0644);
        return r < 0 ? image_fail(reterr, r, image_remedy(r), "Cannot write '%s': %s", LATEST_PATH,
                                  strerror(-r))
                     : 0;
}

/* One asks, who waits for that looks again. Where nobody answers an old answer is better than none. */
static int ask_latest(ImagePlan *p, ImageFailure *reterr) {
        _cleanup_close_ int lock = -EBADF;
        ImageAsk a;
        int r;

        r = imageplan_open_cache(p, reterr);
        if (r < 0)
                return r;
        lock = imagecache_lock(p->cache, "latest-talos", imageplan_on_wait, p);
        if (lock < 0)
                return image_fail(reterr, lock, image_remedy(lock), "Cannot lock '%s': %s", LATEST_PATH,
                                  strerror(-lock));
        if (!p->s->refresh && read_latest(p, false, &p->version) >= 0)
                return 0;
        a = imageplan_ask(p);
        r = imageask_talos_latest(&a, &p->version, reterr);
        if (r >= 0)
                return write_latest(p, reterr);
        if (read_latest(p, true, &p->version) < 0)
                return r;
        image_failure_done(reterr);
        return 0;
}

/* The answer of the last day, or a new one. */
static int find_latest(ImagePlan *p, bool network, ImageFailure *reterr) {
        int r;

        r = p->s->refresh ? -ENOENT : read_latest(p, false, &p->version);
        if (r >= 0)
                return 0;
        if (r == -ENOMEM)
                return imageplan_out_of_memory(reterr);
        return network ? ask_latest(p, reterr)
                       : image_fail(reterr, -ENOENT, NULL,
                                    "Which Talos is the newest is not known without asking");
}

static int plan_version(ImagePlan *p, const ImageWant *w, bool network, ImageFailure *reterr) {
        char buf[TALOS_VERSION_MAX];

        if (!w->release) {
                int r = find_latest(p, network, reterr);

                return r < 0 || talos_version_parse(p->version, &p->talos) >= 0
                                ? r
                                : image_fail(reterr, -EBADMSG, NULL, "'%s' is no version of Talos",
                                             p->version);
        }
        if (talos_version_parse(w->release, &p->talos) < 0)
                return image_fail(reterr, -EINVAL, "Give one like v1.13.9.", "'%s' is no version of Talos",
                                  w->release);
        if (p->talos.pre)
                return image_fail(reterr, -EINVAL, "Give a released version.",
                                  "'%s' is a pre-release of Talos", w->release);
        p->version = strdup(talos_version_format(p->talos, buf));
        return p->version ? 0 : imageplan_out_of_memory(reterr);
}

static int plan_talos(ImagePlan *p, const ImageWant *w, bool network, ImageFailure *reterr) {
        char variant[IMAGE_VARIANT_MAX] = "";
        const char *reason = NULL;
        int r;

        r = plan_version(p, w, network, reterr);
        if (r < 0)
                return r;
        p->schematic = w->schematic;
        if (w->schematic) {
                if (!talos_is_schematic(w->schematic))
                        return image_fail(reterr, -EINVAL,
                                          "Give the 64 hex digits that the image factory shows.",
                                          "'%s' is no schematic", w->schematic);
                (void) snprintf(variant, sizeof(variant), "%.*s", DIGITS, w->schematic);
        } else {
                r = talos_extensions(p->talos, w->gpus, w->n_gpus, &p->extensions, &reason);
                if (r == -EOPNOTSUPP)
                        return image_fail(reterr, r, NULL,
                                          "There is no image of Talos %s for this machine: %s", p->version,
                                          reason);
                if (r < 0)
                        return imageplan_out_of_memory(reterr);
                (void) imagesource_variant(p->extensions, variant);
        }
        r = str_printf(&p->name, "talos-%s-%s%s%s", p->version, p->arch, *variant ? "-" : "", variant);
        return r < 0 ? imageplan_out_of_memory(reterr) : 0;
}

static int plan_release(ImagePlan *p, const ImageWant *w, ImageFailure *reterr) {
        _cleanup_free_ char *versions = NULL, *remedy = NULL;

        p->release = imagesource_release(w->kind, w->release);
        if (!p->release) {
                if (imagesource_versions(w->kind, &versions) < 0 ||
                    str_printf(&remedy, "Known releases: %s.", versions) < 0)
                        return imageplan_out_of_memory(reterr);
                return image_fail(reterr, -ENOENT, remedy, "There is no release '%s' of %s", w->release,
                                  image_kind_to_string(w->kind));
        }
        p->version = strdup(p->release->version);
        if (!p->version ||
            str_printf(&p->name, "%s-%s-%s", image_kind_to_string(w->kind), p->version, p->arch) < 0)
                return imageplan_out_of_memory(reterr);
        return 0;
}

int imageplan_make(ImagePlan *p, const ImageSetup *s, const ImageWant *w, bool network,
                   ImageFailure *reterr) {
        *p = (ImagePlan){ .s = s, .kind = w->kind, .arch = w->arch ?: imagesource_arch(), .cache = -EBADF };
        if (!p->arch || (!streq(p->arch, "amd64") && !streq(p->arch, "arm64")))
                return image_fail(reterr, -EOPNOTSUPP, NULL, "There are images for amd64 and arm64 only");
        /* A test's servers, and whom they are to be trusted by; never on the machine itself. */
        if (!fs_is_host(s->root) &&
            (free_and_strdup(&p->ca_file, secure_getenv("GPUVM_IMAGE_CA")) < 0 ||
             free_and_strdup(&p->github, secure_getenv("GPUVM_IMAGE_LATEST")) < 0))
                return imageplan_out_of_memory(reterr);
        return w->kind == IMAGE_TALOS ? plan_talos(p, w, network, reterr) : plan_release(p, w, reterr);
}
