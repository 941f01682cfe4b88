/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <ctype.h>

#include "fs.h"
#include "nvidia.h"
#include "parse.h"

#define OLDER_KEY "3bf863cc.pub", "EB693B3035CD5710E231E123A4B469963BF863CC"
#define NEWER_KEY "8793F200.pub", "02182E60104FCDC26EAE1B8597A5D4CB8793F200"

/* The releases that gpuvm knows; what their own archives have, and which directory of NVIDIA's repository is
 * theirs. Ubuntu's drivers are offered by ubuntu-drivers. A long-term branch that the repository of a newer
 * release never had cannot be asked for. The fingerprints are those that NVIDIA's guides and other tools
 * publish: apt itself holds a repository's signatures against them. */
static const struct Release {
        const char *id, *version;
        unsigned branch;       /* of the archive's driver; 0: ask ubuntu-drivers */
        Cuda cuda;             /* the archive's toolkit */
        const char *directory; /* of NVIDIA's repository */
        const char *key, *fingerprint;
        unsigned repository_branch; /* what to take from there; 0: its newest */
        const char *first_kernel;   /* of an Ubuntu; later generic ones have other metapackages */
} releases[] = {
        { "debian", "12", 535, { 11, 8 }, "debian12", OLDER_KEY, DRIVER_LONG_TERM, NULL },
        { "debian", "13", 550, { 12, 4 }, "debian13", NEWER_KEY, 0, NULL },
        { "ubuntu", "24.04", 0, { 12, 0 }, "ubuntu2404", OLDER_KEY, DRIVER_LONG_TERM, "6.8." },
};

/* From here on the branch is no part of the names of NVIDIA's own packages for Ubuntu. */
enum { UNNUMBERED_FROM = 590 };

#define REMEDY_SIGNED                                                                                         \
        "Enrol the key that DKMS signs with ('mokutil --import', then the firmware asks at the next start), " \
        "or turn Secure Boot off, or leave the driver out (DriverSource=none): VMs need none on the host."
#define REMEDY_SIGNED_UBUNTU                                                                                    \
        "Use Ubuntu's signed modules (DriverSource=distro, no DriverBranch=, a kernel of Ubuntu's), enrol the " \
        "key that DKMS signs with ('mokutil --import'), or turn Secure Boot off."
#define REMEDY_GIVE_AWAY \
        "Give that GPU to VMs (Mode=exclusive in its [Gpu] section), or set DriverSource=none."
#define REMEDY_FAMILY \
        "Set DriverSource=auto to keep it, or remove its packages and the repository they came from first."

static const char *const source_names[_NVIDIA_SOURCE_MAX] = {
        [NVIDIA_SOURCE_AUTO] = "auto",
        [NVIDIA_SOURCE_DISTRO] = "distro",
        [NVIDIA_SOURCE_NVIDIA] = "nvidia",
        [NVIDIA_SOURCE_NONE] = "none",
};

const char *nvidia_source_to_string(NvidiaSource s) {
        return (unsigned) s < _NVIDIA_SOURCE_MAX ? source_names[s] : NULL;
}

int nvidia_source_from_string(const char *s, NvidiaSource *ret) {
        for (unsigned i = 0; i < _NVIDIA_SOURCE_MAX; i++)
                if (streq(isempty(s) ? "auto" : s, source_names[i])) {
                        *ret = (NvidiaSource) i;
                        return 0;
                }
        return -EINVAL;
}

void nvidia_plan_done(NvidiaPlan *p) {
        free(p->reason);
        free(p->repository);
        strv_free(p->notes);
        strv_free(p->packages);
        strv_free(p->toolkit);
        *p = (NvidiaPlan){};
}

const char *nvidia_kernel_flavour(const char *release) {
        const char *s = release;

        while (s && isdigit((unsigned char) *s)) {
                s = strchr(s, '-');
                s += s != NULL;
        }
        return strempty(s);
}

/* What the steps below share. */
typedef struct Decision {
        const NvidiaHost *host;
        const Conf *conf;
        const struct Release *release;
        bool arm, ubuntu;
        DriverNeed need;
        unsigned branch; /* DriverBranch=; 0: any */
        bool server;     /* DriverBranch= says so */
        NvidiaPlan plan;
} Decision;

static void decision_done(Decision *d) {
        nvidia_plan_done(&d->plan);
}

