#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# gpuvm-nvidia on made-up machines: nvidia.sh DIRECTORY-OF-HELPERS

# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
here=$(cd "$(dirname "$0")" && pwd)
helper=$1/gpuvm-nvidia
work=$(mktemp -d)
at_exit rm -rf "$work"
n=0
kernel=6.1.0-40-amd64

# add_gpu ADDRESS DEVICE [DRIVER]
add_gpu() {
        local dir=$root/sys/devices/pci0000:00/$1

        mkdir -p "$dir" "$root/sys/bus/pci/devices"
        ln -s "../../../devices/pci0000:00/$1" "$root/sys/bus/pci/devices/$1"
        echo 0x030000 >"$dir/class"
        echo 0x10de >"$dir/vendor"
        echo "$2" >"$dir/device"
        drive "$1" "${3-}"
}

drive() {
        rm -f "$root/sys/bus/pci/devices/$1/driver"
        [ -z "$2" ] || ln -s "../../../bus/pci/drivers/$2" "$root/sys/bus/pci/devices/$1/driver"
        [ -z "$2" ] || mkdir -p "$root/sys/bus/pci/drivers/$2"
}

# has_package NAME VERSION
has_package() {
        printf 'Package: %s\nStatus: install ok installed\nVersion: %s\n\n' "$1" "$2" >>"$root/var/lib/dpkg/status"
}

stub() {
        mkdir -p "${root:?}${1%/*}"
        cat >"$root$1"
        chmod 755 "$root$1"
}

# machine DEVICE [DRIVER]: Debian 12 with that GPU, and a DKMS that builds.
machine() {
        root=$work/$((n += 1))
        mkdir -p "$root"/{etc/apt/sources.list.d,boot,packages,proc/sys/kernel,run/gpuvm,usr/bin,var/lib/dpkg/updates} \
                "$root"/{var/lib/apt/lists/partial,lib/modules/$kernel}
        install "$here/apt-stub.sh" "$root/usr/bin/apt-get"
        install "$here/apt-stub.sh" "$root/usr/bin/dpkg"
        printf 'ID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\n' >"$root/etc/os-release"
        printf 'Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates\nComponents: main\n%s\n' \
                'Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg' >"$root/etc/apt/sources.list.d/debian.sources"
        echo "$kernel" >"$root/proc/sys/kernel/osrelease"
        echo x86_64 >"$root/proc/sys/kernel/arch"
        : >"$root/boot/vmlinuz-$kernel"
        : >"$root/boot/initrd.img-$kernel"
        : >"$root/calls"
        : >"$root/var/lib/dpkg/status"
        : >"$root/lib/modules/$kernel/modules.dep"
        touch "$root/var/lib/apt/lists/deb_Packages"
        [ -z "${1-}" ] || add_gpu 0000:01:00.0 "$1" "${2-}"
        stub /usr/sbin/dkms <<'S'
#!/bin/bash
echo "dkms $*" >>"$GPUVM_ROOT/calls"
[ ! -e "$GPUVM_ROOT/dkms-fails" ] || exit 10
echo "updates/dkms/nvidia-current.ko:" >>"$GPUVM_ROOT/lib/modules/$3/modules.dep"
S
        stub /usr/lib/apt/apt-helper <<'S'
#!/bin/bash
echo "apt-helper $*" >>"$GPUVM_ROOT/calls"
[ ! -e "$GPUVM_ROOT/fetch-fails" ] || { cat "$GPUVM_ROOT/fetch-fails" >&2; exit 100; }
if [ -e "$GPUVM_ROOT/key" ]; then cat "$GPUVM_ROOT/key"; else printf -- '-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAA==\n'; fi >"${@: -1}"
S
        configure ContainerToolkit=no
}

configure() {
        { echo '[Gpu]'; printf '%s\n' "$@"; } >"$root/etc/gpuvm.conf"
}

# The firmware has Secure Boot on.
secure_boot() {
        mkdir -p "$root/sys/firmware/efi/efivars"
        printf '\006\000\000\000\001' >"$root/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
}

run() {
        status=0
        said=$("$helper" --root="$root" "$@" 2>&1) || status=$?
}

installed() {
        sed -n 's/^Package: //p' "$root/var/lib/dpkg/status" | sort | xargs
}

written() {
        (cd "$root/etc" && find . -newer "$root/etc/gpuvm.conf" -type f | sort | xargs)
}

