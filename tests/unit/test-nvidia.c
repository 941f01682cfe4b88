/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which packages a machine gets, or why none. */

#include "fs.h"
#include "nvidia.h"
#include "tests/tap.h"

enum {
        KEPLER = 0x1180,
        PASCAL = 0x1b06,
        VOLTA = 0x1db4,
        TURING = 0x1eb8,
        AMPERE = 0x20b0,
        HOPPER = 0x2330,
        ADA = 0x2684,
        BLACKWELL = 0x2d04,
        GONE = 0x10000, /* given to VMs */
};

/* What ubuntu-drivers says on a machine of its newest cards, of old ones, and of neither. */
#define NEW_CARDS                                                                                                    \
        "nvidia-driver-580-open, (kernel modules provided by linux-modules-nvidia-580-open-generic)\n"               \
        "nvidia-driver-580-server-open, (kernel modules provided by linux-modules-nvidia-580-server-open-generic)\n" \
        "nvidia-driver-595-open, (kernel modules provided by nvidia-dkms-595-open)\n"
#define OLD_CARDS                                                                                          \
        "nvidia-driver-535-server, (kernel modules provided by linux-modules-nvidia-535-server-generic)\n" \
        "nvidia-driver-580, (kernel modules provided by linux-modules-nvidia-580-generic)\n"               \
        "nvidia-driver-580-server, (kernel modules provided by linux-modules-nvidia-580-server-generic)\n"
#define BOTH_KINDS NEW_CARDS OLD_CARDS
#define NONE_READY                                                           \
        "nvidia-driver-580-server-open, (kernel modules provided by None)\n" \
        "nvidia-driver-580-server, (kernel modules provided by nvidia-dkms-580-server)\n"

#define DEBIAN_REST " libcuda1 nvidia-smi nvidia-persistenced"

typedef struct Row {
        const char *system; /* "debian 12" and, where not amd64, the machine */
        unsigned gpus[3];
        const char *source, *branch, *toolkit; /* the configuration */
        const char *want;                      /* plan_describe() */
        const char *offers;
        const char *kernel;
        bool secure_boot, key;
        NvidiaSource family;
        unsigned installed;
        bool installed_open, installer;
} Row;