/* The steps end the decision by these; they return 1 then, 0 to go on, or -ENOMEM. */
#define END(d, how, what, ...)                                 \
        ((d)->plan.verdict = (how), (d)->plan.remedy = (what), \
         str_printf(&(d)->plan.reason, __VA_ARGS__) < 0 ? -ENOMEM : 1)
#define REFUSE(d, what, ...) END(d, NVIDIA_REFUSED, what, __VA_ARGS__)

static bool is_automatic(const Conf *c) {
        NvidiaSource s;

        return nvidia_source_from_string(c->driver_source, &s) >= 0 && s == NVIDIA_SOURCE_AUTO;
}

static int look_at_gpus(Decision *d) {
        const NvidiaHost *h = d->host;
        const NvidiaGpu *legacy = NULL, *recent = NULL, *old = NULL;

        for (size_t i = 0; i < h->n_gpus; i++) {
                const NvidiaGpu *g = &h->gpus[i];
                DriverNeed need;

                if (g->given_away)
                        continue;
                if (driver_need(g->device, &need) < 0) {
                        old = g;
                        continue;
                }
                driver_need_add(&d->need, &need);
                legacy = need.proprietary ? g : legacy;
                recent = need.open ? g : recent;
        }
        if (d->need.open && d->need.proprietary)
                return REFUSE(d, REMEDY_GIVE_AWAY,
                              "No driver drives both GPU %s (%s) and GPU %s (%s): the last one for the first does "
                              "not know the second",
                              legacy->name, gpu_arch_to_string(gpu_arch_from_device_id(legacy->device)),
                              recent->name, gpu_arch_to_string(gpu_arch_from_device_id(recent->device)));
        if (old && d->need.newest == GPU_ARCH_UNKNOWN && is_automatic(d->conf))
                return END(d, NVIDIA_NOTHING, NULL,
                           "GPU %s is older than any driver that is still maintained, and only a VM can use it",
                           old->name);
        if (old && d->need.newest == GPU_ARCH_UNKNOWN)
                return REFUSE(d, REMEDY_GIVE_AWAY, "GPU %s is older than any driver that is still maintained",
                              old->name);
        if (old)
                return strv_extendf(
                                &d->plan.notes,
                                "GPU %s is older than any driver that is still maintained: only a VM can use it",
                                old->name);
        if (d->need.newest != GPU_ARCH_UNKNOWN)
                return 0;
        return END(d, NVIDIA_NOTHING, NULL,
                   h->n_gpus ? "all GPUs are for VMs, so this host needs no driver"
                             : "there is no NVIDIA GPU");
}

static int look_at_host(Decision *d) {
        const NvidiaHost *h = d->host;

        for (size_t i = 0; i < ELEMENTSOF(releases) && !d->release; i++)
                if (streq(releases[i].id, strempty(h->id)) &&
                    streq(releases[i].version, strempty(h->version)))
                        d->release = &releases[i];
        d->arm = streq(strempty(h->machine), "aarch64");
        if (!d->release || !(d->arm || streq(strempty(h->machine), "x86_64")))
                return REFUSE(d, "Install the driver yourself and set Nvidia=no.",
                              "Which packages of NVIDIA's driver %s %s has on %s is not known", strna(h->id),
                              strna(h->version), strna(h->machine));
        d->ubuntu = d->release->branch == 0;
        return 0;
}

/* "580", "580-server". */
static int read_branch(Decision *d) {
        const char *s = d->conf->driver_branch, *suffix;
        char digits[4] = "";

        if (isempty(s))
                return 0;
        suffix = s + strspn(s, "0123456789");
        d->server = streq(suffix, "-server");
        if (suffix - s == 3)
                memcpy(digits, s, 3);
        if (parse_uint(digits, 999, &d->branch) < 0 || (*suffix && !d->server))
                return REFUSE(d,
                              "Set DriverBranch= to a number like 580, on Ubuntu also 580-server, or to nothing.",
                              "DriverBranch=%s is no branch of NVIDIA's driver", s);
        return 0;
}

static bool archive_fits(const Decision *d) {
        unsigned branch = d->release->branch;

        if (d->branch && d->branch != branch)
                return false;
        return driver_fits(&d->need, branch, true) || driver_fits(&d->need, branch, false);
}