# Debian's own driver, from nothing.
machine 0x2684
run --dry-run
is 'a dry run succeeds' "$status" 0
like 'a dry run tells the packages' "$said" 'would install nvidia-kernel-dkms'
like 'a dry run tells the sources' "$said" 'would write /etc/apt/sources.list.d/gpuvm-nvidia.sources'
is 'a dry run changes nothing' "$(installed)$(written)$(grep -v -- '--simulate check' "$root/calls" || true)" ''
run
is 'the driver of the archive' "$status" 0
is 'is this' "$(installed)" \
        'libcuda1 linux-headers-amd64 nvidia-cuda-toolkit nvidia-kernel-dkms nvidia-persistenced nvidia-smi'
is 'with these files' "$(written)" \
        './apt/apt.conf.d/52gpuvm-nvidia ./apt/preferences.d/gpuvm-nvidia ./apt/sources.list.d/gpuvm-nvidia.sources ./modprobe.d/gpuvm-nouveau.conf'
is 'from the same mirror, with the same key' "$(grep -v '^#' "$root/etc/apt/sources.list.d/gpuvm-nvidia.sources" | xargs)" \
        'Types: deb URIs: http://mirror.example/debian Suites: bookworm Components: contrib non-free non-free-firmware Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg Types: deb URIs: http://mirror.example/debian Suites: bookworm-updates Components: contrib non-free non-free-firmware Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg'
like 'its module is built where DKMS has not' "$(cat "$root/calls")" "dkms autoinstall -k $kernel"
check 'nouveau is kept away' grep -qx 'blacklist nouveau' "$root/etc/modprobe.d/gpuvm-nouveau.conf"
check 'unattended-upgrades leaves it alone' grep -q '"libnvidia-"' "$root/etc/apt/apt.conf.d/52gpuvm-nvidia"
: >"$root/calls"
run
is 'the second run starts no program' "$status $(cat "$root/calls")" '0 '
like 'and says so' "$said" 'Nothing to do|nothing to do'
status=0
said=$("$1/gpuvm-undo" --root="$root" nvidia 2>&1) || status=$?
is 'undo takes all of it back' "$status $(installed) $(written)" '0  '

# The card is nouveau's until the machine starts again.
machine 0x2684 nouveau
run
is 'a card that has another driver waits for a restart' "$status" 0
like 'and names the card' "$said" '0000:01:00.0'
check 'which is written down' test -e "$root/run/gpuvm/reboot.d/nvidia"
drive 0000:01:00.0 nvidia
run
is 'after which all is well' "$status" 0
check_fails 'and none is asked for any more' 1 test -e "$root/run/gpuvm/reboot.d/nvidia"

check 'without nvidia-modprobe CUDA makes its node itself' test ! -e "$root/dev/nvidia-uvm"
stub /usr/bin/nvidia-modprobe <<'S'
#!/bin/sh
mkdir -p "$GPUVM_ROOT/dev"
echo "$*" >"$GPUVM_ROOT/dev/nvidia-uvm"
S
run
is 'with it the node is made' "$status $(cat "$root/dev/nvidia-uvm")" '0 -u -c 0'
run
like 'once' "$said" 'Nothing to do|nothing to do'

# Debian's update has brought a library, and DKMS a module for the next start. module VERSION: for the kernel.
if command -v gcc >/dev/null; then
        module() {
                mkdir -p "$root/lib/modules/$kernel/updates/dkms"
                printf 'const char a[] __attribute__((section(".modinfo"), used)) = "version=%s";\n' "$1" |
                        gcc -c -x c -o "$root/lib/modules/$kernel/updates/dkms/nvidia-current.ko" -
                echo 'updates/dkms/nvidia-current.ko:' >"$root/lib/modules/$kernel/modules.dep"
        }
        machine 0x1b06 nvidia
        run
        lib=$root/usr/lib/x86_64-linux-gnu/nvidia/current
        mkdir -p "$lib" "$root/sys/module/nvidia_current"
        ln -s libcuda.so.535.261.03 "$lib/libcuda.so.1"
        echo 535.183.01 >"$root/sys/module/nvidia_current/version"
        module 535.183.01
        run
        is 'a library that no module is for is no reason to restart' "$status $(ls "$root/run/gpuvm/reboot.d")" '0 '
        like 'but it is said' "$said" "library is 535.261.03 and the loaded module 535.183.01, .* kernel $kernel is 535.183.01"
        module 535.261.03
        run
        is 'a module that waits for the next start is one' "$status $(ls "$root/run/gpuvm/reboot.d")" '0 nvidia'
        like 'which is said' "$said" 'request reboot: for NVIDIA.s module to become that of its library'
        echo 535.261.03 >"$root/sys/module/nvidia_current/version"
        run
        is 'after it none is asked for any more' "$status $(ls "$root/run/gpuvm/reboot.d")" '0 '