static const Row rows[] = {
        /* Debian's own archive, where that will do. */
        { "debian 12",
          { PASCAL },
          .want = "distro 535 proprietary here: linux-headers-amd64 nvidia-kernel-dkms" DEBIAN_REST
                  "; nvidia-cuda-toolkit" },
        { "debian 12",
          { ADA },
          .want = "distro 535 proprietary here: linux-headers-amd64 nvidia-kernel-dkms" DEBIAN_REST
                  "; nvidia-cuda-toolkit" },
        { "debian 13",
          { VOLTA },
          .want = "distro 550 proprietary here: linux-headers-amd64 nvidia-kernel-dkms" DEBIAN_REST
                  "; nvidia-cuda-toolkit" },
        { "debian 13",
          { HOPPER, HOPPER },
          .want = "distro 550 proprietary here: linux-headers-amd64 nvidia-kernel-dkms" DEBIAN_REST
                  "; nvidia-cuda-toolkit" },
        { "debian 13",
          { PASCAL, AMPERE },
          .want = "distro 550 proprietary here: linux-headers-amd64 nvidia-kernel-dkms" DEBIAN_REST
                  "; nvidia-cuda-toolkit" },
        { "debian 13 aarch64",
          { AMPERE },
          .kernel = "6.12.107+deb13-arm64",
          .want = "distro 550 proprietary here: linux-headers-arm64 nvidia-kernel-dkms" DEBIAN_REST
                  "; nvidia-cuda-toolkit" },
        { "debian 13",
          { TURING },
          .kernel = "6.12.107+deb13-cloud-amd64",
          .toolkit = "no",
          .want = "distro 550 proprietary here: linux-headers-cloud-amd64 nvidia-kernel-dkms" DEBIAN_REST },
        { "debian 12",
          { TURING },
          .source = "distro",
          .branch = "535",
          .toolkit = "11.8",
          .want = "distro 535 proprietary here: linux-headers-amd64 nvidia-kernel-dkms" DEBIAN_REST
                  "; nvidia-cuda-toolkit" },

        /* NVIDIA's repository, where that was asked for or nothing else knows the card. */
        { "debian 12",
          { BLACKWELL },
          .want = "nvidia debian12/x86_64 580 open here: linux-headers-amd64 nvidia-driver-cuda nvidia-kernel-open-dkms; cuda-toolkit-13-0" },
        { "debian 13",
          { BLACKWELL },
          .want = "nvidia debian13/x86_64 newest open here: linux-headers-amd64 nvidia-driver-cuda nvidia-kernel-open-dkms; cuda-toolkit" },
        { "debian 13",
          { ADA, BLACKWELL },
          .want = "nvidia debian13/x86_64 newest open here: linux-headers-amd64 nvidia-driver-cuda nvidia-kernel-open-dkms; cuda-toolkit" },
        { "debian 13 aarch64",
          { BLACKWELL },
          .kernel = "6.12.107+deb13-arm64",
          .want = "nvidia debian13/sbsa newest open here: linux-headers-arm64 nvidia-driver-cuda nvidia-kernel-open-dkms; cuda-toolkit" },
        { "debian 12",
          { ADA },
          .source = "nvidia",
          .want = "nvidia debian12/x86_64 580 open here: linux-headers-amd64 nvidia-driver-cuda nvidia-kernel-open-dkms; cuda-toolkit-13-0" },
        { "debian 12",
          { PASCAL },
          .source = "nvidia",
          .want = "nvidia debian12/x86_64 580 proprietary here: linux-headers-amd64 nvidia-driver-cuda nvidia-kernel-dkms; cuda-toolkit-12-9" },
        { "debian 13",
          { PASCAL, ADA },
          .source = "nvidia",
          .want = "nvidia debian13/x86_64 580 proprietary here: linux-headers-amd64 nvidia-driver-cuda nvidia-kernel-dkms; cuda-toolkit-12-9" },
        { "debian 12",
          { ADA },
          .branch = "595",
          .want = "nvidia debian12/x86_64 595 open here: linux-headers-amd64 nvidia-driver-cuda nvidia-kernel-open-dkms; cuda-toolkit-13-2" },
        { "ubuntu 24.04",
          { ADA },
          .source = "nvidia",
          .kernel = "6.8.0-50-generic",
          .want = "nvidia ubuntu2404/x86_64 580 open here: linux-headers-generic libnvidia-compute-580 nvidia-utils-580 nvidia-compute-utils-580 nvidia-dkms-580-open; cuda-toolkit-13-0" },
        { "ubuntu 24.04",
          { PASCAL },
          .source = "nvidia",
          .kernel = "6.8.0-50-generic",
          .want = "nvidia ubuntu2404/x86_64 580 proprietary here: linux-headers-generic libnvidia-compute-580 nvidia-utils-580 nvidia-compute-utils-580 nvidia-dkms-580; cuda-toolkit-12-9" },
        { "ubuntu 24.04",
          { BLACKWELL },
          .source = "nvidia",
          .branch = "595",
          .kernel = "6.8.0-1021-aws",
          .toolkit = "12-9",
          .want = "nvidia ubuntu2404/x86_64 595 open here: linux-headers-aws libnvidia-compute nvidia-persistenced nvidia-dkms-open; cuda-toolkit-12-9" },
        { "ubuntu 24.04 aarch64",
          { HOPPER },
          .source = "nvidia",
          .kernel = "6.8.0-50-generic",
          .toolkit = "13",
          .want = "nvidia ubuntu2404/sbsa 580 open here: linux-headers-generic libnvidia-compute-580 nvidia-utils-580 nvidia-compute-utils-580 nvidia-dkms-580-open; cuda-toolkit-13" },

        /* Ubuntu's archive: ready made before built here, long-term before newest, for servers before not. */
        { "ubuntu 24.04", { ADA }, .want = "ask" },
        { "ubuntu 24.04",
          { ADA },
          .offers = NEW_CARDS,
          .want = "distro 580 open signed: nvidia-headless-no-dkms-580-server-open linux-modules-nvidia-580-server-open-generic nvidia-utils-580-server; nvidia-cuda-toolkit" },
        { "ubuntu 24.04",
          { TURING },
          .offers = BOTH_KINDS,
          .secure_boot = true,
          .toolkit = "no",
          .want = "distro 580 open signed: nvidia-headless-no-dkms-580-server-open linux-modules-nvidia-580-server-open-generic nvidia-utils-580-server" },
        { "ubuntu 24.04",
          { PASCAL },
          .offers = BOTH_KINDS,
          .toolkit = "auto",
          .want = "distro 580 proprietary signed: nvidia-headless-no-dkms-580-server linux-modules-nvidia-580-server-generic nvidia-utils-580-server; nvidia-cuda-toolkit" },
        { "ubuntu 24.04",
          { PASCAL, AMPERE },
          .offers = BOTH_KINDS,
          .toolkit = "no",
          .want = "distro 580 proprietary signed: nvidia-headless-no-dkms-580-server linux-modules-nvidia-580-server-generic nvidia-utils-580-server" },
        { "ubuntu 24.04",
          { BLACKWELL },
          .offers = BOTH_KINDS,
          .want = "distro 580 open signed: nvidia-headless-no-dkms-580-server-open linux-modules-nvidia-580-server-open-generic nvidia-utils-580-server (note)" },
        { "ubuntu 24.04",
          { TURING },
          .offers = OLD_CARDS,
          .branch = "535",
          .toolkit = "no",
          .want = "distro 535 proprietary signed: nvidia-headless-no-dkms-535-server linux-modules-nvidia-535-server-generic nvidia-utils-535-server" },
        { "ubuntu 24.04",
          { ADA },
          .offers = NEW_CARDS,
          .branch = "595",
          .kernel = "6.8.0-50-generic",
          .toolkit = "no",
          .want = "distro 595 open here: nvidia-headless-no-dkms-595-open nvidia-dkms-595-open nvidia-utils-595 linux-headers-generic" },
        { "ubuntu 24.04",
          { ADA },
          .offers = BOTH_KINDS,
          .branch = "580-server",
          .toolkit = "no",
          .want = "distro 580 open signed: nvidia-headless-no-dkms-580-server-open linux-modules-nvidia-580-server-open-generic nvidia-utils-580-server" },
        { "ubuntu 24.04",
          { AMPERE },
          .offers = NONE_READY,
          .kernel = "6.8.0-50-lowlatency",
          .toolkit = "no",
          .want = "distro 580 open here: nvidia-headless-no-dkms-580-server-open nvidia-dkms-580-server-open nvidia-utils-580-server linux-headers-lowlatency" },
        { "ubuntu 24.04",
          { VOLTA },
          .offers = NONE_READY,
          .kernel = "6.8.0-50-generic",
          .toolkit = "no",
          .want = "distro 580 proprietary here: nvidia-headless-no-dkms-580-server nvidia-dkms-580-server nvidia-utils-580-server linux-headers-generic" },
        /* The generic kernel of a later release than the first one's. */
        { "ubuntu 24.04",
          { AMPERE },
          .offers = NONE_READY,
          .kernel = "6.14.0-36-generic",
          .toolkit = "no",
          .want = "distro 580 open here: nvidia-headless-no-dkms-580-server-open nvidia-dkms-580-server-open nvidia-utils-580-server linux-headers-generic-hwe-24.04" },
        { "ubuntu 24.04",
          { VOLTA },
          .offers = NEW_CARDS,
          .want = "refused: Ubuntu's archive has no driver for the GPUs of this host (Volta)" },
        { "ubuntu 24.04",
          { ADA },
          .offers = NEW_CARDS,
          .branch = "570",
          .want = "refused: Ubuntu's archive has no driver 570 for the GPUs of this host" },
        { "ubuntu 24.04",
          { ADA },
          .toolkit = "no",
          .offers = "nvidia-driver-595-server-open, (kernel modules provided by linux-modules-nvidia-595-server-open-generic)\n"
                    "nvidia-driver-580-open, (kernel modules provided by linux-modules-nvidia-580-open-generic)\n",
          .want = "distro 580 open signed: nvidia-headless-no-dkms-580-open linux-modules-nvidia-580-open-generic nvidia-utils-580" },
        { "ubuntu 24.04",
          { ADA },
          .toolkit = "no",
          .offers = "nvidia-driver-580-server-open, (kernel modules provided by None)\n"
                    "nvidia-driver-570-open, (kernel modules provided by linux-modules-nvidia-570-open-generic)\n",
          .want = "distro 570 open signed: nvidia-headless-no-dkms-570-open linux-modules-nvidia-570-open-generic nvidia-utils-570" },
        { "ubuntu 24.04",
          { ADA },
          .toolkit = "no",
          .offers = "nvidia-driver-595-open, (kernel modules provided by linux-modules-nvidia-595-open-generic)\n"
                    "nvidia-driver-590-server-open, (kernel modules provided by linux-modules-nvidia-590-server-open-generic)\n",
          .want = "distro 590 open signed: nvidia-headless-no-dkms-590-server-open linux-modules-nvidia-590-server-open-generic nvidia-utils-590-server" },
        { "ubuntu 24.04",
          { ADA },
          .toolkit = "no",
          .offers = "nvidia-driver-590-open, (kernel modules provided by linux-modules-nvidia-590-open-generic)\n"
                    "nvidia-driver-595-open, (kernel modules provided by linux-modules-nvidia-595-open-generic)\n",
          .want = "distro 595 open signed: nvidia-headless-no-dkms-595-open linux-modules-nvidia-595-open-generic nvidia-utils-595" },
        { "ubuntu 24.04",
          { ADA },
          .toolkit = "no",
          .offers = "nvidia-driver-535-server-open, (kernel modules provided by linux-modules-nvidia-535-server-open-generic)\n"
                    "nvidia-driver-535-server, (kernel modules provided by linux-modules-nvidia-535-server-generic)\n",
          .want = "distro 535 proprietary signed: nvidia-headless-no-dkms-535-server linux-modules-nvidia-535-server-generic nvidia-utils-535-server" },

        /* Secure Boot and a driver that nobody signed. */
        { "debian 12",
          { ADA },
          .secure_boot = true,
          .want = "refused: Secure Boot is on, and the driver would be built here: the kernel would not load it" },
        { "debian 12",
          { ADA },
          .secure_boot = true,
          .key = true,
          .toolkit = "no",
          .want = "distro 535 proprietary here: linux-headers-amd64 nvidia-kernel-dkms" DEBIAN_REST },
        { "debian 13",
          { BLACKWELL },
          .secure_boot = true,
          .want = "refused: Secure Boot is on, and the driver would be built here: the kernel would not load it" },
        { "ubuntu 24.04",
          { AMPERE },
          .secure_boot = true,
          .offers = NONE_READY,
          .kernel = "6.8.0-50-generic",
          .want = "refused: Secure Boot is on, and the driver would be built here: the kernel would not load it" },
        { "ubuntu 24.04",
          { ADA },
          .secure_boot = true,
          .source = "nvidia",
          .kernel = "6.8.0-50-generic",
          .want = "refused: Secure Boot is on, and the driver would be built here: the kernel would not load it" },

        /* Hosts that need none. */
        { "debian 13", {}, .want = "nothing: there is no NVIDIA GPU" },
        { "debian 13",
          { ADA | GONE, PASCAL | GONE },
          .secure_boot = true,
          .want = "nothing: all GPUs are for VMs, so this host needs no driver" },
        { "debian 13",
          { KEPLER | GONE },
          .source = "nvidia",
          .want = "nothing: all GPUs are for VMs, so this host needs no driver" },
        { "debian 13", { ADA }, .source = "none", .want = "nothing: DriverSource=none" },
        { "debian 13",
          { ADA },
          .installer = true,
          .want = "nothing: a driver that apt knows nothing of is here (NVIDIA's .run file, or this machine's image), "
                  "and is left as it is" },

        /* No driver for all, but for those that stay. */
        { "debian 12",
          { KEPLER },
          .want = "nothing: GPU 0 is older than any driver that is still maintained, and only a VM can use it" },
        { "debian 12",
          { KEPLER },
          .source = "distro",
          .want = "refused: GPU 0 is older than any driver that is still maintained" },
        { "debian 12",
          { KEPLER, ADA },
          .toolkit = "no",
          .want = "distro 535 proprietary here: linux-headers-amd64 nvidia-kernel-dkms" DEBIAN_REST
                  " (note)" },
        { "debian 12",
          { PASCAL, BLACKWELL },
          .want = "refused: No driver drives both GPU 0 (Pascal) and GPU 1 (Blackwell): the last one for the first does not know the second" },
        { "debian 12",
          { PASCAL | GONE, BLACKWELL },
          .toolkit = "no",
          .want = "nvidia debian12/x86_64 580 open here: linux-headers-amd64 nvidia-driver-cuda nvidia-kernel-open-dkms" },
        { "debian 12",
          { PASCAL, BLACKWELL | GONE },
          .toolkit = "no",
          .want = "distro 535 proprietary here: linux-headers-amd64 nvidia-kernel-dkms" DEBIAN_REST },
        { "debian 12",
          { BLACKWELL },
          .source = "distro",
          .want = "refused: Driver 535 does not know a GPU of this host (Blackwell)" },
        { "debian 12",
          { PASCAL },
          .source = "nvidia",
          .branch = "595",
          .want = "refused: Driver 580 is the last one for a GPU of this host (Pascal), not 595" },
        { "debian 12",
          { BLACKWELL },
          .source = "nvidia",
          .branch = "550",
          .want = "refused: Driver 550 does not know a GPU of this host (Blackwell)" },

        /* What is here stays, and decides where the rest comes from. */
        { "debian 12",
          { ADA },
          .family = NVIDIA_SOURCE_NVIDIA,
          .installed = 570,
          .installed_open = true,
          .want = "nvidia debian12/x86_64 570 open here:; cuda-toolkit-12-8" },
        { "ubuntu 24.04",
          { PASCAL },
          .family = NVIDIA_SOURCE_DISTRO,
          .installed = 535,
          .toolkit = "no",
          .secure_boot = true,
          .key = true,
          .want = "distro 535 proprietary here:" },
        { "ubuntu 24.04",
          { ADA },
          .family = NVIDIA_SOURCE_NVIDIA,
          .kernel = "6.8.0-50-generic",
          .toolkit = "no",
          .want = "nvidia ubuntu2404/x86_64 580 open here: linux-headers-generic libnvidia-compute-580 nvidia-utils-580 nvidia-compute-utils-580 nvidia-dkms-580-open" },
        { "debian 12",
          { ADA },
          .family = NVIDIA_SOURCE_DISTRO,
          .installed = 535,
          .source = "nvidia",
          .want = "refused: A driver of the other family of packages (DriverSource=distro) is here" },
        { "debian 12",
          { ADA },
          .family = NVIDIA_SOURCE_NVIDIA,
          .source = "distro",
          .want = "refused: A driver of the other family of packages (DriverSource=nvidia) is here" },
        { "debian 12",
          { ADA, BLACKWELL },
          .family = NVIDIA_SOURCE_DISTRO,
          .installed = 535,
          .want = "refused: Driver 535 with proprietary modules is here, which does not drive all GPUs of this host" },
        { "debian 12",
          { ADA },
          .family = NVIDIA_SOURCE_NVIDIA,
          .installed = 580,
          .installed_open = true,
          .branch = "595",
          .want = "refused: Driver 580 with open modules is here, not the one that DriverBranch= asks for" },
        { "debian 12",
          { ADA },
          .installer = true,
          .source = "distro",
          .want = "refused: A driver that apt knows nothing of is here" },

        /* The toolkit. */
        { "debian 13",
          { ADA },
          .toolkit = "12",
          .want = "distro 550 proprietary here: linux-headers-amd64 nvidia-kernel-dkms" DEBIAN_REST
                  "; nvidia-cuda-toolkit" },
        { "debian 13",
          { ADA },
          .toolkit = "12-9",
          .want = "refused: The distribution's CUDA toolkit is 12.4, not 12-9" },
        { "debian 13",
          { ADA },
          .toolkit = "13",
          .want = "refused: The distribution's CUDA toolkit is 12.4, not 13" },
        { "debian 12",
          { PASCAL },
          .source = "nvidia",
          .toolkit = "13-0",
          .want = "refused: CudaToolkit=13-0: CUDA 12.9 is the last one for GPUs before Turing" },
        { "debian 12",
          { BLACKWELL },
          .toolkit = "12-6",
          .want = "refused: CudaToolkit=12-6: CUDA 12.8 is the first one for Blackwell" },
        { "debian 12",
          { ADA },
          .toolkit = "new",
          .want = "refused: CudaToolkit=new is no version of the CUDA toolkit" },

        /* What cannot be. */
        { "debian 11",
          { ADA },
          .want = "refused: Which packages of NVIDIA's driver debian 11 has on x86_64 is not known" },
        { "fedora 42",
          { ADA },
          .want = "refused: Which packages of NVIDIA's driver fedora 42 has on x86_64 is not known" },
        { "debian 13 riscv64",
          { ADA },
          .want = "refused: Which packages of NVIDIA's driver debian 13 has on riscv64 is not known" },
        { "debian 13", { ADA }, .source = "cuda", .want = "refused: DriverSource=cuda is not known" },
        { "debian 13",
          { ADA },
          .branch = "new",
          .want = "refused: DriverBranch=new is no branch of NVIDIA's driver" },
        { "debian 13",
          { ADA },
          .branch = "580-open",
          .want = "refused: DriverBranch=580-open is no branch of NVIDIA's driver" },
        { "debian 13",
          { ADA },
          .kernel = "6.12.7",
          .want = "refused: Kernel 6.12.7 is none of the distribution's" },
};

