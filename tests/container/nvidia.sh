#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# gpuvm-nvidia.service with a real apt, over archives of stand-ins with the real names: nvidia.sh RELEASE
#
# Debian's archive has them in its components, signed; NVIDIA's repository is where it is on the network, behind a method
# of apt's that reads files. The card is made up.
#
# shellcheck disable=SC2317,SC2016 # the steps are called inside the container; dpkg-query has ${} of its own
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=nvidialib.sh
. "$(dirname "$0")/nvidialib.sh"

release=${1:-trixie}
nvidia_machine "$release"
case $release in
bookworm) number=12 driver=535.261.03-1 key=3bf863cc.pub ;;
trixie) number=13 driver=550.163.01-2 key=8793F200.pub ;;
esac
kernel=9.9.9-1-amd64
nvidia=$machine/srv/https/developer.download.nvidia.com/compute/cuda/repos/debian$number/x86_64
containers=$machine/srv/https/nvidia.github.io/libnvidia-container
debian=$machine/srv/debian

# --- Debian's archive
pool=$debian/pool
# What the phase before installs.
package "$pool/main" ca-certificates 99
package "$pool/main" pciutils 99
package "$pool/main" linux-headers-$kernel 9.9.9-1
package "$pool/main" linux-headers-amd64 9.9.9-1 "Depends: linux-headers-$kernel"
script sbin/dkms <<'S'
#!/bin/sh
# autoinstall -k KERNEL
echo updates/dkms/nvidia-current.ko: >>/lib/modules/$3/modules.dep
S
package "$pool/main" dkms 3.0.10-8
maintainer postinst <<S
#!/bin/sh
dkms autoinstall -k $kernel
S
package "$pool/non-free" nvidia-kernel-dkms "$driver" "Depends: dkms, nvidia-kernel-support (= $driver)"
package "$pool/non-free" nvidia-kernel-support "$driver" "Depends: nvidia-alternative (= $driver), firmware-nvidia-gsp (= $driver)"
package "$pool/non-free-firmware" firmware-nvidia-gsp "$driver"
package "$pool/non-free" nvidia-alternative "$driver"
package "$pool/non-free" libnvidia-ptxjitcompiler1 "$driver"
package "$pool/non-free" libcuda1 "$driver" "Depends: nvidia-alternative (= $driver), libnvidia-ptxjitcompiler1 (= $driver)"
package "$pool/non-free" libnvidia-ml1 "$driver"
script bin/nvidia-smi <<<'#!/bin/sh'
package "$pool/non-free" nvidia-smi "$driver" "Depends: libnvidia-ml1 (= $driver)" 'Recommends: nvidia-driver'
package "$pool/non-free" nvidia-driver "$driver" 'Depends: xserver-xorg'
package "$pool/main" xserver-xorg 99
package "$pool/contrib" nvidia-persistenced "$driver"
package "$pool/non-free" nvidia-cuda-toolkit 12.4.1-3 'Depends: nvidia-cuda-dev'
package "$pool/non-free" nvidia-cuda-dev 12.4.1-3
for component in main contrib non-free non-free-firmware; do
        dir=$debian/dists/$release/$component/binary-amd64
        mkdir -p "$dir"
        (cd "$debian" && dpkg-scanpackages -m "pool/$component" 2>/dev/null >"$dir/Packages")
done
sign "$debian/dists/$release" "$release" main contrib non-free non-free-firmware
rm -rf "$machine"/etc/apt/sources.list*
mkdir "$machine/etc/apt/sources.list.d"
printf 'Types: deb\nURIs: file:/srv/debian\nSuites: %s\nComponents: main\nSigned-By: /etc/apt/keyrings/test.asc\n' "$release" \
        >"$machine/etc/apt/sources.list.d/debian.sources"

# --- NVIDIA's repositories: two branches, whose names are Debian's in part
for v in 580.95.05-1 595.45.04-1; do
        package "$nvidia" nvidia-kernel-support $v
        maintainer postinst <<S
#!/bin/sh
dkms autoinstall -k $kernel
S
        package "$nvidia" nvidia-kernel-open-dkms $v "Depends: dkms, nvidia-kernel-support (= $v)" \
                'Conflicts: nvidia-kernel-dkms' "Provides: nvidia-kernel-dkms-any (= $v)"
        maintainer postinst <<S