else
        skip 'a library of another version than the module' 'needs gcc'
fi

# Nothing to do for this host.
machine
run
is 'no GPU, no driver' "$status $(cat "$root/calls")$(written)" '77 '
machine 0x2684
configure Mode=exclusive
run
is 'all GPUs for VMs, no driver' "$status $(cat "$root/calls")$(written)" '77 '
machine 0x2684
printf '[Bootstrap]\nNvidia=no\n' >"$root/etc/gpuvm.conf"
run
is 'Nvidia=no' "$status $(cat "$root/calls")$(written)" '77 '

# A card that only NVIDIA's repository has a driver for.
machine 0x2d04
sed -i 's/12/13/; s/bookworm/trixie/' "$root/etc/os-release"
configure ContainerToolkit=no
run
is 'a new card gets its driver from NVIDIA' "$status" 0
is 'with open modules' "$(installed)" 'cuda-toolkit linux-headers-amd64 nvidia-driver-cuda nvidia-kernel-open-dkms'
is 'from a source that names its key' "$(grep -v '^#' "$root/etc/apt/sources.list.d/gpuvm-cuda.sources" | xargs)" \
        'Types: deb URIs: https://developer.download.nvidia.com/compute/cuda/repos/debian13/x86_64/ Suites: / Signed-By: /etc/apt/keyrings/gpuvm-cuda.asc 02182E60104FCDC26EAE1B8597A5D4CB8793F200'
like 'that is fetched by apt' "$(cat "$root/calls")" \
        'download-file https://developer.download.nvidia.com/compute/cuda/repos/debian13/x86_64/8793F200.pub '
check 'and kept' grep -q 'BEGIN PGP' "$root/etc/apt/keyrings/gpuvm-cuda.asc"
check 'with a pin to that place' grep -q '^Pin: origin developer.download.nvidia.com' "$root/etc/apt/preferences.d/gpuvm-nvidia"
: >"$root/calls"
run
is 'the second run fetches nothing' "$status $(cat "$root/calls")" '0 '
status=0
said=$("$1/gpuvm-undo" --root="$root" nvidia 2>&1) || status=$?
is 'undo takes key, source and pin back' "$status $(installed) $(written)" '0  '

# A long-term branch is pinned.
machine 0x1b06
configure DriverSource=nvidia ContainerToolkit=no
run
is 'the last branch for an old card' "$status $(installed)" \
        '0 cuda-toolkit-12-9 linux-headers-amd64 nvidia-driver-cuda nvidia-kernel-dkms'
check 'is the only one' grep -qx 'Pin: version 580.\*' "$root/etc/apt/preferences.d/gpuvm-nvidia"

# What a proxy says in place of a key.
machine 0x2d04
echo '<html>sign in</html>' >"$root/key"
run
is 'what is no key is not taken for one' "$status $(installed)" '1 '
check 'nor kept' test ! -e "$root/etc/apt/keyrings/gpuvm-cuda.asc" -a ! -e "$root/etc/apt/sources.list.d/gpuvm-cuda.sources"
machine 0x2d04
echo 'E: Failed to fetch https://developer.download.nvidia.com/x  Could not connect' >"$root/fetch-fails"
run
is 'without a network' "$status $(grep -c apt-helper "$root/calls")" '1 4'
like 'it says what to check' "$said" 'Check network'

# A source that somebody has set up.
machine 0x2d04
echo 'deb [signed-by=/usr/share/keyrings/cuda-archive-keyring.gpg] https://developer.download.nvidia.com/compute/cuda/repos/debian12/x86_64/ /' \
        >"$root/etc/apt/sources.list.d/cuda-debian12-x86_64.list"
run
is 'a source that is there is not added twice' "$status $(grep -c apt-helper "$root/calls" || true)" '0 0'

