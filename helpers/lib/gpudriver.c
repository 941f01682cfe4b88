/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gpudriver.h"
#include "parse.h"

/* From NVIDIA's table of toolkits, drivers and architectures and the README of its open kernel modules:
 * modules for the GPU system processor, which Turing was the first to have; the last branch for what came
 * before it was 580, and with CUDA 13 the compiler forgot it too. Blackwell has no other modules than the
 * open ones, and no branch before 570. The open modules know Turing, Ampere, Hopper and Ada from the first
 * branch that has them, 515. */
enum { LEGACY_LAST = 580, OPEN_FIRST = 515, HOPPER_FIRST = 525, BLACKWELL_FIRST = 570, RUBIN_FIRST = 595 };

static const struct {
        unsigned first, last;
        bool open, proprietary; /* only these */
} needs[_GPU_ARCH_MAX] = {
        [GPU_ARCH_MAXWELL] = { 0, LEGACY_LAST, false, true },
        [GPU_ARCH_PASCAL] = { 0, LEGACY_LAST, false, true },
        [GPU_ARCH_VOLTA] = { 0, LEGACY_LAST, false, true },
        [GPU_ARCH_TURING] = { 0, 0, false, false },
        [GPU_ARCH_AMPERE] = { 0, 0, false, false },
        [GPU_ARCH_HOPPER] = { HOPPER_FIRST, 0, false, false },
        [GPU_ARCH_ADA] = { HOPPER_FIRST, 0, false, false },
        [GPU_ARCH_BLACKWELL] = { BLACKWELL_FIRST, 0, true, false },
        [GPU_ARCH_RUBIN] = { RUBIN_FIRST, 0, true, false },
};

/* Which toolkit came out with a branch or the last one before it, in NVIDIA's release notes of CUDA. A branch
 * newer than this table has one of its own, that its repository knows. */
static const struct {
        unsigned branch;
        Cuda cuda;
} toolkits[] = {
        { 600, {} },        { 595, { 13, 2 } }, { 590, { 13, 1 } }, { 580, { 13, 0 } },
        { 575, { 12, 9 } }, { 570, { 12, 8 } }, { 560, { 12, 6 } }, { 555, { 12, 5 } },
        { 550, { 12, 4 } }, { 545, { 12, 3 } }, { 535, { 12, 2 } }, { 525, { 12, 0 } },
};

static const Cuda legacy_last = { 12, 9 }, blackwell_first = { 12, 8 };

enum { FIRST_FOR_12 = 525, FIRST_FOR_13 = 580 }; /* within a major version any minor one will do */

int driver_need(uint16_t device, DriverNeed *ret) {
        GpuArch a = gpu_arch_from_device_id(device);

        if (a == GPU_ARCH_UNKNOWN)
                a = device < 0x1e00 ? GPU_ARCH_VOLTA : device < 0x3000 ? GPU_ARCH_BLACKWELL : GPU_ARCH_RUBIN;
        if (a == GPU_ARCH_OLDER)
                return -EOPNOTSUPP;
        *ret = (DriverNeed){ needs[a].first, needs[a].last, needs[a].open, needs[a].proprietary, a, a };
        return 0;
}

void driver_need_add(DriverNeed *n, const DriverNeed *gpu) {
        bool first = n->newest == GPU_ARCH_UNKNOWN;

        n->min = MAX(n->min, gpu->min);
        n->max = n->max && gpu->max ? MIN(n->max, gpu->max) : MAX(n->max, gpu->max);
        n->open |= gpu->open;
        n->proprietary |= gpu->proprietary;
        n->oldest = first ? gpu->oldest : MIN(n->oldest, gpu->oldest);
        n->newest = MAX(n->newest, gpu->newest);
}

bool driver_fits(const DriverNeed *n, unsigned branch, bool open) {
        if (open ? n->proprietary || (branch && branch < OPEN_FIRST) : n->open)
                return false;
        return branch ? branch >= n->min && (!n->max || branch <= n->max) : !n->max;
}

bool driver_prefers_open(const DriverNeed *n, unsigned branch) {
        return n->open || (!n->proprietary && (!branch || branch >= DRIVER_OPEN_FROM));
}

static int cuda_compare(Cuda a, Cuda b) {
        return a.major != b.major ? (a.major > b.major) - (a.major < b.major)
                                  : (a.minor > b.minor) - (a.minor < b.minor);
}

Cuda cuda_for_driver(const DriverNeed *n, unsigned branch) {
        Cuda cuda = {};
        size_t i = 0;

        while (i < ELEMENTSOF(toolkits) && branch < toolkits[i].branch)
                i++;
        if (i < ELEMENTSOF(toolkits))
                cuda = toolkits[i].cuda;
        if (n->proprietary && (cuda.major == 0 || cuda_compare(cuda, legacy_last) > 0))
                cuda = legacy_last;
        return cuda;
}

const char *cuda_objection(const DriverNeed *n, unsigned branch, Cuda cuda) {
        /* With CUDA_ANY_MINOR it is the newest of its major version. */
        if (n->proprietary && cuda.major > legacy_last.major)
                return "CUDA 12.9 is the last one for GPUs before Turing";
        if (n->newest >= GPU_ARCH_BLACKWELL && cuda_compare(cuda, blackwell_first) < 0)
                return "CUDA 12.8 is the first one for Blackwell";
        if (branch && cuda.major >= 13 && branch < FIRST_FOR_13)
                return "CUDA 13 needs driver 580 or newer";
        if (branch && cuda.major == 12 && branch < FIRST_FOR_12)
                return "CUDA 12 needs driver 525 or newer";
        return NULL;
}

int cuda_parse(const char *s, Cuda *ret) {
        size_t digits = strspn(s, "0123456789");
        char major[3] = "";
        Cuda cuda;

        if (digits != 2)
                return -EINVAL;
        memcpy(major, s, digits);
        if (parse_uint(major, 99, &cuda.major) < 0 || cuda.major < 11)
                return -EINVAL;
        cuda.minor = CUDA_ANY_MINOR;
        if (!s[digits]) {
                *ret = cuda;
                return 0;
        }
        if ((s[digits] != '-' && s[digits] != '.') ||
            parse_uint(s + digits + 1, CUDA_ANY_MINOR - 1, &cuda.minor) < 0)
                return -EINVAL;
        *ret = cuda;
        return 0;
}