/* The families do not mix: what is here decides, else the configuration, else whether the archive will do. */
static int choose_source(Decision *d) {
        const NvidiaHost *h = d->host;
        NvidiaSource wanted;

        if (nvidia_source_from_string(d->conf->driver_source, &wanted) < 0)
                return REFUSE(d, "Set DriverSource= to auto, distro, nvidia or none.",
                              "DriverSource=%s is not known", d->conf->driver_source);
        if (wanted == NVIDIA_SOURCE_NONE)
                return END(d, NVIDIA_NOTHING, NULL, "DriverSource=none");
        if (h->has_installer && wanted == NVIDIA_SOURCE_AUTO)
                return END(d, NVIDIA_NOTHING, NULL,
                           "a driver that apt knows nothing of is here (NVIDIA's .run file, or this machine's image), and is "
                           "left as it is");
        if (h->has_installer)
                return REFUSE(d,
                              "Remove it ('nvidia-uninstall' where NVIDIA's .run file was used), or set DriverSource=auto to "
                              "keep it.",
                              "A driver that apt knows nothing of is here");
        if (h->family != NVIDIA_SOURCE_AUTO && wanted != NVIDIA_SOURCE_AUTO && wanted != h->family)
                return REFUSE(d, REMEDY_FAMILY,
                              "A driver of the other family of packages (DriverSource=%s) is here",
                              nvidia_source_to_string(h->family));
        d->plan.source = wanted != NVIDIA_SOURCE_AUTO     ? wanted
                        : h->family != NVIDIA_SOURCE_AUTO ? h->family
                        : d->ubuntu || archive_fits(d)    ? NVIDIA_SOURCE_DISTRO
                                                          : NVIDIA_SOURCE_NVIDIA;
        return 0;
}

static int add_headers(Decision *d) {
        const char *flavour = nvidia_kernel_flavour(d->host->kernel);
        const struct Release *r = d->release;

        if (!*flavour)
                return REFUSE(d, "Install its headers and the driver yourself and set Nvidia=no.",
                              "Kernel %s is none of the distribution's", d->host->kernel);
        if (r->first_kernel && streq(flavour, "generic") && !startswith(d->host->kernel, r->first_kernel))
                return strv_extendf(&d->plan.packages, "linux-headers-generic-hwe-%s", r->version);
        return strv_extendf(&d->plan.packages, "linux-headers-%s", flavour);
}

/* Names with %s for what the caller chose. */
static int add(Decision *d, const char *const *names, const char *variant) {
        int r = 0;

        for (; *names && r >= 0; names++) {
                const char *gap = strstr(*names, "%s");

                r = gap ? strv_extendf(&d->plan.packages, "%.*s%s%s", (int) (gap - *names), *names, variant,
                                       gap + 2)
                        : strv_extend(&d->plan.packages, *names);
        }
        return r;
}

static int refuse_branch(Decision *d, unsigned branch) {
        const char *oldest = gpu_arch_to_string(d->need.oldest), *newest = gpu_arch_to_string(d->need.newest);

        if (d->need.max && (!branch || branch > d->need.max))
                return REFUSE(d, "Set DriverBranch=580, or nothing.",
                              "Driver %u is the last one for a GPU of this host (%s), not %u", d->need.max,
                              oldest, branch);
        return REFUSE(d, "Set DriverSource=nvidia and no DriverBranch=, or give that GPU to VMs.",
                      "Driver %u does not know a GPU of this host (%s)", branch, newest);
}

static int use_debian(Decision *d) {
        static const char *const names[] = { "%s", "libcuda1", "nvidia-smi", "nvidia-persistenced", NULL };
        unsigned branch = d->release->branch;
        NvidiaPlan *p = &d->plan;
        int r;

        if (d->branch && d->branch != branch)
                return REFUSE(d, "Set DriverSource=nvidia, or no DriverBranch=.",
                              "Debian %s has driver %u, not %u", d->release->version, branch, d->branch);
        p->open = driver_prefers_open(&d->need, branch);
        if (!driver_fits(&d->need, branch, p->open))
                return refuse_branch(d, branch);
        p->branch = branch;
        p->built_here = true;
        r = add_headers(d);
        return r != 0 ? r : add(d, names, p->open ? "nvidia-open-kernel-dkms" : "nvidia-kernel-dkms");
}

/* The better the more: ready made, the modules that NVIDIA prefers, long-term support, made for servers. */
static unsigned rank(const Decision *d, const UbuntuDriver *o) {
        bool open = driver_prefers_open(&d->need, o->branch);

        if (!driver_fits(&d->need, o->branch, o->open) || (d->branch && o->branch != d->branch) ||
            (d->server && !o->server))
                return 0;
        return (o->modules != NULL) << 14 | (o->open == open) << 13 | (o->branch == DRIVER_LONG_TERM) << 12 |
                        (unsigned) o->server << 11 | MIN(o->branch, 0x7ffu);
}

