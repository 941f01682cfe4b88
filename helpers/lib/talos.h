/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Talos: which version, which system extensions for a GPU, and what the image factory is asked for.
 *
 * Talos has no package manager: NVIDIA's driver is part of the image. Which extension brings which driver is
 * in nvidia-gpu/vars.yaml of siderolabs/extensions at each version's tag; the factory's interface is in
 * docs/api.md of siderolabs/image-factory. Pure: nothing here asks anybody. */

#include "gpuarch.h"
#include "macro.h"

#define TALOS_FACTORY "https://factory.talos.dev"

/* The schematic of an image without any extension: the hash of an empty one. */
#define TALOS_SCHEMATIC_EMPTY "376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba"

typedef struct TalosVersion {
        unsigned major, minor, patch;
        bool pre; /* an alpha, beta or release candidate of it */
} TalosVersion;

enum { TALOS_VERSION_MAX = sizeof("v4294967295.4294967295.4294967295") };

/* "v1.13.9", "1.13.9" or "v1.14.0-rc.1". Returns 0 or -EINVAL. */
int talos_version_parse(const char *s, TalosVersion *ret) _must_check_ _nonnull_all_;

/* Without what comes after a hyphen. */
const char *talos_version_format(TalosVersion v, char buf[static TALOS_VERSION_MAX]);

/* As strcmp(); a pre-release comes before its release. */
int talos_version_compare(TalosVersion a, TalosVersion b);

/* The newest release in the factory's answer to /versions, a JSON array of strings in no certain order;
 * broken: its answer to /versions?broken=true, or NULL. What is no version is skipped. Returns 0, -EBADMSG
 * for what is no such array, -ENOENT if there is no release in it. */
int talos_version_latest(const char *versions, const char *broken, TalosVersion *ret) _must_check_
                __attribute__((nonnull(1, 3)));

/* Which system extensions an image needs; always the guest agent's, and for GPUs one pair of kernel modules
 * and container toolkit, which have to be of the same tier. archs: one for each GPU. Returns 0; -EOPNOTSUPP
 * with a sentence in *ret_reason if no image of this version can drive them all. */
int talos_extensions(TalosVersion v, const GpuArch *archs, size_t n_archs, char ***ret,
                     const char **ret_reason) _must_check_ __attribute__((nonnull(4, 5)));

/* Checks names against the factory's answer to /version/V/extensions/official. Returns 0 if it has them all;
 * -ENOENT and the first that it has not (borrowed from names) in *ret_missing; -EBADMSG for another answer.
 */
int talos_extensions_check(const char *answer, char *const *names, const char **ret_missing) _must_check_
                __attribute__((nonnull(1, 3)));

/* What to POST to /schematics. */
int talos_schematic(char *const *extensions, char **ret) _must_check_ __attribute__((nonnull(2)));

/* The id of one: 64 hex digits. */
bool talos_is_schematic(const char *s) _nonnull_all_;
/* The id in the answer, or -EBADMSG. */
int talos_schematic_id(const char *answer, char **ret) _must_check_ _nonnull_all_;

/* The URL of the image. arch: as Talos calls it, "amd64" or "arm64". */
int talos_image_url(const char *factory, const char *schematic, TalosVersion v, const char *arch,
                    char **ret) _must_check_ _nonnull_all_;

/* What a machine config has to say for NVIDIA's driver, as JSON for talosctl's --config-patch. Its extensions
 * keep the kernel modules from being loaded by themselves. version: NULL, or as somebody has asked for it. */
const char *talos_gpu_patch(const char *version);

/* Whether that is in a machine config already, as far as it names NVIDIA's modules. */
bool talos_config_has_gpu(const char *config) _nonnull_all_;

/* The commands that configure a machine which waits for that: lines of two blanks and a command. address:
 * NULL if it is not known; patch: of talos_gpu_patch(), or NULL. */
int talos_commands(const char *name, const char *address, const char *patch, char **ret) _must_check_
                __attribute__((nonnull(1, 4)));
