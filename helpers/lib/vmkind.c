/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "vmkind.h"
#include "cloudinit.h"
#include "imagesource.h"
#include "refuse.h"
#include "strv.h"
#include "talos.h"

/* Of the CUDA toolkit for the Ubuntus that there are images of: NVIDIA's repository for the oldest of them
 * begins about there, and vLLM is built for nothing older. */
enum { TOOLKIT_MAJOR = 12, TOOLKIT_MINOR = 6 };

static bool is_asked(const VmFile *f, VmKey k) {
        return vmkey_rows[k].type == VMKEY_FLAG ? vmfile_flag(f, k) : f->values[k] != NULL;
}

static ImageKind image_kind(const VmFile *f) {
        return imagesource_kind_of(strempty(vmfile_value(f, VMKEY_KIND)));
}

static int check_kind(const VmFile *f, char **reterr) {
        const char *kind = strempty(vmfile_value(f, VMKEY_KIND));
        char kinds[128];

        for (VmKey k = 0; k < _VMKEY_MAX; k++)
                if (is_asked(f, k) && !vmkey_is_for(k, kind, kinds))
                        return refuse(reterr, -EINVAL, "--%s is for machines of the kind %s",
                                      vmkey_rows[k].option, kinds);
        return 0;
}

/* Whose place another one takes: they would be ignored. */
static int check_beside(const VmFile *f, char **reterr) {
        static const VmKey told[] = { VMKEY_SSH_KEY,  VMKEY_JOIN,         VMKEY_PACKAGES, VMKEY_CUDA_TOOLKIT,
                                      VMKEY_FIREWALL, VMKEY_PERSISTENCED, VMKEY_CLOCKS };
        static const VmKey downloaded[] = { VMKEY_TALOS_VERSION, VMKEY_SCHEMATIC };

        for (size_t i = 0; f->values[VMKEY_USER_DATA] && i < ELEMENTSOF(told); i++)
                if (is_asked(f, told[i]))
                        return refuse(reterr, -EINVAL,
                                      "--%s is told to cloud-init, and --user-data is in its place",
                                      vmkey_rows[told[i]].option);
        for (size_t i = 0; f->values[VMKEY_IMAGE] && i < ELEMENTSOF(downloaded); i++)
                if (is_asked(f, downloaded[i]))
                        return refuse(reterr, -EINVAL,
                                      "--%s says what is downloaded, and --image is in its place",
                                      vmkey_rows[downloaded[i]].option);
        return 0;
}

/* It is in the definition of one card. */
static int check_rom(const VmFile *f, char **reterr) {
        _cleanup_free_ char *wish = NULL;
        int r;

        if (!f->values[VMKEY_ROM])
                return 0;
        if (f->values[VMKEY_GPU] && strv_contains(f->values[VMKEY_GPU], "none"))
                return refuse(reterr, -EINVAL, "--rom is for a card, and the machine is to have none");
        r = vmfile_gpu_wish(f, &wish);
        return r <= 0 ? r : refuse(reterr, -EINVAL, "--rom is for one card, which --gpu has to name");
}

/* Of an image that was brought nobody knows what it is. */
static int check_release(const VmFile *f, char **reterr) {
        const char *release = vmfile_value(f, VMKEY_RELEASE);
        _cleanup_free_ char *versions = NULL;
        ImageKind kind = image_kind(f);

        if (!release || f->values[VMKEY_IMAGE] || imagesource_release(kind, release))
                return 0;
        if (imagesource_versions(kind, &versions) < 0)
                return -ENOMEM;
        return refuse(reterr, -EINVAL, "'%s' is no release of %s for --release: these are known: %s", release,
                      image_kind_to_string(kind), versions);
}

static int check_talos(const VmFile *f, char **reterr) {
        const char *version = vmfile_value(f, VMKEY_TALOS_VERSION),
                   *schematic = vmfile_value(f, VMKEY_SCHEMATIC);
        TalosVersion v;

        if (version && (talos_version_parse(version, &v) < 0 || v.pre))
                return refuse(reterr, -EINVAL,
                              "'%s' is no release of Talos for --talos-version; 'v1.13.9' would be", version);
        if (schematic && !talos_is_schematic(schematic))
                return refuse(reterr, -EINVAL,
                              "'%s' is no schematic for --schematic: 64 hex digits, as the image factory shows them",
                              schematic);
        return 0;
}

/* With user-data of their own it is somebody who is there by that. */
static int check_user(const VmFile *f, char **reterr) {
        const char *user = vmfile_value(f, VMKEY_USER);

        if (!user || f->values[VMKEY_USER_DATA] || cloudinit_check_user(user) >= 0)
                return 0;
        return refuse(reterr, -EINVAL, "'%s' is no name for a user in the guest, for --user", user);
}

/* After guestwish_check(). */
static int check_toolkit(const VmFile *f, char **reterr) {
        const char *toolkit = vmfile_value(f, VMKEY_CUDA_TOOLKIT), *dot = strchr(strempty(toolkit), '.');
        unsigned long major, minor;

        if (!dot || image_kind(f) != IMAGE_UBUNTU)
                return 0;
        major = strtoul(toolkit, NULL, 10);
        minor = strtoul(dot + 1, NULL, 10);
        if (major > TOOLKIT_MAJOR || (major == TOOLKIT_MAJOR && minor >= TOOLKIT_MINOR))
                return 0;
        return refuse(reterr, -EINVAL, "'%s' is too old for --cuda-toolkit on Ubuntu: %d.%d or newer",
                      toolkit, TOOLKIT_MAJOR, TOOLKIT_MINOR);
}

int vmkind_check(const VmFile *f, char **reterr) {
        static int (*const checks[])(const VmFile *f, char **reterr) = { check_kind,  check_beside,
                                                                         check_rom,   check_release,
                                                                         check_talos, check_user };
        const GuestWish guest = vmkind_guest(f);
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(checks); i++)
                r = checks[i](f, reterr);
        if (r >= 0)
                r = guestwish_check(&guest, reterr);
        return r < 0 ? r : check_toolkit(f, reterr);
}

GuestWish vmkind_guest(const VmFile *f) {
        GuestWish w = { .llm = streq_ptr(vmfile_value(f, VMKEY_KIND), "llm"),
                        .gpu = !f->values[VMKEY_GPU] || !strv_contains(f->values[VMKEY_GPU], "none") };

        for (GuestKey g = 0; g < _GUEST_KEY_MAX; g++)
                for (VmKey k = 0; k < _VMKEY_MAX; k++)
                        if (streq_ptr(vmkey_rows[k].option, guestwish_option(g)) && is_asked(f, k))
                                w.values[g] = f->values[k];
        return w;
}
