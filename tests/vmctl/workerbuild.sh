#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# `vmctl image build gpu-worker`, whole, and a worker made of it: workerbuild.sh VMCTL
#
# As imagebuild.sh, with NVIDIA's repository: its name, its certificate, its key, its index, the pin, and a driver whose
# module DKMS compiles for the guest's kernel. Stand-ins are the packages (what they bring is tests/lab/nvidia), who signs them
# and the certificate: the guest's base trusts the authority of this test, as it would one that an administrator put there, and
# vmctl is the one that was built but for the 40 digits of NVIDIA's fingerprint, which are those of this test's key. All
# else is as shipped.
#
# shellcheck disable=SC2317,SC2016 # the functions are called inside the namespaces; some words are the guest's

# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=buildlib.sh
. "$(dirname "$0")/buildlib.sh"
# shellcheck source=../container/nvidialib.sh
. "$(dirname "$0")/../container/nvidialib.sh"

theirs=02182E60104FCDC26EAE1B8597A5D4CB8793F200
host=developer.download.nvidia.com
there=compute/cuda/repos/debian13/x86_64
driver=590.44.01

for program in gpg dpkg-scanpackages openssl debugfs; do
        command -v "$program" >/dev/null || skip_all "needs $program"
done
build_inputs

# stand_ins VERSION: the driver's packages, and beside them what is not to come along.
stand_ins() {
        local version=$1 name

        mkdir -p "$work/files/usr/src/nvidia-$version"
        cp "$lab/Kbuild" "$work/files/usr/src/nvidia-$version"
        { cat "$lab/nvidia.c"; echo "MODULE_VERSION(\"$version\");"; } >"$work/files/usr/src/nvidia-$version/nvidia.c"
        printf '%s\n' 'PACKAGE_NAME="nvidia"' "PACKAGE_VERSION=\"$version\"" 'AUTOINSTALL="yes"' \
                'BUILT_MODULE_NAME[0]="nvidia"' 'DEST_MODULE_LOCATION[0]="/updates/dkms"' \
                'MAKE[0]="make -C $kernel_source_dir M=$dkms_tree/$module/$module_version/build modules"' 'CLEAN="true"' \
                >"$work/files/usr/src/nvidia-$version/dkms.conf"
        # What dh_dkms makes of it.
        maintainer postinst <<S
#!/bin/sh
set -e
[ "\$1" != configure ] || /usr/lib/dkms/common.postinst nvidia $version /usr/share/nvidia "" "\$2"
S
        maintainer prerm <<S
#!/bin/sh
set -e
[ "\$1" = upgrade ] || [ "\$1" = remove ] || exit 0
[ -z "\$(dkms status -m nvidia -v $version)" ] || dkms remove -m nvidia -v $version --all
S
        package "$packages" nvidia-kernel-open-dkms "$version-1" 'Depends: dkms'
        script bin/nvidia-smi <<<"#!/bin/sh
echo $version"
        package "$packages" nvidia-smi "$version-1"
        package "$packages" nvidia-driver-cuda "$version-1" \
                "Depends: nvidia-kernel-open-dkms (= $version-1), nvidia-smi (= $version-1)" \
                'Recommends: cuda-toolkit, datacenter-gpu-manager, nvidia-container-toolkit'
        for name in cuda-toolkit datacenter-gpu-manager nvidia-container-toolkit; do
                package "$packages" $name "$version-1"
        done
}
repository() {
        export GNUPGHOME=$work/gnupg
        mkdir -p "$packages"
        mkdir -m 700 "$GNUPGHOME"
        gpg --batch --quiet --passphrase '' --quick-generate-key nobody@example.org rsa3072 sign never 2>/dev/null
        at_exit gpgconf --kill gpg-agent
        gpg --batch --armor --export >"$packages/8793F200.pub"
        stand_ins 580.105.08
        stand_ins $driver
        (cd "$packages" && dpkg-scanpackages --multiversion . 2>/dev/null >Packages)
        sign "$packages" /
        ours=$(gpg --batch --with-colons --list-keys 2>/dev/null | awk -F: '/^fp[r]:/ { print $10; exit }')
}
certificate() {
        local new=(openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2)

        "${new[@]}" -subj '/CN=test CA' -keyout "$work/ca.key" -out "$work/ca.pem" 2>/dev/null
        "${new[@]}" -subj "/CN=$host" -addext "subjectAltName=DNS:$host" -addext basicConstraints=critical,CA:FALSE \
                -CA "$work/ca.pem" -CAkey "$work/ca.key" -keyout "$work/server.key" -out "$work/server.crt" 2>/dev/null
        cat "$work/server.key" "$work/server.crt" >"$work/server.pem"
}
# As update-ca-certificates leaves it, without a mount.
trust() {
        local at bundle=/etc/ssl/certs/ca-certificates.crt

        cp --sparse=always "$disk" "$work/disk"
        chmod 600 "$work/disk"
        at=$(sfdisk -q -l -J "$work/disk" | python3 -c 'import json, sys
print(json.load(sys.stdin)["partitiontable"]["partitions"][1]["start"] * 512)')
        debugfs -R "dump $bundle $work/bundle" "$work/disk?offset=$at" 2>/dev/null
        cat "$work/ca.pem" >>"$work/bundle"
        chmod 644 "$work/bundle" "$work/ca.pem"
        printf '%s\n' "rm $bundle" "write $work/bundle $bundle" "write $work/ca.pem /usr/local/share/ca-certificates/test.crt" |
                debugfs -w -f - "$work/disk?offset=$at" >/dev/null 2>&1
        qemu-img convert -O qcow2 "$work/disk" "$work/base.qcow2"
        rm "$work/disk"
}

packages=$work/repository/$there lab=$(realpath "$(dirname "$0")/../lab/nvidia")
repository
certificate
trust
LC_ALL=C sed "s/$theirs/$ours/g" "$vmctl" >"$work/vmctl"
chmod 755 "$work/vmctl"
LC_ALL=C sed "s/$ours/$theirs/g" "$work/vmctl" >"$work/back"
check 'vmctl differs in the fingerprint alone' cmp "$vmctl" "$work/back"
check_fails 'and it does' 1 cmp -s "$vmctl" "$work/vmctl"
vmctl=$work/vmctl
# More than fits into memory.
mkdir -p "$work/kept/var/lib" "$work/kept/var/cache"
export GPUVM_KEPT=$work/kept hosts=$host

stamp() { while IFS= read -r line; do echo "$((SECONDS - began)) $line"; done >"$work/built.log"; }
built() {
        local began=$SECONDS status=0 images=/var/cache/gpuvm/images

        vm image build gpu-worker --memory 1536 --cpus 1 >"$work/built" 2> >(stamp) || status=$?
        echo "built and verified after $((SECONDS - began)) s" >"$work/times"
        say 'built' $status "$(grep -c "^gpu-worker boots: kernel .*-amd64, with NVIDIA's driver 590.44.01$" "$work/built")" \
                "$(sed -n 's/gpu-worker-[0-9a-f]\{12\}.qcow2$/FILE/p' "$work/built")"
        [ $status -eq 0 ] || exit 1
        say 'a second time' "$(vm image build gpu-worker | sed 's/.*qcow2//')"
        vm image build gpu-worker --json >"$work/json"
        status=0 && vm image verify >/run/said 2>&1 || status=$?
        say 'what is known of it is so' $status "$(grep -c 'is as it was' /run/said)"
        say 'files of it' "$(find $images -name 'gpu-worker*' | wc -l)"
        say 'nothing else is there' "$(find $pool /var/lib/gpuvm/creating /var/lib/libvirt/qemu/nvram /var/log/libvirt/qemu $images -type f \
                ! -name 'debian-13-*' ! -name 'gpu-worker*.qcow2' ! -name 'gpu-worker.json' ! -name '*.log' ! -name '.*.lock' 2>/dev/null
                virsh -q -c qemu:///system list --all --name)"
}
# worker COMMAND: in the machine.
worker() { guest worker-01 "$@" | tr '\n' ' ' | sed 's/ *$//'; }
used() {
        local began=$SECONDS

        vm create worker --memory 768 --cpus 1 --no-gpu --user ada --ssh-key "$(<"$work/key.pub")" \
                --wait --timeout 2400 >/run/said 2>&1 || { cat /run/said; tail -n 30 /var/log/libvirt/qemu/*.console; }
        echo "a machine of it is up after $((SECONDS - began)) s" >>"$work/times"
        say 'a machine of it' "$(worker 'whoami; hostname; command -v htop; cloud-init status --wait | tail -n 1')"
        echo "its cloud-init is done after $((SECONDS - began)) s" >>"$work/times"
        say 'it has one address' "$(worker 'ip -4 -o address show scope global | wc -l; ip -4 route show default | wc -l
                systemctl is-active NetworkManager')"
        say 'its kernel is the one that is known' "$(worker uname -r | grep -cxF "$(python3 -c 'import json, os
print(json.load(open(os.environ["work"] + "/json"))["built"]["kernel"])')")"
        say 'the driver' "$(worker 'PATH=$PATH:/usr/sbin; k=$(uname -r); modinfo -F version nvidia
                find /lib/modules/$k -name "nvidia.ko*" -printf "%P\n"
                modinfo -F vermagic nvidia | grep -cF "$k "; dkms status | sed "s/$k/KERNEL/"; nvidia-smi
                sudo modprobe nvidia; cat /sys/module/nvidia/version')"
        say 'nouveau' "$(worker 'cat /etc/modprobe.d/gpuvm-nouveau.conf; lsmod | grep -c nouveau
                sudo lsinitramfs /boot/initrd.img-$(uname -r) | grep -c modprobe.d/gpuvm-nouveau.conf')"
        say 'its branch stays' "$(worker 'grep "version" /etc/apt/preferences.d/gpuvm-nvidia; cat /etc/apt/sources.list.d/gpuvm-cuda.sources')"
        say 'who it was is not known any more' "$(worker 'sudo ls /var/lib/cloud/instances | wc -l; sudo journalctl --list-boots -q | wc -l
                sudo grep -rl gpuvm-jo[b] /etc /var/log
                sudo find /var/lib/dkms /var/lib/shim-signed /root -iname "mok*" -o -name .gnupg')"
        guest worker-01 'systemctl --failed --no-legend; df -h /; dpkg-query -W | wc -l' >"$work/more" 2>&1
        vm delete --yes --force --quiet worker-01
}
real() {
        ground
        archive
        base
        python3 "$mock/aptproxy.py" files "$work/repository" 192.0.2.1 "$work/server.pem" 2>"$work/asked.nvidia" &
        built
        used
}
create_real "$work" 14000 "${build_inside[@]}" stamp built worker used
if [ "$status" -eq 77 ]; then
        skip_all 'needs root, libvirt-daemon, libvirt-clients, qemu-utils, qemu-system-x86, dnsmasq-base, iptables, strace and binutils'
fi
[ "$status" -eq 0 ] || diag "$(tail -n 40 "$work/built.log"; tail -n 5 "$work/asked" "$work/asked.nvidia" "$work/proxy.err")"
diag "$(cat "$work/times"; grep -o '^[0-9]* .*gpuvm: .*' "$work/built.log")"
diag "$(cat "$work/more")"
diag "$(python3 -c 'import json, sys; d = json.load(open(sys.argv[1])); print("image", d["length"] >> 20, "MiB")' "$work/json")"
is 'a worker is built, proved and used' "$got" 'built: 0 1 gpu-worker /var/cache/gpuvm/images/FILE
a second time:  is built from just this already; --refresh builds it anew
what is known of it is so: 0 2
files of it: 2
nothing else is there: 
a machine of it: ada worker-01 /usr/bin/htop status: done
it has one address: 1 1 active
its kernel is the one that is known: 1
the driver: 590.44.01 updates/dkms/nvidia.ko.xz 1 nvidia/590.44.01, KERNEL, x86_64: installed 590.44.01 590.44.01
nouveau: blacklist nouveau options nouveau modeset=0 0 1
its branch stays: Pin: version 590.* Types: deb URIs: https://developer.download.nvidia.com/compute/cuda/repos/debian13/x86_64/ Suites: / Signed-By: /usr/share/keyrings/gpuvm-cuda.asc
who it was is not known any more: 1 1'
is 'what is known of it' "$(python3 - "$work/json" "$GPUVM_KEPT"/var/cache/gpuvm/images <<'P'
import hashlib, json, re, sys
d = json.load(open(sys.argv[1]))
b = d["built"]
base = json.load(open(sys.argv[2] + "/debian-13-amd64.json"))
with open(sys.argv[2] + "/" + d["file"], "rb") as f:
    sum = hashlib.file_digest(f, "sha256").hexdigest()
print(d["name"], d["kind"], d["release"], d["arch"], d["format"], d["size"] >> 30, d["signature"], d["cached"], d["digest"] == "sha256:" + sum)
print(b["from"], b["from_digest"] == base["digest"], b["driver"], b["compressed"], b["seconds"] > 0, len(b["recipe"]))
print(*(p + ("" if p in b["packages"] else " is not there") for p in """openssh-server cloud-init python3 qemu-guest-agent
network-manager curl wget vim htop dkms linux-headers-amd64 linux-image-amd64""".split()))
print(*(p + "=" + v for p, v in sorted(b["packages"].items()) if "nvidia" in p))
print("not wanted:", *(p for p in b["packages"] if re.search("cuda-|datacenter|dcgm|container|docker|kube|cri-|xserver", p)))
P
)" 'gpu-worker debian 13 amd64 qcow2 30 built here True True
debian-13-amd64 True 590.44.01 False True 64
openssh-server cloud-init python3 qemu-guest-agent network-manager curl wget vim htop dkms linux-headers-amd64 linux-image-amd64
nvidia-driver-cuda=590.44.01-1 nvidia-kernel-open-dkms=590.44.01-1 nvidia-smi=590.44.01-1
not wanted:'
done_testing
