# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
# Gpu: the driver stays loaded while nobody uses it, and CLOCKS, "MEMORY,GRAPHICS" in MHz, are set at each boot.

command -v nvidia-smi >/dev/null || fail "there is no NVIDIA driver in this machine; 'ubuntu-drivers install' brings one"
if systemctl cat nvidia-persistenced.service >/dev/null 2>&1; then
        systemctl enable --now nvidia-persistenced.service || echo "gpuvm: nvidia-persistenced does not start, going on without" >&2
fi
if [ -n "${CLOCKS-}" ]; then
        systemctl enable gpuvm-clocks.service
        systemctl start gpuvm-clocks.service ||
                fail "the GPU does not take the clocks $CLOCKS; 'nvidia-smi -q -d SUPPORTED_CLOCKS' lists those that it has"
fi