/* "SOURCE [REPOSITORY] BRANCH MODULES BY: PACKAGES; TOOLKIT (note)" */
static char *plan_describe(const NvidiaPlan *p) {
        _cleanup_free_ char *packages = strv_join(p->packages, " "), *toolkit = strv_join(p->toolkit, " "),
                            *branch = NULL;
        char *s = NULL;

        switch (p->verdict) {
        case NVIDIA_ASK:
                return strdup("ask");
        case NVIDIA_NOTHING:
        case NVIDIA_REFUSED:
                ASSERT(p->reason != NULL);
                ASSERT((p->verdict == NVIDIA_REFUSED) == (p->remedy != NULL));
                ASSERT(!p->remedy || endswith(p->remedy, "."));
                ASSERT(str_printf(&s, "%s: %s", p->remedy ? "refused" : "nothing", p->reason) >= 0);
                return s;
        default:
                break;
        }
        ASSERT(packages && toolkit && str_printf(&branch, "%u", p->branch) >= 0);
        ASSERT((p->source == NVIDIA_SOURCE_NVIDIA) == (p->repository != NULL));
        ASSERT(str_printf(&s, "%s%s%s %s %s %s:%s%s%s%s%s", nvidia_source_to_string(p->source),
                          p->repository ? " " : "", strempty(p->repository), p->branch ? branch : "newest",
                          p->open ? "open" : "proprietary", p->built_here ? "here" : "signed",
                          *packages ? " " : "", packages, *toolkit ? "; " : "", toolkit,
                          p->notes ? " (note)" : "") >= 0);
        return s;
}

