/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Nvidia: which of NVIDIA's packages a host needs, and from where. Pure: a machine and a configuration in, a
 * list of packages out, or the reason why not.
 *
 * There are two families of packages for one driver, the distribution's and those of NVIDIA's own repository.
 * Their names overlap and their parts do not fit together, so a machine has one of them or none. */

#include "conf.h"
#include "gpudriver.h"
#include "strv.h"
#include "ubuntudrivers.h"

/* Where NVIDIA's own packages are, one directory for each release and architecture. */
#define NVIDIA_REPOSITORY "https://developer.download.nvidia.com/compute/cuda/repos/"

typedef enum NvidiaSource {
        NVIDIA_SOURCE_AUTO, /* the distribution's, unless another is here or that one cannot drive the GPUs */
        NVIDIA_SOURCE_DISTRO,
        NVIDIA_SOURCE_NVIDIA,
        NVIDIA_SOURCE_NONE,
        _NVIDIA_SOURCE_MAX,
} NvidiaSource;

const char *nvidia_source_to_string(NvidiaSource s);

/* "" and NULL are auto. Returns 0 or -EINVAL. */
int nvidia_source_from_string(const char *s, NvidiaSource *ret) _must_check_ __attribute__((nonnull(2)));

typedef struct NvidiaGpu {
        const char *name; /* its address, for messages */
        uint16_t device;
        bool given_away; /* only VMs use it */
} NvidiaGpu;

typedef struct NvidiaHost {
        const char *id, *version; /* of os-release(5): "debian", "12" */
        const char *machine;      /* as uname -m */
        const char *kernel;       /* release of the kernel that will start */
        bool secure_boot;
        bool key_enrolled;     /* the firmware trusts the key that modules built here are signed with */
        bool has_containers;   /* a program that runs containers is here */
        bool has_installer;    /* the driver is one that apt knows nothing of: from NVIDIA's .run file, or the
                                * image that this machine was made from */
        NvidiaSource family;   /* whose packages of the driver are here; AUTO: none are */
        unsigned branch;       /* of the complete driver that is here; 0: none is */
        bool open, built_here; /* that one's modules */
        const NvidiaGpu *gpus;
        size_t n_gpus;
        const UbuntuDrivers *offers; /* on Ubuntu; NULL: not asked yet, the plan may say to ask */
} NvidiaHost;

typedef enum NvidiaVerdict {
        NVIDIA_NOTHING, /* this host needs no driver, or has one that is not ours to touch */
        NVIDIA_ASK,     /* give offers, and ask again */
        NVIDIA_INSTALL,
        NVIDIA_REFUSED,
} NvidiaVerdict;

typedef struct NvidiaPlan {
        NvidiaVerdict verdict;
        char *reason;       /* why nothing, or why it is refused */
        const char *remedy; /* of a refusal */
        char **notes;       /* what the user should know besides */

        /* NVIDIA_INSTALL */
        NvidiaSource source;     /* DISTRO or NVIDIA */
        unsigned branch;         /* 0: the newest of the source */
        bool open;               /* open kernel modules */
        bool built_here;         /* by DKMS, else built and signed by the distribution */
        char **packages;         /* driver and tools; NULL: the driver that is here will do */
        char **toolkit;          /* of CUDA; NULL: none */
        bool container_toolkit;  /* wanted */
        char *repository;        /* below NVIDIA_REPOSITORY, "debian12/x86_64"; NULL: none is needed */
        const char *key;         /* the file with its key there */
        const char *fingerprint; /* and what that one's has to be */
} NvidiaPlan;

/* Returns 0 or -ENOMEM. */
int nvidia_decide(const NvidiaHost *h, const Conf *c, NvidiaPlan *ret) _must_check_ _nonnull_all_;
void nvidia_plan_done(NvidiaPlan *p);

/* What names a kernel's flavour in "6.12.107+deb13-cloud-amd64" or "6.8.0-50-generic": "cloud-amd64",
 * "generic"; "" if there is none. Points into release. */
const char *nvidia_kernel_flavour(const char *release) _nonnull_all_;
