/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "imageask.h"
#include "child.h"
#include "fetchtext.h"
#include "fs.h"
#include "strv.h"
#include "talos.h"

#define GPGV    "/usr/bin/gpgv"
#define KEYRING "/usr/share/keyrings/ubuntu-cloudimage-keyring.gpg"

#define SUMS_FILE      ".sums"
#define SIGNATURE_FILE ".sums.gpg"

enum { ANSWER_MAX = 1024 * 1024 };

static const FetchOptions small = {
        .max = ANSWER_MAX,
        .answer_usec = 30 * USEC_PER_SEC,
        .total_usec = 120 * USEC_PER_SEC,
};

static FetchOptions options(const ImageAsk *a, const char *post) {
        FetchOptions o = small;

        o.ca_file = a->ca_file;
        o.post = post;
        o.tick = a->tick;
        o.userdata = a->userdata;
        o.stop = a->stop;
        return o;
}

static int ask(const ImageAsk *a, const char *url, const char *post, char **ret, ImageFailure *reterr) {
        _cleanup_free_ char *message = NULL;
        FetchOptions o = options(a, post);
        int r;

        r = fetchtext(url, &o, ret, &message);
        return r < 0 ? image_fail(reterr, r, image_remedy(r), "Cannot ask '%s': %s", url,
                                  message ?: strerror(-r))
                     : 0;
}

static int fail_answer(ImageFailure *reterr, int error, const char *url) {
        return image_fail(reterr, error, image_remedy(-EBADMSG), "'%s' gives an answer that makes no sense",
                          url);
}

static int out_of_memory(ImageFailure *reterr) {
        return image_fail(reterr, -ENOMEM, NULL, "Out of memory");
}

/* Versions that are marked as broken are left out; without the marks any will do. */
static int ask_factory(const ImageAsk *a, char **ret, ImageFailure *reterr) {
        _cleanup_free_ char *url = NULL, *broken_url = NULL, *versions = NULL, *broken = NULL;
        _cleanup_(image_failure_done) ImageFailure ignored = {};
        char buf[TALOS_VERSION_MAX];
        TalosVersion v;
        int r;

        if (str_printf(&url, "%s/versions", a->factory) < 0 ||
            str_printf(&broken_url, "%s/versions?broken=true", a->factory) < 0)
                return out_of_memory(reterr);
        r = ask(a, url, NULL, &versions, reterr);
        if (r < 0)
                return r;
        if (ask(a, broken_url, NULL, &broken, &ignored) < 0)
                broken = NULL;
        r = talos_version_latest(versions, broken, &v);
        if (r < 0)
                return fail_answer(reterr, r, url);
        *ret = strdup(talos_version_format(v, buf));
        return *ret ? 0 : out_of_memory(reterr);
}

int imageask_talos_latest(const ImageAsk *a, char **ret, ImageFailure *reterr) {
        _cleanup_(image_failure_done) ImageFailure second = {};
        _cleanup_free_ char *answer = NULL;
        int r;

        r = ask_factory(a, ret, reterr);
        if (r >= 0 || r == -ENOMEM)
                return r;
        /* What the factory's failure was is what is told. */
        if (ask(a, a->github, NULL, &answer, &second) < 0 || imagesource_github_latest(answer, ret) < 0)
                return r;
        image_failure_done(reterr);
        return 0;
}

static int check_extensions(const ImageAsk *a, const char *version, char *const *extensions,
                            ImageFailure *reterr) {
        _cleanup_free_ char *url = NULL, *answer = NULL;
        const char *missing = NULL;
        int r;

        if (str_printf(&url, "%s/version/%s/extensions/official", a->factory, version) < 0)
                return out_of_memory(reterr);
        r = ask(a, url, NULL, &answer, reterr);
        if (r < 0)
                return r;
        r = talos_extensions_check(answer, extensions, &missing);
        if (r == -ENOENT)
                return image_fail(reterr, r, "Take another version of Talos with --talos-version.",
                                  "Talos %s has no extension '%s'", version, missing);
        return r < 0 ? fail_answer(reterr, r, url) : 0;
}

int imageask_schematic(const ImageAsk *a, const char *version, char *const *extensions, char **ret,
                       ImageFailure *reterr) {
        _cleanup_free_ char *url = NULL, *body = NULL, *answer = NULL;
        int r;

        r = check_extensions(a, version, extensions, reterr);
        if (r < 0)
                return r;
        if (str_printf(&url, "%s/schematics", a->factory) < 0 || talos_schematic(extensions, &body) < 0)
                return out_of_memory(reterr);
        r = ask(a, url, body, &answer, reterr);
        if (r < 0)
                return r;
        r = talos_schematic_id(answer, ret);
        return r < 0 ? fail_answer(reterr, r, url) : 0;
}

