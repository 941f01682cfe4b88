#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Images that are built, by guests of one sector under a real libvirtd and QEMU: imagejob.sh VMCTL
#
# What a guest does in there is another test's (imagebuild.sh); here it answers at once, with what it is to.
#
# shellcheck disable=SC2317 # the functions are called inside the namespaces

# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
vmctl=$(realpath "$1")
# shellcheck source=createlib.sh
. "$(dirname "$0")/createlib.sh"
work=$(mktemp -d)
at_exit rm -rf "$work"
mock=$(realpath "$(dirname "$0")/../mock")
export mock

# What is wrong with what was asked for, before anybody is asked for anything.
while IFS='|' read -r words want; do
        # shellcheck disable=SC2086 # words
        "$vmctl" image build $words >/dev/null 2>"$work/err" </dev/null && status=0 || status=$?
        like "image build $words" "$status:$(<"$work/err")" "^2:.*$want"
done <<'CASES'
tiny|--from ubuntu-24.04
tiny --from talos-1|no base for images
tiny --from ubuntu-1|no base for images
../x --from debian-13|no name for an image
tiny --from debian-13 --size 1G|4 GiB to 16 TiB
tiny --from debian-13 --packages a;b|no name of a package
tiny --from debian-13 --with-cuda|add --with-nvidia
tiny --from debian-13 --with-nvidia=new|no version of NVIDIA
CASES
mkdir -p "$work/root"
got=$(GPUVM_ROOT=$work/root "$vmctl" image build gpu-worker --dry-run 2>&1)
is 'what gpu-worker would be' "$got" 'gpu-worker would be built:
  from      debian 13
  disk      30 GiB, thin
  packages  openssh-server cloud-init python3 qemu-guest-agent network-manager curl wget vim htop
  driver    the newest (for GPUs of data centres)
            linux-headers-amd64 nvidia-driver-cuda nvidia-kernel-open-dkms'

got=$(GPUVM_ROOT=$work/root "$vmctl" image build gpu-worker --dry-run --json 2>&1)
is 'and as JSON' "$(python3 -c 'import json, sys
v = json.load(sys.stdin)
print(v["name"], v["from"], v["size"] >> 30, v["packages"][-1], v["driver"][0], v["driver_version"], v["driver_why"], sep=", ")' <<<"$got")" \
        'gpu-worker, debian-13, 30, htop, linux-headers-amd64, None, for GPUs of data centres'
got=$(GPUVM_ROOT=$work/root "$vmctl" image build tiny --from debian-13 --dry-run --json 2>&1)
is 'of one without a driver' "$(python3 -c 'import json, sys
v = json.load(sys.stdin)
print(v["driver"], v["driver_version"], v["driver_why"])' <<<"$got")" '[] None None'

