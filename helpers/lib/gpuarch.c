/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gpuarch.h"

static const char *const gpu_arch_names[_GPU_ARCH_MAX] = {
        [GPU_ARCH_UNKNOWN] = "unknown", [GPU_ARCH_OLDER] = "older than Maxwell",
        [GPU_ARCH_MAXWELL] = "Maxwell", [GPU_ARCH_PASCAL] = "Pascal",
        [GPU_ARCH_VOLTA] = "Volta",     [GPU_ARCH_TURING] = "Turing",
        [GPU_ARCH_AMPERE] = "Ampere",   [GPU_ARCH_HOPPER] = "Hopper",
        [GPU_ARCH_ADA] = "Ada",         [GPU_ARCH_BLACKWELL] = "Blackwell",
        [GPU_ARCH_RUBIN] = "Rubin",
};

const char *gpu_arch_to_string(GpuArch a) {
        return (unsigned) a < _GPU_ARCH_MAX ? gpu_arch_names[a] : gpu_arch_names[GPU_ARCH_UNKNOWN];
}

GpuArch gpu_arch_from_device_id(uint16_t device) {
        /* NVIDIA hands out ids in blocks, one chip after the other, so a block is rounded out to where the
         * next one starts: a card newer than this table still lands right. Gaps that no chip has been given
         * stay unknown. Sorted by first. */
        static const struct {
                uint16_t first, last;
                GpuArch arch;
        } blocks[] = {
                { 0x0000, 0x133f, GPU_ARCH_OLDER },  { 0x1340, 0x14ff, GPU_ARCH_MAXWELL },
                { 0x15c0, 0x15ff, GPU_ARCH_PASCAL }, { 0x1600, 0x171f, GPU_ARCH_MAXWELL },
                { 0x1720, 0x173f, GPU_ARCH_PASCAL }, { 0x1740, 0x17ff, GPU_ARCH_MAXWELL },
                { 0x1b00, 0x1d7f, GPU_ARCH_PASCAL }, { 0x1d80, 0x1dff, GPU_ARCH_VOLTA },
                { 0x1e00, 0x1fff, GPU_ARCH_TURING }, { 0x2080, 0x20ff, GPU_ARCH_AMPERE },
                { 0x2180, 0x21ff, GPU_ARCH_TURING }, { 0x2200, 0x223f, GPU_ARCH_AMPERE },
                { 0x2300, 0x23ff, GPU_ARCH_HOPPER }, { 0x2400, 0x25ff, GPU_ARCH_AMPERE },
                { 0x2680, 0x28ff, GPU_ARCH_ADA },    { 0x2900, 0x2fff, GPU_ARCH_BLACKWELL },
                { 0x3000, 0x30ff, GPU_ARCH_RUBIN },  { 0x3180, 0x33ff, GPU_ARCH_BLACKWELL },
        };

        for (size_t i = 0; i < ELEMENTSOF(blocks); i++)
                if (device >= blocks[i].first && device <= blocks[i].last)
                        return blocks[i].arch;
        return GPU_ARCH_UNKNOWN;
}
