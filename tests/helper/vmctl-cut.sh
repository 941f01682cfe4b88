#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What vmctl writes for good, killed at a system call that changes something, and the power gone in the same moment:
# vmctl-cut.sh DIRECTORY-OF-HELPERS GOINGDOWN [CASE...]
#
# shellcheck disable=SC2317,SC2154,SC2034 # the functions of the cases and what they share with cut.sh

# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=cut.sh
. "$(dirname "$0")/cut.sh"
here=$(cd "$(dirname "$0")" && pwd)
cut_begin "$@"
cases=("${@:3}")
[ $# -gt 2 ] || cases=(mode mode-back attach detach catalog pull refresh gc apart)
# One cut of this takes as long as ten of the others, and tests/vmctl/createcuts.sh kills it at each step.
[ $# -gt 2 ] || [ -z "${GPUVM_LONG-}" ] || cases+=(create)
# wanted CASE
wanted() {
        [[ " ${cases[*]} " == *" $1 "* ]]
}
twins=$here/../hosts/amd-two-twins

# --- mode: a drop-in for one of two GPUs, which undo takes away
cp -a "$twins" "$work/mode"
run_mode() {
        "$@" "$helpers/vmctl" gpu mode --root="$root" 21:00.0 exclusive
}
# One that says so is in the ledger.
look_mode() {
        ! grep -qsr exclusive "$root/etc/gpuvm.conf.d" || grep -qs '^object=/etc/gpuvm.conf.d/60-gpu-' "$root"/var/lib/gpuvm/ledger/* ||
                { echo 'the mode is not in the ledger'; return 1; }
}

# --- mode-back: away again. It is somebody else's to the ledger, so undo brings it back.
cp -a "$twins" "$work/mode-back"
"$helpers/vmctl" gpu mode --quiet --root="$work/mode-back" 21:00.0 exclusive
rm -r "$work/mode-back/var/lib/gpuvm"
run_mode-back() {
        "$@" "$helpers/vmctl" gpu mode --root="$root" 21:00.0 flexible
}
look_mode-back() {
        [ "$cut_at" != end ] || ! grep -qsr exclusive "$root/etc/gpuvm.conf.d" || { echo 'it is exclusive still'; return 1; }
}

# --- attach, detach: a GPU of a declared machine, whose file says so as well. libvirt's test driver forgets, and so each run
# begins with what it has to change.
# lab_node CASE METADATA HOSTDEVS: its machine, as libvirt has it.
lab_node() {
        local bus ports=

        for bus in 1 2 3; do
                ports+="<controller type='pci' index='$bus' model='pcie-root-port'/>"
        done
        cat >"$work/$1.xml" <<END
<node><domain type="test" xmlns:test="http://libvirt.org/schemas/domain/test/1.0"><name>lab</name>
<metadata><g:vm xmlns:g="urn:gpuvm:vm:1" kind="debian">$2</g:vm></metadata><memory>65536</memory><os><type>hvm</type></os>
<devices><controller type="pci" index="0" model="pcie-root"/>$ports$3</devices><test:runstate>5</test:runstate></domain></node>
END
}
lab_hostdevs() {
        printf '<hostdev mode="subsystem" type="pci" managed="no"><source><address domain="0" bus="33" slot="0" function="%s"/></source></hostdev>' 0 1
}
declare_lab() {
        cp -a "$twins" "$work/$1"
        mkdir -p "$work/$1/etc/gpuvm/vms"
        printf '[Vm]\nKind=debian\n[Gpu]\nGpu=none\n' >"$work/$1/etc/gpuvm/vms/lab.vm"
        keeps_no_ledger[$1]=1
}
# declared: what GPU its file has, with all that is beside it.
declared() {
        cat "$root"/etc/gpuvm/vms/lab.vm{,.d/*} 2>/dev/null | sed -n 's/^Gpu=\(.\)/\1/p' | tail -n 1
}
declare_lab attach
lab_node attach '' ''
run_attach() {
        "$@" "$helpers/vmctl" -c "test:///$work/attach.xml" gpu attach lab 21:00.0 --root="$root"
}
look_attach() {
        case $(declared) in pci-*) ;; none) [ "$cut_at" != end ] ;; *) false ;; esac || { echo "its file has '$(declared)'"; return 1; }
}
declare_lab detach
lab_node detach '' ''
root=$work/detach
"$helpers/vmctl" -c "test:///$work/detach.xml" gpu attach lab 21:00.0 --quiet --root="$root" 2>/dev/null
lab_node detach '<g:gpu address="0000:21:00.0"/>' "$(lab_hostdevs)"
run_detach() {
        "$@" "$helpers/vmctl" -c "test:///$work/detach.xml" gpu detach lab 21:00.0 --root="$root"
}
look_detach() {
        case $(declared) in none) ;; pci-*) [ "$cut_at" != end ] ;; *) false ;; esac || { echo "its file has '$(declared)'"; return 1; }
}

# --- catalog: three machines, one of which replaces another
mkdir -p "$work"/catalog/{etc/gpuvm/vms,sys/bus/pci/devices}
printf '[Vm]\nKind=ubuntu\n' >"$work/catalog/etc/gpuvm/vms/b.vm"
printf 'vms:\n  a: {os: debian-13, memory: 4096}\n  b: {os: debian-13, disk: 40}\n  c: {os: ubuntu-24.04}\n' >"$work/machines.yml"
keeps_no_ledger[catalog]=1
run_catalog() {
        "$@" "$helpers/vmctl" import-catalog --force --root="$root" --output=/etc/gpuvm/vms "$work/machines.yml"
}

# --- pull, refresh, gc: one that is downloaded, one that replaces it, and what nothing is made on. An entry has the time in
# it; what it says of its image is looked at instead.
mkdir "$work/server"
python3 "$here/../mock/imageserver.py" "$work/server" 2>"$work/server.err" &
at_exit kill $!
for _ in {1..1800}; do
        [ ! -e "$work/server/ports" ] || break
        sleep 0.1
done
# shellcheck source=/dev/null
. "$work/server/ports"
export GPUVM_IMAGE_CA=$work/server/ca.pem
unset https_proxy HTTPS_PROXY all_proxy ALL_PROXY
# image_machine NAME BEHAVIOUR: one with that server.
image_machine() {
        mkdir -p "$work/$1"/{etc,pool}
        printf '[Image]\nDebianUrl=https://localhost:%s/%s\n[Storage]\nPoolPath=/pool\n' "${good:?}" "$2" >"$work/$1/etc/gpuvm.conf"
        room[$1]=1G
        loose[$1]='^\./var/cache/gpuvm/images/[^.][^ ]*\.json'
        between[$1]='^\./var/cache/gpuvm/images/[^ ]*\.part '
        keeps_no_ledger[$1]=1
}
# image WORDS PREFIX...
image() {
        # shellcheck disable=SC2086 # words
        GPUVM_ROOT=$root "${@:2}" "$helpers/vmctl" image $1
}
# entries ROOT: what is in them, but for the time.
entries() {
        find "$1/var/cache/gpuvm/images" -name '[^.]*.json' -exec jq -cS 'del(.pulled)' {} + 2>/dev/null | sort
}
# image_case NAME WORDS: an entry that is there has its image, whole; after the end they are those that it ends with.
image_case() {
        eval "run_$1() { image '$2' \"\$@\" && has_entries $1; }; look_$1() { look_images $1; }"
}
has_entries() {
        [ "$(entries "$root")" = "$(entries "$work/$1.whole")" ]
}
look_images() {
        local file

        while read -r file; do
                [ -e "$root/var/cache/gpuvm/images/$file" ] || { echo "$file has an entry, and is not there"; return 1; }
        done < <(entries "$root" | jq -r .file)
        image verify env >"$work/verified" 2>&1 || { cat "$work/verified"; return 1; }
        [ "$cut_at" != end ] || has_entries "$1" || { echo "not what was told: $(entries "$root")"; return 1; }
}
image_machine pull ok
image_case pull 'pull debian'
image_machine refresh newer
for name in refresh gc; do
        image_machine $name newer
        root=$work/$name
        cp "$root/etc/gpuvm.conf" "$work/newer.conf"
        cp "$work/pull/etc/gpuvm.conf" "$root/etc/gpuvm.conf"
        image 'pull debian' env >/dev/null 2>&1
        cp "$work/newer.conf" "$root/etc/gpuvm.conf"
done
image_case refresh 'pull debian --refresh'
image 'pull debian --refresh' env >/dev/null 2>&1
image_case gc 'gc --all'
root=$mnt/root

# --- create: a machine of a real libvirtd and QEMU, whose directories are on the file system that loses power; the start after
# that is a new libvirtd. It has a UUID, which all but its disk tell, and so it is looked at instead.
vmctl=$helpers/vmctl cut_at=
# shellcheck source=../vmctl/createlib.sh
. "$here/../vmctl/createlib.sh"
standard[1]=/var/lib/base.qcow2
# virsh COMMAND...
libvirt() {
        virsh -q -c qemu:///system "$@"
}
# on_libvirtd FUNCTION ARGUMENT...: beside one; nobody ends in good order.
on_libvirtd() {
        {
                declare -p standard pool preload vmctl cut_at
                declare -f
                # shellcheck disable=SC2016 # for the one that runs it
                echo 'status=0
"$@" || status=$?
kill -KILL "$(cat /run/libvirtd.pid)" "$(cat /run/virtlogd.pid)"
exit $status'
        } >"$work/inside"
        GPUVM_KEPT=$root "$here/with-libvirtd.sh" bash -uo pipefail "$work/inside" "$@"
}
create_ground() {
        mkdir -p "$pool"
        qemu-img create -q -f qcow2 "${standard[1]}" 1G
        network
        create_one env
        vm delete --yes --force --quiet debian-01
}
# create_one PREFIX...: one that is there is whole, and was made before.
create_one() {
        [ -z "$(libvirt list --all --name)" ] || vm delete --yes --force --quiet debian-01 || return
        env LD_PRELOAD="$preload" "$@" "$vmctl" create debian "${standard[@]}" </dev/null
}
# The next one takes back what was cut; it fails for want of its image.
create_look() {
        local left

        ! make --image /nonexistent >/run/recovered 2>&1 || echo 'made of nothing'
        left=$(find "$pool" /var/lib/gpuvm/creating /etc/libvirt/qemu -maxdepth 1 ! -type d ! -name '*.xml.new' -printf '%f ' 2>/dev/null)
        if [ -z "$(libvirt list --all --name)" ]; then
                [ -z "$left" ] || echo "of no machine: $left: $(cat /run/recovered)"
                [[ $cut_at != @(end|end-make) ]] || echo 'it was made, and is not there'
                return
        fi
        [ "$cut_at" != end-delete ] || echo 'it was deleted, and is there'
        qemu-img check -q "$pool/debian-01.qcow2" || echo 'its disk is damaged'
        vm start debian-01 >/run/started 2>&1 || cat /run/started
}
run_create() {
        on_libvirtd create_one "$@"
}
look_create() {
        local found

        found=$(on_libvirtd create_look)
        [ -z "$found" ] || { echo "$found"; return 1; }
}
keeps_no_ledger[create]=1
calls[create]=${cut_calls#write,}
loose[create]='^\./(etc/libvirt|var/cache|var/lib/libvirt/(qemu|dnsmasq)|var/lib/gpuvm/creating|var/lib/libvirt/images/gpuvm/[^ ]*seed)'

# --- apart: made, and deleted again, where /etc is a file system of its own, and the last that vmctl writes is in another one.
# create_apart PART: etc, or var
create_apart() {
        local root=$work/apart what found

        rm -rf "$root"
        cp -a "$work/create" "$root"
        cut_mkfs create xfs
        cut_on
        case $1 in etc) set -- etc libvirt ;; var) set -- var lib ;; esac
        mv "$root/$1/$2" "$mnt"
        ln -s "$mnt/$2" "$root/$1/$2"
        sync -f "$mnt"
        for what in make delete; do
                on_libvirtd "create_$what" >"$work/said" 2>&1 || diag "$what: $(cat "$work/said")"
                "$goingdown" "$mnt" nologflush
                cut_off
                cut_on
                cut_at=end-$what
                found=$(on_libvirtd create_look)
                is "/$1 alone loses power: $what is done" "$found" ''
        done
        cut_off
}
create_make() {
        create_one env
}
create_delete() {
        vm delete --yes --force --quiet debian-01
}

mkdir -p "$work"/create/{etc/libvirt,var/{cache,lib,log}}
if wanted create || wanted apart; then
        status=0
        root=$work/create on_libvirtd create_ground >"$work/said" 2>&1 || status=$?
        case $status in
        0) ;;
        77)
                skip 'a machine of a real libvirtd' 'needs libvirt-daemon, libvirt-clients, qemu-utils, qemu-system-x86, dnsmasq-base and iptables'
                mapfile -t cases < <(printf '%s\n' "${cases[@]}" | grep -vxE 'create|apart')
                ;;
        *)
                diag "create: $(cat "$work/said")"
                exit 1
                ;;
        esac
fi

mapfile -t sweeps < <(printf '%s\n' "${cases[@]}" | grep -vx apart)
cut_everywhere 24 "${sweeps[@]}"
for name in "${sweeps[@]}"; do
        is "$name, uncut, is done" "$(cat "$work/$name.status")" 0
        check_fails "$name changes something" 1 cmp -s "$work/$name.end" <(root=$work/$name cut_end_digest "$name")
done
if wanted apart; then
        create_apart etc
        [ -z "${GPUVM_LONG-}" ] || create_apart var
fi
done_testing