# Secure Boot.
machine 0x2684
secure_boot
run
is 'an unsigned module under Secure Boot is refused' "$status $(installed)$(written)" '1 '
like 'with the ways out' "$said" 'mokutil --import.*turn Secure Boot off.*DriverSource=none'
mkdir -p "$root/var/lib/dkms"
head -c 700 /dev/urandom >"$root/var/lib/dkms/mok.pub"
{ printf '\006\000\000\000headers'; cat "$root/var/lib/dkms/mok.pub"; } \
        >"$root/sys/firmware/efi/efivars/MokListRT-605dab50-e046-4300-abb6-3dd810dd8b23"
run
is 'but not if the firmware knows the key' "$status" 0

machine 0x2684 nvidia
secure_boot
has_package nvidia-kernel-dkms 535.261.03-1
: >"$root/usr/bin/nvidia-smi"
echo 'updates/dkms/nvidia-current.ko:' >"$root/lib/modules/$kernel/modules.dep"
configure CudaToolkit=no
run
is 'a driver that is here and not loaded is doubted' "$status" 1
mkdir -p "$root/sys/module/nvidia"
echo 535.261.03 >"$root/sys/module/nvidia/version"
run
is 'what the kernel has loaded it trusts' "$status" 0

# The two families.
machine 0x1b06
echo 'deb https://developer.download.nvidia.com/compute/cuda/repos/debian12/x86_64/ /' >"$root/etc/apt/sources.list.d/cuda.list"
configure DriverSource=distro CudaToolkit=no ContainerToolkit=no
run
is "the archive's driver beside NVIDIA's repository" "$status $(installed)" \
        '0 libcuda1 linux-headers-amd64 nvidia-kernel-dkms nvidia-persistenced nvidia-smi'
is 'which has no say in it' "$(grep -v '^#' "$root/etc/apt/preferences.d/gpuvm-nvidia" | grep -E '^(Pin|Package: nvidia-\*)' | cut -d' ' -f1-3 | xargs)" \
        'Package: nvidia-* libnvidia-* Pin: origin developer.download.nvidia.com Pin-Priority: -1'
sed -i 's/^Version: .*/Version: 535.261.03-1/' "$root/var/lib/dpkg/status"
: >"$root/usr/bin/nvidia-smi"
: >"$root/calls"
run
is 'and the next run knows whose it is' "$status $(cat "$root/calls")" '0 '
rm "$root/etc/apt/preferences.d/gpuvm-nvidia"
run
is 'which without the pin nobody could tell' "$status" 1

machine 0x2684 nvidia
has_package nvidia-kernel-open-dkms 580.95.05-1
has_package nvidia-driver-cuda 580.95.05-1
: >"$root/usr/bin/nvidia-smi"
echo 'kernel/nvidia.ko:' >"$root/lib/modules/$kernel/modules.dep"
configure DriverSource=distro
run
is 'a second family is refused' "$status" 1
like 'and which one is here is told' "$said" 'DriverSource=nvidia.* is here'
configure CudaToolkit=no ContainerToolkit=no
run
is 'a driver that drives the GPUs is left as it is' "$status $(cat "$root/calls")" '0 '

# A driver that the machine was made with.
machine 0x2684 nvidia
mkdir -p "$root/sys/module/nvidia" "$root/usr/local/nvidia/lib64"
echo 580.159.04 >"$root/sys/module/nvidia/version"
: >"$root/usr/local/nvidia/lib64/libcuda.so.1"
run
is 'a driver that apt knows nothing of is left as it is' "$status $(cat "$root/calls")$(written)" '77 '
like 'and that is said' "$said" "this machine's image"
configure DriverSource=distro
run
is 'and no other is put over it' "$status $(installed)" '1 '
rm "$root/usr/local/nvidia/lib64/libcuda.so.1"
configure CudaToolkit=no
run
is 'a module alone, of packages that are gone, is none' "$status" 0
like 'so there is one again' "$(installed)" nvidia-kernel-dkms

# Half of a driver is made a whole one, of the same family.
machine 0x2684
has_package nvidia-kernel-open-dkms 580.95.05-1
configure CudaToolkit=no ContainerToolkit=no
run
is 'half of a driver is completed' "$status $(installed)" '0 linux-headers-amd64 nvidia-driver-cuda nvidia-kernel-open-dkms'