static void keep_quiet(const char *line, void *userdata) {
        (void) line;
        (void) userdata;
}

/* Returns gpgv's exit status: 0 good. */
static int run_gpgv(const ImageAsk *a, const char *signature, const char *sums) {
        const char *const argv[] = { GPGV, "--keyring", KEYRING, "--", signature, sums, NULL };
        const Child child = {
                .argv = argv,
                .root = a->root,
                .root_path = a->root_path,
                .timeout_usec = 30 * USEC_PER_SEC,
                .on_stdout = keep_quiet,
                .on_stderr = keep_quiet,
        };

        return child_run(&child);
}

static int put(const ImageAsk *a, const char *file, const char *data, size_t n) {
        _cleanup_close_ int fd = -EBADF;

        (void) unlinkat(a->cache, file, 0);
        fd = openat(a->cache, file, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        return fd < 0 ? -errno : write_all(fd, data, n);
}

/* gpgv reads files. They are in the cache for that moment, named after us: two may be at it. */
static int check_files(const ImageAsk *a, const char *sums, const char *signature, size_t n_signature) {
        _cleanup_free_ char *s = NULL, *g = NULL, *s_path = NULL, *g_path = NULL, *directory = NULL;
        char link[sizeof("/proc/self/fd/") + 16];
        int r;

        (void) snprintf(link, sizeof(link), "/proc/self/fd/%d", a->cache);
        if (str_printf(&s, ".%d" SUMS_FILE, (int) getpid()) < 0 ||
            str_printf(&g, ".%d" SIGNATURE_FILE, (int) getpid()) < 0)
                return -ENOMEM;
        directory = realpath(link, NULL);
        if (!directory)
                return -errno;
        if (str_printf(&s_path, "%s/%s", directory, s) < 0 || str_printf(&g_path, "%s/%s", directory, g) < 0)
                return -ENOMEM;
        r = put(a, s, sums, strlen(sums));
        if (r >= 0)
                r = put(a, g, signature, n_signature);
        if (r >= 0)
                r = run_gpgv(a, g_path, s_path);
        (void) unlinkat(a->cache, s, 0);
        (void) unlinkat(a->cache, g, 0);
        return r;
}

static int check_signature(const ImageAsk *a, const ImagePlace *p, const char *sums, const char **ret,
                           ImageFailure *reterr) {
        _cleanup_free_ char *signature = NULL, *message = NULL;
        FetchOptions o = options(a, NULL);
        size_t n;
        int r;

        *ret = "unsigned";
        if (!p->signature)
                return 0;
        *ret = "no keyring";
        if (fs_exists(a->root, KEYRING) <= 0)
                return 0;
        *ret = "no gpgv";
        if (fs_exists(a->root, GPGV) <= 0)
                return 0;
        r = fetchtext_bytes(p->signature, &o, &signature, &n, &message);
        if (r < 0)
                return image_fail(reterr, r, image_remedy(r), "Cannot ask '%s': %s", p->signature,
                                  message ?: strerror(-r));
        r = check_files(a, sums, signature, n);
        if (r != 0)
                return image_fail(reterr, r < 0 ? r : -EKEYREJECTED,
                                  "It must not be used. Is ubuntu-cloudimage-keyring up to date?",
                                  "The signature of '%s' is not good%s%s", p->sums, r < 0 ? ": " : "",
                                  r < 0 ? strerror(-r) : "");
        *ret = "good";
        return 0;
}

int imageask_sum(const ImageAsk *a, const ImagePlace *p, char ret[static DIGEST_HEX_MAX],
                 const char **ret_signature, ImageFailure *reterr) {
        _cleanup_free_ char *sums = NULL;
        const char *signature;
        int r;

        r = ask(a, p->sums, NULL, &sums, reterr);
        if (r >= 0)
                r = check_signature(a, p, sums, &signature, reterr);
        if (r < 0)
                return r;
        r = imagesource_sum(sums, p->file, p->digest, ret);
        if (r == -ENOENT)
                return image_fail(reterr, r, image_remedy(-EREMOTEIO), "'%s' knows no '%s'", p->sums,
                                  p->file);
        if (r < 0)
                return fail_answer(reterr, r, p->sums);
        *ret_signature = signature;
        return 0;
}