static void fill_gpus(const Row *row, NvidiaGpu *gpus, NvidiaHost *h) {
        static const char *const names[] = { "0", "1", "2" };

        h->gpus = gpus;
        for (size_t i = 0; i < ELEMENTSOF(row->gpus) && row->gpus[i]; i++)
                gpus[h->n_gpus++] = (NvidiaGpu){ names[i], (uint16_t) row->gpus[i], row->gpus[i] & GONE };
}

static char *decide(const Row *row) {
        _cleanup_(ubuntu_drivers_done) UbuntuDrivers offers = {};
        _cleanup_(nvidia_plan_done) NvidiaPlan p = {};
        _cleanup_strv_ char **words = NULL, **lines = NULL;
        NvidiaGpu gpus[ELEMENTSOF(row->gpus)];
        Conf c = { .driver_source = (char *) row->source,
                   .driver_branch = (char *) row->branch,
                   .cuda_toolkit = (char *) row->toolkit,
                   .container_toolkit = CONTAINER_YES };
        NvidiaHost h = { .secure_boot = row->secure_boot,
                         .key_enrolled = row->key,
                         .has_installer = row->installer,
                         .family = row->family,
                         .branch = row->installed,
                         .open = row->installed_open,
                         .built_here = true };

        ASSERT(strv_split(row->system, " ", &words) >= 0 &&
               strv_split(strempty(row->offers), "\n", &lines) >= 0);
        h.id = words[0];
        h.version = words[1];
        h.machine = words[2] ?: "x86_64";
        h.kernel = row->kernel ?: "6.1.0-40-amd64";
        STRV_FOREACH(l, lines)
                ASSERT_EQ(ubuntu_drivers_add_line(&offers, *l), 1);
        h.offers = row->offers ? &offers : NULL;
        fill_gpus(row, gpus, &h);
        ASSERT_EQ(nvidia_decide(&h, &c, &p), 0);
        ASSERT_EQ(p.container_toolkit, p.verdict == NVIDIA_INSTALL);
        return plan_describe(&p);
}