#!/bin/sh
dkms autoinstall -k $kernel
S
        package "$nvidia" nvidia-kernel-dkms $v "Depends: dkms, nvidia-kernel-support (= $v)" \
                "Provides: nvidia-kernel-dkms-any (= $v)"
        package "$nvidia" libcuda1 $v
        package "$nvidia" libnvidia-ml1 $v
        script bin/nvidia-smi <<<'#!/bin/sh'
        package "$nvidia" nvidia-driver-cuda $v "Depends: libcuda1 (= $v), libnvidia-ml1 (= $v), nvidia-persistenced (= $v)" \
                "Recommends: nvidia-kernel-dkms-any (= $v)"
        package "$nvidia" nvidia-persistenced $v
done
package "$nvidia" cuda-toolkit-13-0 13.0.2-1
package "$nvidia" cuda-toolkit 13.2.0-1
(cd "$nvidia" && dpkg-scanpackages -m . 2>/dev/null | sed 's|^Filename: \./|Filename: |' >Packages)
sign "$nvidia" / ''
gpg --armor --export >"$nvidia/$key"
package "$containers/stable/deb/amd64" nvidia-container-toolkit 1.18.0-1 'Depends: nvidia-container-toolkit-base (= 1.18.0-1)'
script bin/nvidia-ctk <<'S'
#!/bin/sh
[ "$*" = 'runtime configure --runtime=docker --config=/etc/docker/daemon.json --dry-run' ] || exit 1
echo '{ "runtimes": { "nvidia": { "path": "nvidia-container-runtime" } } }'
S
package "$containers/stable/deb/amd64" nvidia-container-toolkit-base 1.18.0-1
(cd "$containers/stable/deb/amd64" && dpkg-scanpackages -m . 2>/dev/null | sed 's|^Filename: \./|Filename: |' >Packages)
sign "$containers/stable/deb/amd64" / ''

# --- the machine
mkdir -p "$machine/boot" "$machine/lib/modules/$kernel"
: >"$machine/boot/vmlinuz-$kernel"
: >"$machine/boot/initrd.img-$kernel"
: >"$machine/lib/modules/$kernel/modules.dep"
archive() {
        phase first
        packages
        phase second
        taken_back
}
card 0x2684 ContainerToolkit=no
machine_boot archive
is "$release: the driver of Debian's archive, and nothing that it only recommends" \
        "$(grep -v '^first\|^second\|^left' <<<"$output" | cut -d' ' -f1 | xargs)" \
        "dkms firmware-nvidia-gsp libcuda1 libnvidia-ml1 libnvidia-ptxjitcompiler1 linux-headers-$kernel linux-headers-amd64 nvidia-alternative nvidia-cuda-dev nvidia-cuda-toolkit nvidia-kernel-dkms nvidia-kernel-support nvidia-persistenced nvidia-smi"
like "$release: in one run" "$output" 'first success [1-9]'
like "$release: the second changes nothing" "$output" 'second success 0'
like "$release: undo takes what came along as well" "$output" 'left:  $'

# The repository is signed, by somebody else than who gpuvm was told.
stranger() {
        phase first
        packages
        ls /etc/gpuvm.conf.d
        journalctl --sync
        journalctl --no-pager -o cat -u gpuvm-nvidia.service >/shared/journal
        taken_back
}
card 0x2d04 ContainerToolkit=no
machine_boot stranger
like "$release: a repository that another has signed is not trusted" "$output" '^first exit-code'
is "$release: nothing of it is installed" "$(grep -cE '^(nvidia|libcuda)' <<<"$output" || true)" 0
like "$release: and the key is named as the reason" "$(cat "$shared/journal")" "gpuvm-nvidia: .*[Kk]ey"
like "$release: undo takes source and key back" "$output" 'left:  $'

# The administrator trusts this one; both branches are there.
add_sources() {
        printf 'deb [signed-by=/etc/apt/keyrings/test.asc] https://developer.download.nvidia.com/compute/cuda/repos/debian%s/x86_64/ /\n' "$number" \
                >"$machine/etc/apt/sources.list.d/cuda.list"
        printf 'deb [signed-by=/etc/apt/keyrings/test.asc] https://nvidia.github.io/libnvidia-container/stable/deb/amd64/ /\n' \
                >"$machine/etc/apt/sources.list.d/nvidia-container-toolkit.list"
}
branch() {
        phase first
        packages
        apt-get -q -s dist-upgrade | grep ^Inst || echo 'nothing to upgrade'
        phase second
        taken_back
}
add_sources
card 0x2d04 DriverBranch=580 ContainerToolkit=yes
machine_boot branch
got=$(grep -v '^first\|^second\|^left' <<<"$output")
is "$release: the branch that was asked for, though a newer one is there" "$(grep -E '^(nvidia-(driver-cuda|kernel|persist)|lib)' <<<"$got" | cut -d' ' -f2 | sort -u)" 580.95.05-1
is "$release: the open modules, and the toolkits" "$(cut -d' ' -f1 <<<"$got" | grep -E 'kernel-|toolkit' | xargs)" \
        'cuda-toolkit-13-0 nvidia-container-toolkit nvidia-container-toolkit-base nvidia-kernel-open-dkms nvidia-kernel-support'
