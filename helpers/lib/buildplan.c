/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "buildplan.h"
#include "fs.h"
#include "imageentry.h"
#include "parse.h"

enum { SIZE_GIB_MAX = 16 * 1024, PACKAGE_BYTES = 128 };

/* Where the host has no GPU to go by: a Tesla T4, the oldest card of data centres that the open modules
 * drive. */
enum { ANY_GPU = 0x1eb8 };

/* What a machine of gpuvm's needs, whoever made its base. */
static const char *const common[] = { "openssh-server", "cloud-init", "python3", "qemu-guest-agent", NULL };
static const char *const worker[] = { "network-manager", "curl", "wget", "vim", "htop", NULL };

void buildplan_done(BuildPlan *p) {
        free(p->name);
        strv_free(p->packages);
        strv_free(p->driver);
        free(p->version);
        free(p->repository);
        *p = (BuildPlan){};
}

/* They become words of a shell's, and of apt's. */
static bool is_package(const char *s) {
        static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789+.-:~=";

        return strchr("abcdefghijklmnopqrstuvwxyz0123456789", *s) && strlen(s) > 1 &&
                        strlen(s) <= PACKAGE_BYTES && s[strspn(s, allowed)] == '\0';
}

#define REFUSE(reterr, ...) (str_printf((reterr), __VA_ARGS__) < 0 ? -ENOMEM : -EINVAL)

static int add_all(char ***l, const char *const *words) {
        int r = 0;

        for (; *words && r >= 0; words++)
                r = strv_contains(*l, *words) ? 0 : strv_extend(l, *words);
        return r;
}

static int add_packages(const BuildWant *w, BuildPlan *p, char **reterr) {
        int r;

        r = add_all(&p->packages, common);
        if (r >= 0 && streq(w->name, BUILDPLAN_WORKER))
                r = add_all(&p->packages, worker);
        STRV_FOREACH(list, w->packages) {
                _cleanup_strv_ char **words = NULL;

                if (r >= 0)
                        r = strv_split(*list, ", \t", &words);
                STRV_FOREACH(word, words) {
                        if (r >= 0 && !is_package(*word))
                                return REFUSE(reterr, "--packages: '%s' is no name of a package", *word);
                        if (r >= 0)
                                r = add_all(&p->packages, (const char *const[]){ *word, NULL });
                }
        }
        return r;
}

/* "ubuntu-24.04". */
static int find_base(const BuildWant *w, BuildPlan *p, char **reterr) {
        const char *from = w->from
                        ?: streq(w->name, BUILDPLAN_WORKER) ? "debian-13"
                                                            : NULL,
                   *dash = from ? strchr(from, '-') : NULL;
        _cleanup_free_ char *kind = dash ? strndup(from, (size_t) (dash - from)) : NULL;
        ImageKind k = kind ? image_kind_from_string(kind) : _IMAGE_KIND_INVALID;

        if (!from)
                return REFUSE(reterr,
                              "What is '%s' to be built from? --from ubuntu-24.04, or --from debian-13. "
                              "'" BUILDPLAN_WORKER "' alone has a recipe of its own",
                              w->name);
        p->base = k >= 0 && k != IMAGE_TALOS ? imagesource_release(k, dash + 1) : NULL;
        return p->base ? 0
                       : REFUSE(reterr,
                                "--from: '%s' is no base for images; ubuntu-24.04 or debian-13 would be",
                                from);
}

static int read_size(const BuildWant *w, BuildPlan *p, char **reterr) {
        unsigned gib;

        p->size = (uint64_t) BUILDPLAN_SIZE_GIB << 30;
        if (!w->size)
                return 0;
        if (parse_uint(w->size, SIZE_GIB_MAX, &gib) >= 0)
                p->size = (uint64_t) gib << 30;
        else if (parse_size(w->size, &p->size) < 0)
                return REFUSE(reterr, "--size: '%s' is no size; '500G' would be", w->size);
        if (p->size < UINT64_C(4) << 30 || p->size > (uint64_t) SIZE_GIB_MAX << 30)
                return REFUSE(reterr, "--size: an image has 4 GiB to 16 TiB, not '%s'", w->size);
        p->size &= ~UINT64_C(4095);
        return 0;
}

/* "580" or "580.95.05". */
static bool is_version(const char *s) {
        size_t n = strspn(s, "0123456789");

        return n == 3 &&
                        (!s[n] ||
                         (s[n] == '.' && s[n + 1] && strspn(s + n, "0123456789.") == strlen(s + n) &&
                          s[strlen(s) - 1] != '.'));
}