TEST(decides) {
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_free_ char *got = decide(&rows[i]);

                if (!streq(got, rows[i].want))
                        tap_stop(EXIT_FAILURE, __LINE__, "row %zu (%s): %s, not %s", i, rows[i].system, got,
                                 rows[i].want);
        }
}

TEST(kernel_flavours) {
        static const struct {
                const char *release, *want;
        } flavours[] = {
                { "6.1.0-40-amd64", "amd64" },
                { "6.12.107+deb13-amd64", "amd64" },
                { "6.12.107+deb13-cloud-amd64", "cloud-amd64" },
                { "6.1.0-0.deb11.5-rt-amd64", "rt-amd64" },
                { "6.8.0-50-generic", "generic" },
                { "6.8.0-1021-aws", "aws" },
                { "6.12.7", "" },
                { "6.12.7-", "" },
                { "", "" },
        };

        for (size_t i = 0; i < ELEMENTSOF(flavours); i++)
                ASSERT_STREQ(nvidia_kernel_flavour(flavours[i].release), flavours[i].want);
}

TEST(sources_by_name) {
        NvidiaSource s = _NVIDIA_SOURCE_MAX;

        ASSERT(nvidia_source_from_string(NULL, &s) == 0 && s == NVIDIA_SOURCE_AUTO);
        ASSERT(nvidia_source_from_string("", &s) == 0 && s == NVIDIA_SOURCE_AUTO);
        for (unsigned i = 0; i < _NVIDIA_SOURCE_MAX; i++)
                ASSERT(nvidia_source_from_string(nvidia_source_to_string((NvidiaSource) i), &s) == 0 &&
                       s == (NvidiaSource) i);
        ASSERT_EQ(nvidia_source_from_string("Nvidia", &s), -EINVAL);
        ASSERT(!nvidia_source_to_string(_NVIDIA_SOURCE_MAX));
}