# Ubuntu's archive, as ubuntu-drivers tells it.
machine 0x2684
printf 'ID=ubuntu\nVERSION_ID="24.04"\nVERSION_CODENAME=noble\n' >"$root/etc/os-release"
configure CudaToolkit=no ContainerToolkit=no
run --dry-run
like 'a dry run cannot ask what is not there yet' "$status $said" '^0.*would install ubuntu-drivers-common'
stub /usr/bin/ubuntu-drivers <<'S'
#!/bin/bash
echo 'udevadm hwdb is deprecated. Use systemd-hwdb instead.'
echo 'nvidia-driver-580-server-open, (kernel modules provided by linux-modules-nvidia-580-server-open-generic)'
echo 'nvidia-driver-580-server, (kernel modules provided by None)'
S
run
is 'modules that are for another kernel fail' "$status" 1
like 'and the kernel is named' "$said" "not for $kernel"
next=6.8.0-51-generic
mkdir "$root/lib/modules/$next"
echo 'kernel/nvidia-580server-open/nvidia.ko:' >"$root/lib/modules/$next/modules.dep"
: >"$root/boot/vmlinuz-$next"
: >"$root/boot/initrd.img-$next"
run
is 'modules for a kernel that is not running yet' "$status" 0
check 'ask for a restart' test -e "$root/run/gpuvm/reboot.d/nvidia"
cp "$root/lib/modules/$next/modules.dep" "$root/lib/modules/$kernel/modules.dep"
run
is "Ubuntu's signed modules" "$status $(installed)" \
        '0 linux-modules-nvidia-580-server-open-generic nvidia-headless-no-dkms-580-server-open nvidia-utils-580-server ubuntu-drivers-common'
is 'need no DKMS' "$(grep -c dkms\  "$root/calls" || true)" 0
machine 0x2684
printf 'ID=ubuntu\nVERSION_ID="24.04"\nVERSION_CODENAME=noble\n' >"$root/etc/os-release"
stub /usr/bin/ubuntu-drivers <<<'#!/bin/bash'
run
is 'an archive without a driver fails' "$status" 1
like 'and says which component to look for' "$said" "'restricted'"

# The toolkit for containers.
machine 0x2684
configure CudaToolkit=no
run
is 'without a program that runs containers there is no toolkit for them' \
        "$status $(installed | grep -c nvidia-container || true)" '0 0'
configure CudaToolkit=no ContainerToolkit=yes
run
like 'but where it was asked for' "$(installed)" nvidia-container-toolkit
check 'and nobody is told about it' test ! -e "$root/etc/docker/daemon.json"
docker() {
        machine 0x2684
        configure CudaToolkit=no
        stub /usr/bin/dockerd <<<'#!/bin/sh'
        stub /usr/bin/nvidia-ctk <<'S'
#!/bin/bash
echo "nvidia-ctk $*" >>"$GPUVM_ROOT/calls"
[ ! -e "$GPUVM_ROOT/ctk-fails" ] || exit 1
sed 's/^{}*//' "$GPUVM_ROOT/etc/docker/daemon.json" 2>/dev/null | grep -v '^}' >"$GPUVM_ROOT/ctk"
printf '{\n%s\n  "runtimes": { "nvidia": { "path": "nvidia-container-runtime" } }\n}\n' "$(cat "$GPUVM_ROOT/ctk")"
S
}
docker
run --dry-run
like 'a dry run tells that Docker will know GPUs' "$status $said" '^0.*would write /etc/docker/daemon.json'
run
is 'the container toolkit' "$status" 0
check 'Docker knows GPUs' grep -q nvidia-container-runtime "$root/etc/docker/daemon.json"
like 'by a dry run of nvidia-ctk' "$(cat "$root/calls")" 'nvidia-ctk runtime configure --runtime=docker --config=/etc/docker/daemon.json --dry-run'
: >"$root/calls"
run
is 'the second run asks nobody' "$status $(cat "$root/calls")" '0 '
status=0
said=$("$1/gpuvm-undo" --root="$root" nvidia 2>&1) || status=$?
check 'undo takes the file away' test ! -e "$root/etc/docker/daemon.json"
# What NVIDIA's unit writes until the next start, and what an administrator had written.
for who in ours theirs; do
        docker
        [ $who = ours ] || has_package nvidia-container-toolkit 1.18.0-1
        mkdir -p "$root/run/cdi" "$root/etc/cdi"
        echo 'kind: nvidia.com/gpu' | tee "$root/run/cdi/nvidia.yaml" >"$root/etc/cdi/nvidia.yaml"
        run
        is "a toolkit of $who: succeeds" "$status" 0
        "$1/gpuvm-undo" --root="$root" nvidia >/dev/null 2>&1
        is "a toolkit of $who: what is left of CDI when it is undone" "$(cd "$root" && find run/cdi etc/cdi -type f | sort | xargs)" \
                "$([ $who = ours ] || echo 'etc/cdi/nvidia.yaml run/cdi/nvidia.yaml' && [ $who = theirs ] || echo etc/cdi/nvidia.yaml)"