like "$release: an upgrade leaves the branch" "$got" 'nothing to upgrade'
like "$release: again, nothing to do" "$output" 'first success [1-9].*second success 0'
like "$release: undo leaves the administrator's sources" "$output" 'left:  $'
check "$release: as they were" grep -q nvidia.github.io "$machine/etc/apt/sources.list.d/nvidia-container-toolkit.list"

card 0x1b06 DriverSource=nvidia ContainerToolkit=no CudaToolkit=no
machine_boot branch
is "$release: an old card: the last branch, proprietary modules" \
        "$(grep -E '^nvidia-(driver-cuda|kernel-dkms)' <<<"$output" | xargs)" \
        'nvidia-driver-cuda 580.95.05-1 nvidia-kernel-dkms 580.95.05-1'

# The archive's driver, where the newer one of the repository has the same names and leaves the card out.
card 0x1b06 DriverSource=distro ContainerToolkit=no CudaToolkit=no
machine_boot branch
got=$(grep -v '^first\|^second\|^left' <<<"$output")
is "$release: the archive's driver, though the repository has a newer one of the same names" \
        "$(grep -E '^(nvidia-(kernel-|smi|persist)|lib)' <<<"$got" | cut -d' ' -f2 | sort -u)" "$driver"
like "$release: an upgrade leaves it" "$got" 'nothing to upgrade'
like "$release: and so does the next run" "$output" 'first success [1-9].*second success 0'
like "$release: undo takes its pin back" "$output" 'left:  $'

# Held back by the administrator.
held() {
        apt-get -q -y install libnvidia-ml1=580.95.05-1 >/dev/null 2>&1
        apt-mark hold libnvidia-ml1 >/dev/null
        phase first
        journalctl --sync
        journalctl --no-pager -o cat -u gpuvm-nvidia.service >/shared/journal
        apt-mark showhold
        packages | grep -c driver-cuda
}
card 0x2d04 DriverBranch=595 ContainerToolkit=no CudaToolkit=no
machine_boot held
is "$release: what is on hold stays, and the phase fails" "$(cut -d' ' -f1,2 <<<"$output" | xargs)" \
        'first exit-code libnvidia-ml1 0'
like "$release: with the package that is on hold" "$(cat "$shared/journal")" 'On hold, so that apt may not change them: libnvidia-ml1'
# Docker hears of each change of its configuration, without a restart.
# heard N: what was there when it read it for the Nth time; it is not waited for.
heard() {
        for _ in $(seq 100); do
                [ "$(wc -l </shared/docker)" -lt "$1" ] || break
                sleep 0.1
        done
        tail -n 1 /shared/docker
}
engine() {
        : >/shared/docker
        systemctl start docker.service
        phase first | cut -d' ' -f1-2
        heard 1
        phase second
        mkdir -p /run/cdi
        echo 'kind: nvidia.com/gpu' >/run/cdi/nvidia.yaml
        taken_back
        heard 2
        wc -l </shared/docker
        ls /etc/docker/daemon.json /run/cdi/nvidia.yaml 2>/dev/null || systemctl is-active docker.service
}
cat >"$machine/usr/bin/dockerd" <<'S'
#!/bin/bash
trap 'echo "reads $(cat /etc/docker/daemon.json 2>/dev/null | grep -c nvidia-container-runtime)" >>/shared/docker' HUP
while :; do sleep infinity & wait $! || kill $!; done
S
chmod 755 "$machine/usr/bin/dockerd"
printf '[Service]\nExecStart=/usr/bin/dockerd\nExecReload=/bin/kill -s HUP $MAINPID\n' >"$machine/etc/systemd/system/docker.service"
card 0x1b06 DriverSource=nvidia CudaToolkit=no
machine_boot engine
is "$release: Docker reads what was changed, once, and what was taken back" "$output" 'first success
reads 1
second success 0
left:  
reads 0
2
active'
[ "$tap_failed" -eq 0 ] || diag "$(tail -n 80 "$shared/stderr")"
done_testing