static const UbuntuDriver *best_offer(const Decision *d) {
        const UbuntuDrivers *l = d->host->offers;
        const UbuntuDriver *best = NULL;

        for (size_t i = 0; i < l->n; i++)
                if (rank(d, &l->items[i]) > (best ? rank(d, best) : 0))
                        best = &l->items[i];
        return best;
}

static int use_ubuntu(Decision *d) {
        static const char *const names[] = { "nvidia-headless-no-dkms-%s", NULL };
        _cleanup_free_ char *plain = NULL, *variant = NULL, *utils = NULL;
        const UbuntuDriver *o;
        NvidiaPlan *p = &d->plan;
        int r;

        if (!d->host->offers) {
                p->verdict = NVIDIA_ASK;
                return 1;
        }
        o = best_offer(d);
        if (!o && d->branch)
                return REFUSE(d,
                              "See 'ubuntu-drivers list --gpgpu', and set DriverBranch= to one of these or to nothing.",
                              "Ubuntu's archive has no driver %s for the GPUs of this host",
                              d->conf->driver_branch);
        if (!o)
                return REFUSE(d,
                              "See that Ubuntu's component 'restricted' is there, or set DriverSource=nvidia.",
                              "Ubuntu's archive has no driver for the GPUs of this host (%s)",
                              gpu_arch_to_string(d->need.newest));
        p->branch = o->branch;
        p->open = o->open;
        p->built_here = !o->modules;
        if (str_printf(&plain, "%u%s", o->branch, o->server ? "-server" : "") < 0 ||
            str_printf(&variant, "%s%s", plain, o->open ? "-open" : "") < 0 ||
            str_printf(&utils, "nvidia-utils-%s", plain) < 0)
                return -ENOMEM;
        r = add(d, names, variant);
        if (r >= 0)
                r = o->modules ? strv_extend(&p->packages, o->modules)
                               : strv_extendf(&p->packages, "nvidia-dkms-%s", variant);
        if (r >= 0)
                r = strv_extend(&p->packages, utils);
        return r < 0 || o->modules ? r : add_headers(d);
}

static int name_repository(Decision *d) {
        d->plan.key = d->release->key;
        d->plan.fingerprint = d->release->fingerprint;
        return str_printf(&d->plan.repository, "%s/%s", d->release->directory, d->arm ? "sbsa" : "x86_64");
}

static int use_repository(Decision *d) {
        static const char *const numbered[] = { "libnvidia-compute-%s", "nvidia-utils-%s",
                                                "nvidia-compute-utils-%s", NULL };
        static const char *const ubuntu[] = { "libnvidia-compute", "nvidia-persistenced", NULL };
        NvidiaPlan *p = &d->plan;
        char branch[8];
        int r;

        p->branch = d->branch                                         ? d->branch
                        : d->need.max                                 ? DRIVER_LONG_TERM
                        : d->need.min > d->release->repository_branch ? 0
                                                                      : d->release->repository_branch;
        p->open = driver_prefers_open(&d->need, p->branch);
        if (!driver_fits(&d->need, p->branch, p->open))
                return refuse_branch(d, p->branch);
        p->built_here = true;
        if (name_repository(d) < 0)
                return -ENOMEM;
        (void) snprintf(branch, sizeof(branch), "%u", p->branch);
        r = add_headers(d);
        if (r != 0)
                return r;
        if (!d->ubuntu) {
                r = strv_extend(&p->packages, "nvidia-driver-cuda");
                return r < 0 ? r
                             : strv_extend(&p->packages,
                                           p->open ? "nvidia-kernel-open-dkms" : "nvidia-kernel-dkms");
        }
        if (p->branch == 0 || p->branch >= UNNUMBERED_FROM) {
                r = add(d, ubuntu, "");
                return r < 0 ? r : strv_extend(&p->packages, p->open ? "nvidia-dkms-open" : "nvidia-dkms");
        }
        r = add(d, numbered, branch);
        return r < 0 ? r : strv_extendf(&p->packages, "nvidia-dkms-%s%s", branch, p->open ? "-open" : "");
}

static int check_secure_boot(Decision *d) {
        const NvidiaHost *h = d->host;

        if (!h->secure_boot || !d->plan.built_here || h->key_enrolled)
                return 0;
        return REFUSE(d, d->ubuntu ? REMEDY_SIGNED_UBUNTU : REMEDY_SIGNED,
                      "Secure Boot is on, and the driver would be built here: the kernel would not load it");
}

