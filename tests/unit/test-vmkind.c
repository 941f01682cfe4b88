/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a machine of some kind may be asked for, and what its options are called where it may not. */

#include "strv.h"
#include "tests/tap.h"
#include "vmkind.h"

static VmFile file;

/* A machine of that kind with these lines; what is wrong with it, or "". */
static const char *check(const char *kind, const char *lines) {
        _cleanup_free_ char *text = NULL;
        static char *said;
        int r;

        vmfile_done(&file);
        free(said);
        said = NULL;
        ASSERT(asprintf(&text, "[Vm]\nKind=%s\n%s", kind, lines) > 0);
        ASSERT_EQ(vmfile_parse(&file, "/a", text, strlen(text), NULL, NULL), 0);
        ASSERT_EQ(file.n_problems, 0);
        r = vmkind_check(&file, &said);
        ASSERT_EQ(r, said ? -EINVAL : 0);
        return said ?: "";
}

TEST(each_kind_has_its_own) {
        static const char *const kinds[] = { "talos", "ubuntu", "debian", "llm", "worker" };
        static const struct {
                const char *lines, *takes; /* yes or no for each kind */
        } cases[] = {
                { "Release=13", "nnynn" },
                { "Release=24.04", "nynyn" },
                { "Server=yes", "nynnn" },
                { "Server=no", "yyyyy" },
                { "Image=/x", "yyyyy" },
                { "[Guest]\nUser=ada", "nyyyy" },
                { "[Guest]\nSshKey=/k", "nyyyy" },
                { "[Guest]\nUserData=/u", "nyyny" },
                { "[Guest]\nJoin=/j", "nnnny" },
                { "[Guest]\nPackages=vim", "nyyyy" },
                { "[Guest]\nPersistenced=yes", "nyyyy" },
                { "[Guest]\nPersistenced=no", "yyyyy" },
                { "[Llm]\nSwap=4G", "nnnyn" },
                { "[Llm]\nModelStore=/srv/m", "nnnyn" },
                { "[Talos]\nVersion=1.13.9", "ynnnn" },
                { "[Talos]\nMachineConfig=/m", "ynnnn" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char takes[ELEMENTSOF(kinds) + 1] = "";

                for (size_t k = 0; k < ELEMENTSOF(kinds); k++)
                        takes[k] = *check(kinds[k], cases[i].lines) ? 'n' : 'y';
                if (!streq(takes, cases[i].takes))
                        printf("# %s\n", cases[i].lines);
                ASSERT_STREQ(takes, cases[i].takes);
        }
}

TEST(what_is_said) {
        static const struct {
                const char *kind, *lines, *said;
        } cases[] = {
                { "talos", "Release=24.04", "--release is for machines of the kind ubuntu, debian or llm" },
                { "debian", "Server=yes", "--server is for machines of the kind ubuntu" },
                { "debian", "Release=99",
                  "'99' is no release of debian for --release: these are known: 12, 13" },
                { "debian", "[Gpu]\nGpu=none\nRom=off",
                  "--rom is for a card, and the machine is to have none" },
                { "debian", "[Gpu]\nGpu=2 x RTX 4090\nRom=on",
                  "--rom is for one card, which --gpu has to name" },
                { "debian", "[Guest]\nUser=root", "'root' is no name for a user in the guest, for --user" },
                { "debian", "[Guest]\nUserData=/u\nSshKey=/k",
                  "--ssh-key is told to cloud-init, and --user-data is in its place" },
                { "talos", "Image=/x\n[Talos]\nVersion=1.13.9",
                  "--talos-version says what is downloaded, and --image is in its place" },
                { "talos", "[Talos]\nVersion=v1.14.0-rc.1",
                  "'v1.14.0-rc.1' is no release of Talos for --talos-version; 'v1.13.9' would be" },
                { "talos", "[Talos]\nSchematic=xyz",
                  "'xyz' is no schematic for --schematic: 64 hex digits, as the image factory shows them" },
                { "ubuntu", "[Guest]\nCudaToolkit=12.5",
                  "'12.5' is too old for --cuda-toolkit on Ubuntu: 12.6 or newer" },
                { "llm", "[Guest]\nCudaToolkit=twelve",
                  "'twelve' is no version like 12.9, newest or no for --cuda-toolkit" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                ASSERT_STREQ(check(cases[i].kind, cases[i].lines), cases[i].said);
}

TEST(what_is_well) {
        static const char *const well[][2] = {
                { "llm", "[Guest]\nCudaToolkit=12.6" },
                { "llm", "[Guest]\nCudaToolkit=13.0" },
                { "llm", "[Guest]\nCudaToolkit=newest" },
                { "debian", "Release=bookworm\n[Guest]\nCudaToolkit=12.4" },
                { "debian", "Release=7\nImage=/x" },
                { "debian", "[Gpu]\nRom=off" },
                { "debian", "[Gpu]\nGpu=01:00.0\nRom=/x.rom" },
                { "debian", "[Gpu]\nGpu=pci-0000:00:01.0/00.0\nRom=off" },
                { "debian", "[Guest]\nUser=root\nUserData=/u" },
        };

        for (size_t i = 0; i < ELEMENTSOF(well); i++)
                ASSERT_STREQ(check(well[i][0], well[i][1]), "");
}

TEST(a_guest_with_a_gpu_or_without) {
        GuestWish w;

        ASSERT_STREQ(check("llm", "[Guest]\nPackages=vim curl\nPersistenced=no\n[Llm]\nDriverUpdates=yes"),
                     "");
        w = vmkind_guest(&file);
        ASSERT(w.llm && w.gpu && !w.values[GUEST_PERSISTENCED] && w.values[GUEST_DRIVER_UPDATES]);
        ASSERT_EQ(strv_length(w.values[GUEST_PACKAGES]), 2);
        ASSERT_STREQ(check("debian", "[Gpu]\nGpu=none"), "");
        w = vmkind_guest(&file);
        ASSERT(!w.llm && !w.gpu);
}