# base KIND [TEXT [TEXT]]: from now on that is what images are built from.
base() {
        local cache=/var/cache/gpuvm/images sum file

        rm -rf $cache/debian-*
        mkdir -p $cache
        python3 "$mock/bootsector.py" "$1" /run/sector "${@:2}"
        qemu-img convert -O qcow2 /run/sector /run/base.qcow2
        sum=$(sha256sum /run/base.qcow2 | cut -d' ' -f1)
        file=debian-13-amd64-${sum:0:12}.qcow2
        mv /run/base.qcow2 "$cache/$file"
        printf '{"name":"debian-13-amd64","kind":"debian","release":"13","arch":"amd64","file":"%s","format":"qcow2","schematic":"",
"url":"https://example.com/","digest":"sha256:%s","content":"","signature":"good","size":1048576,"length":%s,"used":0,"pulled":1}\n' \
                "$file" "$sum" "$(stat -c %s "$cache/$file")" >$cache/debian-13-amd64.json
}
build() { vm image build tiny --from debian-13 --firmware bios --memory 64 --cpus 1 --timeout 60 "$@"; }
# told STATUS: the last message, without what changes.
told() { echo "$1: $(grep -v 'vmctl: tiny: ' /run/said | tail -n 1 | cut -c 1-150)"; }
# What a build could leave.
left() {
        virsh -q -c qemu:///system list --all --name | grep .
        pgrep -f 'guest=build-'
        find "$pool" /var/lib/gpuvm/creating /etc/libvirt/qemu /var/log/libvirt/qemu /var/cache/gpuvm/images \( -name '*build-*' -o -name '*.part' \) ! -name '*.log'
}
gone() {
        for _ in $(seq 300); do
                ! pgrep -f 'guest=build-' >/dev/null || { sleep 0.1; continue; }
                return 0
        done
        echo 'its guest runs on'
}
real() {
        local victim first status

        ground
        network
        # SeaBIOS shows the BIOS's functions only disks that may start the machine, as libvirt asks it to.
        cp /usr/bin/qemu-system-x86_64 /run/qemu
        # shellcheck disable=SC2016 # the wrapper's
        printf '#!/bin/bash\nexec /run/qemu -L /usr/share/qemu -L /usr/share/seabios "${@/strict=on/strict=off}"\n' >/run/wrapper
        chmod 755 /run/wrapper
        mount --bind /run/wrapper /usr/bin/qemu-system-x86_64

        base answer '{"result":"done","kernel":"6.12-test","driver":"","packages":{"vim":"2:9.1"}}'
        status=0
        build --json >/run/json 2>/run/said || status=$?
        told $status
        echo "booted: $(grep -c 'guest: up and' /run/said)"
        grep -om1 'guest: up and' /run/said
        python3 -c 'import json, os, sys
d = json.load(open("/run/json"))
print(d["name"], d["kind"], d["release"], d["format"], d["size"] >> 30, d["signature"], d["cached"], d["built"]["from"],
      d["built"]["kernel"], d["built"]["packages"], oct(os.stat(d["path"]).st_mode & 0o777))'
        first=$(python3 -c 'import json; print(json.load(open("/run/json"))["path"])')
        echo "one file: $(qemu-img info --output=json "$first" | python3 -c 'import json, sys; d = json.load(sys.stdin); print(d["virtual-size"] >> 30, d.get("backing-filename"))')"
        vm image list | awk '$1 == "tiny" { print "listed:", $1, $2, $3 }'
        left
        vm image verify >/run/said 2>&1; echo "verified: $? $(grep -c 'is as it was' /run/said)"
        build | sed 's/tiny-.*qcow2/FILE/'
        vm image gc >/dev/null && ls "$first" >/dev/null && echo 'gc keeps it'
        # Other inputs, another build; what it replaces goes with gc.
        build --packages htop --compress --quiet 2>/run/said && vm image gc | sed 's/tiny-.*qcow2/FILE/' | head -n 1
        # A machine's disk is made on it by its name.
        vm create debian --image tiny --memory 128 --cpus 1 --no-gpu --ssh-key "$key" --firmware bios >/run/said 2>&1 || cat /run/said
        qemu-img info -U --output=json $pool/debian-01.qcow2 | python3 -c 'import json, sys
print("made on:", json.load(sys.stdin)["full-backing-filename"].split("-")[0])'
        # A worker wants its own image, unless another one is named, and takes along what it joins with.
        worker() { vm create worker --memory 128 --cpus 1 --no-gpu --ssh-key "$key" --firmware bios "$@"; }
        worker 2>&1 | grep -o "no image 'gpu-worker' yet"
        printf 'kubeadm join 192.0.2.1:6443 --token abc\n' >/run/join
        chmod 644 /run/join
        worker --image tiny --join /run/join 2>&1 | grep -o "Others can read '/run/join'"
        echo "its seed: $(strings $pool/worker-01-seed.iso | grep -c 'kubeadm join 192.0.2.1') $(stat -c %a $pool/worker-01-seed.iso)"
        echo "its kind: $(vm list --json | python3 -c 'import json, sys; print(*(m["kind"] for m in json.load(sys.stdin)))')"
        vm delete --yes --force --quiet worker-01
        vm image remove --yes tiny 2>&1 | cut -d: -f 2
        vm delete --yes --quiet debian-01
        vm image remove --yes tiny
        find /var/cache/gpuvm/images -name 'tiny*'

        # Guests that fail, end too soon, or never.
        base answer '{"result":"failed","step":"packages","reason":"E: no such thing"}'
        status=0 && build >/run/said 2>&1 || status=$?
        told $status
        base 'done'
        status=0 && build >/run/said 2>&1 || status=$?
        told $status
        base deaf
        status=0 && build --timeout 3 >/run/said 2>&1 || status=$?
        told $status
        left
        # What was built and does not boot as it should has no name, nor takes one away; who says so has it all the same.
        base answer '{"result":"done","kernel":"k","driver":"","packages":{}}'
        build --quiet
        base answer '{"result":"done","kernel":"k","driver":"","packages":{}}' '{"result":"failed","step":"ssh","reason":"no host keys"}'
        status=0 && build --refresh >/run/said 2>&1 || status=$?
        told $status
        echo "before: $(vm image list --quiet | grep -c tiny)"
        left
        build --refresh --no-verify --quiet && echo 'without a look at it'
        status=0 && vm image verify tiny --firmware bios --memory 64 --cpus 1 2>/run/said >/dev/null || status=$?
        told $status
        vm image remove --yes --quiet tiny
        vm image gc >/dev/null
        base deaf

        # Interrupted, while another one wants the same; killed.
        build >/run/said 2>&1 &
        until pgrep -f 'guest=build-' >/dev/null; do sleep 0.1; done
        status=0 && build >/run/other 2>&1 || status=$?
        echo "$status: $(tail -n 1 /run/other)"
        pkill -INT -f -x '.*vmctl image build tiny.*' && status=0 && wait %% || status=$?
        told $status
        left
        env LD_PRELOAD="$preload" "$vmctl" image build tiny --from debian-13 --firmware bios --memory 64 --cpus 1 >/dev/null 2>&1 </dev/null &
        victim=$!
        until pgrep -f 'guest=build-' >/dev/null; do sleep 0.1; done
        kill -KILL $victim
        gone
        [ -n "$(left)" ] && echo 'killed: something is left'
        base answer '{"result":"done","kernel":"k","driver":"","packages":{}}'
        build --quiet >/run/said 2>&1 && echo 'the next one takes it away'
        grep -c 'Took back' /run/said
        left
        virsh -q -c qemu:///system net-destroy default
        status=0 && build --refresh >/run/said 2>&1 || status=$?
        told $status
}
create_real "$work" 500 base build told left gone network
if [ "$status" -eq 77 ]; then
        skip 'a real libvirtd' 'needs root, libvirt-daemon, libvirt-clients, qemu-utils, qemu-system-x86, dnsmasq-base, iptables, strace and binutils'
        done_testing
        exit