static int add_archive_toolkit(Decision *d, const Cuda *wanted) {
        Cuda have = d->release->cuda;

        if (wanted &&
            (wanted->major != have.major || (wanted->minor != CUDA_ANY_MINOR && wanted->minor != have.minor)))
                return REFUSE(d, "Set CudaToolkit=auto, or DriverSource=nvidia.",
                              "The distribution's CUDA toolkit is %u.%u, not %s", have.major, have.minor,
                              d->conf->cuda_toolkit);
        if (d->need.newest >= GPU_ARCH_BLACKWELL)
                return strv_extendf(
                                &d->plan.notes,
                                "The distribution's CUDA toolkit %u.%u is older than this host's GPUs (%s) and is "
                                "left out; NVIDIA's repository has newer ones (DriverSource=nvidia)",
                                have.major, have.minor, gpu_arch_to_string(d->need.newest));
        return strv_extend(&d->plan.toolkit, "nvidia-cuda-toolkit");
}

static int add_toolkit(Decision *d) {
        const char *s = d->conf->cuda_toolkit, *objection;
        NvidiaPlan *p = &d->plan;
        bool automatic = isempty(s) || streq(s, "auto");
        Cuda cuda = {};

        if (!automatic && streq(s, "no"))
                return 0;
        if (!automatic && cuda_parse(s, &cuda) < 0)
                return REFUSE(d, "Set CudaToolkit= to auto, no, or a version like 12-9.",
                              "CudaToolkit=%s is no version of the CUDA toolkit", s);
        if (p->source == NVIDIA_SOURCE_DISTRO)
                return add_archive_toolkit(d, automatic ? NULL : &cuda);
        objection = automatic ? NULL : cuda_objection(&d->need, p->branch, cuda);
        if (objection)
                return REFUSE(d, "Set CudaToolkit=auto.", "CudaToolkit=%s: %s", s, objection);
        if (automatic)
                cuda = cuda_for_driver(&d->need, p->branch);
        if (cuda.major == 0)
                return strv_extend(&p->toolkit, "cuda-toolkit");
        if (cuda.minor == CUDA_ANY_MINOR)
                return strv_extendf(&p->toolkit, "cuda-toolkit-%u", cuda.major);
        return strv_extendf(&p->toolkit, "cuda-toolkit-%u-%u", cuda.major, cuda.minor);
}

/* What is here and drives the GPUs is left as it is: a newer one is not better for them. */
static int use_installed(Decision *d) {
        const NvidiaHost *h = d->host;
        NvidiaPlan *p = &d->plan;

        if ((d->branch && d->branch != h->branch) || !driver_fits(&d->need, h->branch, h->open))
                return REFUSE(d, "Remove its packages and start this phase again, or set DriverSource=none.",
                              "Driver %u with %s modules is here, %s", h->branch,
                              h->open ? "open" : "proprietary",
                              d->branch && d->branch != h->branch
                                              ? "not the one that DriverBranch= asks for"
                                              : "which does not drive all GPUs of this host");
        p->branch = h->branch;
        p->open = h->open;
        p->built_here = h->built_here;
        return p->source == NVIDIA_SOURCE_NVIDIA ? name_repository(d) : 0;
}

static int use_source(Decision *d) {
        if (d->host->branch)
                return use_installed(d);
        return d->plan.source == NVIDIA_SOURCE_NVIDIA ? use_repository(d)
                        : d->ubuntu                   ? use_ubuntu(d)
                                                      : use_debian(d);
}

int nvidia_decide(const NvidiaHost *h, const Conf *c, NvidiaPlan *ret) {
        static int (*const steps[])(Decision * d) = {
                look_at_gpus, look_at_host,      read_branch, choose_source,
                use_source,   check_secure_boot, add_toolkit,
        };
        _cleanup_(decision_done) Decision d = { .host = h, .conf = c };
        int r = 0;

        for (size_t i = 0; i < ELEMENTSOF(steps) && r == 0; i++)
                r = steps[i](&d);
        if (r < 0)
                return r;
        if (r == 0) {
                d.plan.verdict = NVIDIA_INSTALL;
                d.plan.container_toolkit = c->container_toolkit == CONTAINER_YES ||
                                (c->container_toolkit == CONTAINER_AUTO && h->has_containers);
        }
        *ret = d.plan;
        d.plan = (NvidiaPlan){};
        return 0;
}