done
docker
mkdir -p "$root/etc/docker"
printf '{\n  "log-driver": "journald",\n}\n' >"$root/etc/docker/daemon.json"
chmod 600 "$root/etc/docker/daemon.json"
cp "$root/etc/docker/daemon.json" "$root/before"
run
is "an administrator's settings stay, and so does their mode" \
        "$status $(grep -c 'journald\|nvidia-container-runtime' "$root/etc/docker/daemon.json") $(stat -c %a "$root/etc/docker/daemon.json")" '0 2 600'
status=0
said=$("$1/gpuvm-undo" --root="$root" nvidia 2>&1) || status=$?
check 'undo gives them back as they were' cmp "$root/before" "$root/etc/docker/daemon.json"
docker
: >"$root/ctk-fails"
run
is 'a Docker that cannot be told does not stop the host' "$status" 0
like 'but it is said' "$said" 'Docker was not told about GPUs.*daemon.json'
machine 0x2684
configure CudaToolkit=no
stub /usr/bin/containerd <<<'#!/bin/sh'
run
like 'what would have to be restarted is left to the administrator' "$status $said" '^0.*--runtime=containerd'
machine 0x2684
configure CudaToolkit=no
stub /usr/bin/podman <<<'#!/bin/sh'
run
is 'Podman needs nothing more' "$status $(grep -c 'runtime configure' <<<"$said" || true)" '0 0'
like 'comes too' "$(installed)" 'nvidia-container-toolkit'
check 'signed by its own key' grep -q 'C95B321B61E88C1809C4F759DDCAE044F796ECB0' "$root/etc/apt/sources.list.d/gpuvm-nvidia-container.sources"

# A machine that was only recorded.
machine 0x2684
rm "$root/usr/bin/apt-get"
run --dry-run
is 'a dry run needs no apt' "$status" 0

# Sources that apt cannot understand.
for option in --dry-run --verbose; do
        machine 0x2684
        printf '99\nE: Malformed stanza 1 in source list /etc/apt/sources.list.d/x.sources (type)\n' >"$root/trouble.simulate"
        run $option
        is "$option: sources that apt cannot read fail" "$status" 1
        like 'in its words' "$said" 'cannot use its sources: E: Malformed stanza 1'
        is 'before anything is announced or written' "$(grep -c 'would\|write /\|install ' <<<"$said" || true)$(written)" 0
done

machine 0x2684
: >"$root/etc/apt/sources.list.d/debian.sources"
run --dry-run
is 'sources without Debian fail' "$status" 1
like 'with the remedy' "$said" "where Debian's own packages come from.*Add contrib"
is 'and nothing is announced' "$(grep -c would <<<"$said" || true)" 0

# A module that cannot be built.
machine 0x2684
: >"$root/dkms-fails"
run
is 'a module that cannot be built fails' "$status" 1
like 'and names the kernel and the log' "$said" "kernel $kernel.*make.log"

# Apt's own trouble keeps its words.
machine 0x2684
printf '99\nE: You don'"'"'t have enough free space in /var/cache/apt/archives/.\n' >"$root/trouble.install"
run
is 'a full disk fails' "$status" 1
like 'as a full disk' "$said" 'Free disk space'

machine 0x2684
run surplus
is 'an argument is bad usage' "$status" 2

# The machine on which bench.sh measures a run with nothing to do.
"$here/../bench/finished.sh" "$1" "$work/finished"
for noun in packages nvidia kvm bridge; do
        "$1/gpuvm-$noun" --root="$work/finished" >/dev/null 2>&1 || true
        status=0
        said=$("$1/gpuvm-$noun" --root="$work/finished" 2>&1) || status=$?
        like "a finished machine: gpuvm-$noun has nothing to do" "$status $said" '^0 .*Nothing to do'
done
done_testing
