/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Conf: /etc/gpuvm.conf and drop-ins, and gpuvm.*= of the kernel command line, as one struct. gpuvm.conf(5).
 *
 * Pure but for conf_load(). libc only: the generator links it. A problem is never fatal: an unknown key is
 * ignored, a bad value keeps the default, and either is told through the callback with file and line. */

#include <stdarg.h>

#include "macro.h"

typedef enum RebootMode { REBOOT_AUTO, REBOOT_ASK, REBOOT_NEVER } RebootMode;
typedef enum GpuMode { GPU_FLEXIBLE, GPU_EXCLUSIVE } GpuMode;
typedef enum ContainerMode {
        CONTAINER_AUTO, /* where there is a program that runs containers */
        CONTAINER_YES,
        CONTAINER_NO,
} ContainerMode;
typedef enum PersistenceMode { PERSISTENCE_KEEP, PERSISTENCE_YES, PERSISTENCE_NO } PersistenceMode;
typedef enum UpdateMode { UPDATE_NO, UPDATE_SECURITY, UPDATE_YES } UpdateMode;
typedef enum NetworkMode { NETWORK_AUTO, NETWORK_BRIDGED, NETWORK_ROUTED, NETWORK_NAT } NetworkMode;

const char *reboot_mode_to_string(RebootMode m);
const char *gpu_mode_to_string(GpuMode m);
const char *update_mode_to_string(UpdateMode m);
const char *network_mode_to_string(NetworkMode m);

/* One [Gpu PATH] section. */
typedef struct ConfGpu {
        char *path; /* "0000:01:00.0" or the stable path of pci.h, as the header says it */
        char *card; /* the stable path of the card that is meant, where that is known better (known.h); "" for
                     * none; NULL: path says it */
        uint16_t vendor, device, subsystem_vendor,
                        subsystem_device; /* of a card that is known; 0: it is not */
        GpuMode mode;
        char **accept_siblings; /* AcceptSiblings= */
        char *application_clocks;
        bool mode_set; /* false: [Gpu] Mode= holds; ask conf_gpu_mode() */
} ConfGpu;

typedef struct Conf {
        /* [Bootstrap] */
        bool enabled; /* gpuvm.bootstrap=, Enabled= */
        bool nvidia, kvm, vfio, bridge;
        UpdateMode update_system;
        RebootMode reboot;
        uint64_t reboot_delay_usec; /* RebootDelaySec=, 1 minute */
        char *user;                 /* User=: joins libvirt and kvm; NULL: nobody */
        bool override_iommu_off;    /* OverrideIommuOff=: consent to override intel_iommu=off and the like */

        /* [Gpu] */
        GpuMode gpu_mode;
        uint64_t idle_wait_usec; /* IdleWaitSec=, 0: refuse at once */
        char **accept_siblings;
        char *driver_source, *driver_branch, *cuda_toolkit; /* checked by the nvidia phase */
        ContainerMode container_toolkit;
        PersistenceMode persistence; /* of GPUs that the host has */
        char *application_clocks;    /* "MEMORY,GRAPHICS" in MHz; NULL: as they are. Ask conf_gpu_clocks() */
        ConfGpu *gpus;
        size_t n_gpus;

        /* [Network] */
        char *bridge_name; /* Bridge=, "br0" */
        char *uplink;      /* NULL: found */
        char *subnet;      /* NULL: found */
        NetworkMode network_mode;
        char *ip_range;
        uint64_t revert_usec; /* RevertSec=, 90 s */
        char *guest_to_host;  /* GuestToHost=, "all" */

        /* [Storage] */
        char *pool;      /* Pool=, "gpuvm" */
        char *pool_path; /* PoolPath=, /var/lib/libvirt/images/gpuvm */

        /* [Image] */
        char *talos_url, *ubuntu_url, *debian_url; /* TalosUrl= and so on: without a slash at the end */
        char *image_max;                           /* MaxSize=, "16G"; parse_size() takes it */
        uint64_t stall_usec;                       /* StallSec=, 15 s */

        bool enabled_by_cmdline; /* gpuvm.bootstrap= had the last word on enabled */
        bool trial;              /* this start tries a command line (trial.h) */
} Conf;

/* file: NULL for the kernel command line; line: from 1, 0 for the file as a whole. */
typedef void (*ConfProblem)(const char *file, unsigned line, const char *text, void *userdata);

/* Reads the files and /proc/cmdline below root. Missing files are fine. Only -ENOMEM fails. problem may be
 * NULL. */
int conf_load(int root, ConfProblem problem, void *userdata, Conf *ret) _must_check_;

/* Calls problem, which may be NULL, with a text that is put together. */
void conf_tell(ConfProblem problem, void *userdata, const char *file, unsigned line, const char *format,
               va_list ap);

/* A ConfProblem that tells each of them as a warning. */
void conf_warn(const char *file, unsigned line, const char *text, void *userdata);

/* Likewise, but the first twenty alone; userdata: an unsigned that counts them, 0 at first. Then the rest:
 * how many more there were. */
void conf_warn_few(const char *file, unsigned line, const char *text, void *userdata);
void conf_warn_rest(unsigned n);

/* Tells the problems as warnings (of many the first twenty and a count); for programs. */
int conf_load_and_warn(int root, Conf *ret) _must_check_ _nonnull_all_;

/* One file's text into a conf that conf_init() made. */
int conf_parse(const char *file, const char *data, size_t size, ConfProblem problem, void *userdata,
               Conf *c) _must_check_;

/* The text of a kernel command line: its gpuvm.* words into a conf that conf_init() made. */
int conf_parse_cmdline(const char *text, ConfProblem problem, void *userdata, Conf *c) _must_check_;

/* All settings as conf_parse() would read them, each on a line of its own. */
int conf_format(const Conf *c, char **ret) _must_check_ _nonnull_all_;

int conf_init(Conf *ret) _must_check_ _nonnull_all_; /* the defaults */
void conf_done(Conf *c);

/* The section that speaks about a GPU, given its address and stable path, or NULL. */
const ConfGpu *conf_gpu(const Conf *c, const char *address, const char *path) _nonnull_all_;
/* The mode that holds for it. */
GpuMode conf_gpu_mode(const Conf *c, const char *address, const char *path) _nonnull_all_;
/* The siblings accepted for it (borrowed; may be NULL). */
char *const *conf_gpu_accept_siblings(const Conf *c, const char *address, const char *path) _nonnull_all_;
/* ApplicationClocks= that hold for it (borrowed), or NULL. */
const char *conf_gpu_clocks(const Conf *c, const char *address, const char *path) _nonnull_all_;
/* True if GPUs of the host are to be set up in some way whenever it gets them: gpuvm-tune. */
bool conf_tunes(const Conf *c) _nonnull_all_;