/* The driver in a guest is best the host's, whose GPUs it drives; where there is none, what lasts. */
static int choose_version(const BuildWant *w, BuildPlan *p, char **reterr) {
        const char *version = w->nvidia;

        p->version_why = "asked for";
        if (isempty(version) && w->host_driver && is_version(w->host_driver)) {
                version = w->host_driver;
                p->version_why = "the host's";
        }
        if (!isempty(version)) {
                if (!is_version(version))
                        return REFUSE(reterr,
                                      "--with-nvidia: '%s' is no version of NVIDIA's driver; '580' or "
                                      "'580.95.05' would be",
                                      version);
                return free_and_strdup(&p->version, version);
        }
        p->version_why = w->n_gpus > 0 ? "for the host's GPUs" : "for GPUs of data centres";
        return 0;
}

static int add_driver(const BuildWant *w, BuildPlan *p, char **reterr) {
        const NvidiaGpu any = { .name = "of a data centre", .device = ANY_GPU };
        char branch[4] = "";
        const NvidiaHost machine = {
                .id = image_kind_to_string(p->base->kind),
                .version = p->base->version,
                .machine = streq(w->arch, "arm64") ? "aarch64" : "x86_64",
                .kernel = p->base->kind == IMAGE_UBUNTU   ? "6.8.0-1-generic"
                                : streq(w->arch, "arm64") ? "6.1-arm64"
                                                          : "6.1-amd64",
                .gpus = w->n_gpus > 0 ? w->gpus : &any,
                .n_gpus = w->n_gpus > 0 ? w->n_gpus : 1,
        };
        Conf conf = { .driver_source = (char *) "nvidia",
                      .driver_branch = branch,
                      .cuda_toolkit = (char *) (w->cuda ? "auto" : "no"),
                      .container_toolkit = CONTAINER_NO };
        _cleanup_(nvidia_plan_done) NvidiaPlan plan = {};
        int r;

        r = choose_version(w, p, reterr);
        if (r < 0)
                return r;
        (void) snprintf(branch, sizeof(branch), "%.3s", strempty(p->version));
        r = nvidia_decide(&machine, &conf, &plan);
        if (r >= 0 && plan.verdict != NVIDIA_INSTALL)
                return REFUSE(reterr, "--with-nvidia: %s. %s", strempty(plan.reason),
                              plan.remedy && !w->host_driver
                                              ? "--with-nvidia=580 asks for another one"
                                              : "Ask for another one by --with-nvidia=VERSION");
        if (r >= 0 && !p->version && plan.branch)
                r = str_printf(&p->version, "%u", plan.branch);
        if (r >= 0)
                r = add_all(&p->driver, (const char *const *) plan.packages);
        if (r >= 0 && plan.toolkit)
                r = add_all(&p->driver, (const char *const *) plan.toolkit);
        p->repository = plan.repository;
        plan.repository = NULL;
        p->key = plan.key;
        p->fingerprint = plan.fingerprint;
        return r;
}

/* What downloads are called: "ubuntu-24.04-amd64", "talos-...". */
static bool is_of_a_download(const char *name) {
        const char *dash = strchr(name, '-'), *arch = strrchr(name, '-');
        _cleanup_free_ char *kind = dash ? strndup(name, (size_t) (dash - name)) : NULL,
                            *release = dash && arch > dash ? strndup(dash + 1, (size_t) (arch - dash - 1))
                                                           : NULL;
        ImageKind k = kind ? image_kind_from_string(kind) : _IMAGE_KIND_INVALID;

        return k == IMAGE_TALOS ||
                        (k >= 0 && release && imagesource_release(k, release) &&
                         (streq(arch, "-amd64") || streq(arch, "-arm64")));
}

int buildplan_make(const BuildWant *w, BuildPlan *ret, char **reterr) {
        const bool driver = w->nvidia || streq(w->name, BUILDPLAN_WORKER);
        _cleanup_(buildplan_done) BuildPlan p = { .arch = w->arch };
        int r;

        if (!image_name_is_valid(w->name))
                return REFUSE(reterr, "'%s' is no name for an image: letters, digits, '.' and '-' are",
                              w->name);
        if (is_of_a_download(w->name))
                return REFUSE(reterr, "'%s' is what a download is called; take another name", w->name);
        r = free_and_strdup(&p.name, w->name);
        if (r >= 0)
                r = find_base(w, &p, reterr);
        if (r >= 0)
                r = read_size(w, &p, reterr);
        if (r >= 0)
                r = add_packages(w, &p, reterr);
        if (r >= 0 && w->cuda && !driver)
                return REFUSE(reterr, "--with-cuda is for an image that has the driver: add --with-nvidia");
        if (r >= 0 && driver)
                r = add_driver(w, &p, reterr);
        if (r < 0)
                return r;
        *ret = p;
        p = (BuildPlan){};
        return 0;
}