fi
is 'with a real libvirtd' "$got" "0: 
booted: 2
guest: up and
tiny debian 13 qcow2 30 built here False debian-13-amd64 6.12-test {'vim': '2:9.1'} 0o444
one file: 30 None
listed: tiny 30 GiB
verified: 0 2
tiny /var/cache/gpuvm/images/FILE is built from just this already; --refresh builds it anew
gc keeps it
FILE removed
made on: /var/cache/gpuvm/images/tiny
no image 'gpu-worker' yet
Others can read '/run/join'
its seed: 1 600
its kind: debian worker
 The image 'tiny' stays
tiny removed
1: vmctl: 'tiny' failed in its guest, at step 'packages': E: no such thing
1: vmctl: The guest for 'tiny' went off before it was done. What it said is above; does its image have cloud-init?
1: vmctl: The guest for 'tiny' did not end within 3 s. What it said last is above; --timeout gives it longer
1: vmctl: 'tiny' failed in its guest, at step 'ssh': no host keys
before: 1
without a look at it
1: vmctl: 'tiny' failed in its guest, at step 'ssh': no host keys
4: vmctl: Another 'vmctl image build tiny' is at work
1: vmctl: Interrupted
killed: something is left
the next one takes it away
1
1: vmctl: libvirt's network 'default' is not active. The guest needs one with DHCP: 'virsh net-start default', or another one by --network"
done_testing
