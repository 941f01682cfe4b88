#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Images: from servers of every kind of hostility, by two at once, killed at each step; and vmctl's
# commands for them: image.sh IMAGEGET FAKESYS VMCTL
#
# The server is mock/imageserver.py, with TLS and a CA of its own. Whatever goes wrong: one clear error, and no file
# under the image's name.

# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
here=$(cd "$(dirname "$0")" && pwd)
imageget=$1 fakesys=$2 vmctl=$3
work=$(mktemp -d)
at_exit rm -rf "$work"
mkdir "$work/server"
IMAGESERVER_FILE=$work/big.xz python3 "$here/../mock/imageserver.py" "$work/server" 2>"$work/server.err" &
server=$!
at_exit kill $server
for ((i = 0; i < 1800; i++)); do
        [ -e "$work/server/ports" ] && break
        sleep 0.1
done
# shellcheck source=/dev/null
. "$work/server/ports"
: "${good:?} ${other:?} ${self:?} ${expired:?} ${oldtls:?} ${plain:?}"
requests=$work/server/log
: >"$requests"
export GPUVM_IMAGE_CA=$work/server/ca.pem GPUVM_IMAGE_LATEST=https://localhost:$good/dead/releases/latest
unset https_proxy HTTPS_PROXY all_proxy ALL_PROXY

root_n=0
# machine: an empty one in $root.
machine() {
        root=$work/m$((root_n += 1))
        cache=$root/var/cache/gpuvm/images
        mkdir -p "$root"
}

# get BEHAVIOUR KIND [ARGUMENT...]
get() {
        "$imageget" "$root" "https://localhost:${port:-$good}/$1" "${@:2}"
}

# images: what has an image's name in the cache.
images() {
        find "$root" \( -name '*.raw' -o -name '*.qcow2' -o -name '*.json' \) -printf '%P\n'
}

# Afterwards nothing is left but locks, and which Talos is the newest.
rest() {
        find "$root" -type f ! -name '.*.lock' ! -name latest-talos -printf '%P\n'
}

# refuses NAME ERROR BEHAVIOUR KIND [ARGUMENT...]: fails in a minute, says so, leaves nothing.
refuses() {
        local name=$1 want=$2 said status=0 start=$SECONDS

        machine
        said=$(timeout -s KILL 60 "$imageget" "$root" "https://${host:-localhost}:${port:-$good}/$3" "${@:4}" 2>&1) || status=$?
        if [ $status -eq 1 ] && [ "$(wc -l <<<"$said")" -eq 1 ] && [[ $said == *$want* ]] && [ -z "$(rest)" ]; then
                ok "$name ($((SECONDS - start)) s)"
        else
                not_ok "$name" "exit status $status after $((SECONDS - start)) s, not 1 with '$want': $said
left: $(rest)"
        fi
}

# --- what is good
machine
said=$(get ok talos gpu)
path=/var/cache/gpuvm/images/talos-v1.13.9-amd64-open-lts-$(printf gpuvm | sha256sum | cut -d' ' -f1).raw
is 'the newest Talos that is no pre-release and not broken' "$said" "$path raw 8388608"
check 'unpacked it is the image' cmp "$work/server/raw" "$root$path"
is 'with its holes' "$(($(stat -c %b "$root$path") * 512 < 3 * 1024 * 1024))" 1
is 'read-only' "$(stat -c %a "$root$path")" 444
is 'and nothing else' "$(rest | sort)" "$(printf '%s\n' "${cache#"$root/"}/talos-v1.13.9-amd64-open-lts.json" "${path#/}" | sort)"
: >"$requests"
is 'a second time it is there' "$(get ok talos gpu)" "$said"
is 'without a word to anybody' "$(cat "$requests")" ''
# shellcheck disable=SC2016 # another shell's
check 'and without one byte of it read' bash -c '
        strace -f -e trace=read,pread64,openat,openat2,connect -y -o "$1/trace" -E ASAN_OPTIONS=detect_leaks=0 "${@:2}" >/dev/null &&
        grep -q "open-lts.json" "$1/trace" && ! grep -E "^[0-9]+ +(connect|p?read[^(]*\([0-9]+<[^>]*\.raw)" "$1/trace"' \
        - "$work" "$imageget" "$root" "https://localhost:$good/ok" talos gpu
extensions() {
        python3 -c 'import json, sys; print(*json.load(open(sys.argv[1]))["customization"]["systemExtensions"]["officialExtensions"])' "$work/server/schematic"
}
is 'of what a GPU of its generation needs' "$(extensions)" \
        'siderolabs/nvidia-open-gpu-kernel-modules-lts siderolabs/nvidia-container-toolkit-lts siderolabs/qemu-guest-agent'
is 'without a GPU it is another one' "$(get ok talos | cut -d' ' -f1)" "${path/-open-lts/}"
is 'with less in it' "$(extensions)" siderolabs/qemu-guest-agent
is 'a version that is asked for' "$(get ok talos=v1.13.8 | cut -d' ' -f1)" "${path/1.13.9-amd64-open-lts/1.13.8-amd64}"
sum=$(sha256sum "$work/server/qcow2" | cut -c1-12)
is 'Ubuntu, as the sums say' "$(get ok ubuntu)" "/var/cache/gpuvm/images/ubuntu-25.10-amd64-$sum.qcow2 qcow2 67108864"
check 'as it is on the server' cmp "$work/server/qcow2" "$cache/ubuntu-25.10-amd64-$sum.qcow2"
is 'the entry tells that nobody could check the signature' \
        "$(python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["signature"])' "$cache/ubuntu-25.10-amd64.json")" 'no keyring'
check 'Debian, by SHA-512' get ok debian
check 'by its codename' get ok debian=trixie
check_fails 'a release that nobody knows' 1 get ok ubuntu=12.04
check_fails 'a pre-release of Talos' 1 get ok talos=v1.14.0-rc.1
: >"$requests"
check 'a refresh that finds the same build' get ok ubuntu refresh
is 'downloads nothing' "$(grep -c cloudimg-amd64.img "$requests")" 0
check 'a refresh that finds a newer one' get newer ubuntu refresh
is 'keeps both, since machines are made on the old one' "$(find "$cache" -name 'ubuntu*.qcow2' | wc -l)" 2

machine
get ok debian >/dev/null
sed -i 's/^{/{"built":{"from":"x"},/' "$cache/debian-13-amd64.json"
for word in '' refresh; do
        # shellcheck disable=SC2086 # a word, or none
        said=$(get ok debian $word 2>&1) && status=0 || status=$?
        like "one that was built is no download${word:+, nor refreshed}" "$status:$said" "^1:.*an image that was built here has it"
done
machine
check 'a connection that breaks twice' get resume talos
check 'is taken up where it was' cmp "$work/server/raw" "$cache"/talos-*.raw
is 'by two further requests' "$(grep -c 'resume/image.*bytes=' "$requests")" 2
machine
check 'a server that has no time at first' get busy talos
machine
check 'a redirect to https' get redirect talos
machine
check_fails 'no server, and nothing known' 1 get dead talos
get ok talos >/dev/null
touch -d '2 days ago' "$cache/latest-talos"
check 'no server, but an answer of two days ago' get dead talos
machine
: >"$requests"
is 'where the factory does not tell, GitHub knows the newest Talos' \
        "$(GPUVM_IMAGE_LATEST=https://localhost:$good/ok/releases/latest get old talos | cut -d' ' -f1)" "${path/1.13.9-amd64-open-lts/1.13.8-amd64}"
is 'after the factory' "$(grep -o '/\(old/versions\|ok/releases/latest\) ' "$requests" | uniq | paste -sd' ' | xargs)" '/old/versions /ok/releases/latest'
is 'which is kept as its own answer would be' "$(<"$cache/latest-talos")" v1.13.8
for github in dead nojson prerelease; do
        GPUVM_IMAGE_LATEST=https://localhost:$good/$github/releases/latest refuses "no help from GitHub: $github" "/old/versions'" old talos
done
machine
mkdir -p "$root/usr/share/keyrings" "$root/usr/bin"
touch "$root/usr/share/keyrings/ubuntu-cloudimage-keyring.gpg"
# shellcheck disable=SC2016 # another shell's
printf '#!/bin/sh\ngrep -q good "$4" && grep -q cloudimg "$5"\n' >"$root/usr/bin/gpgv"
chmod +x "$root/usr/bin/gpgv"
check 'a good signature' get ok ubuntu
is 'is in the entry' "$(grep -c '"signature":"good"\|"signature": *"good"' "$cache/ubuntu-25.10-amd64.json")" 1
said=$(get badsignature ubuntu refresh 2>&1 || true)
is 'a bad one is refused' "$(grep -c 'signature of .* is not good' <<<"$said")" 1
is 'what gpgv read is gone' "$(find "$cache" -name '.*sums*')" ''

# --- what is not
refuses 'truncated' 'transfer closed' truncated talos
refuses 'always closed after ten bytes' 'transfer closed' closing ubuntu
refuses 'chunks without an end' 'Cannot download' chunks talos
refuses 'shorter than it is' 'cut short' short talos
refuses 'one bit is another' 'damaged' flip talos
refuses 'a byte at a time' 'next to nothing' slow talos stall=2
refuses 'a stall in the middle' 'next to nothing' stall talos stall=2
refuses 'headers a byte at a time' 'does not answer' slowheaders ubuntu
refuses 'headers without end' 'Cannot download' headers talos
refuses 'a header that makes no sense' 'Cannot download' nonsense talos
refuses 'a body without end' 'more than' endless ubuntu max=67108864
refuses 'more is announced than is allowed' 'more than' announced talos
host=127.0.0.1 refuses 'a certificate for another name' 'Cannot ask' ok talos
port=$other refuses 'a certificate for another host' 'Cannot ask' ok talos
port=$self refuses 'a certificate that it has signed itself' 'Cannot ask' ok talos
port=$expired refuses 'a certificate of yesterday' 'Cannot ask' ok talos
port=$oldtls refuses 'TLS 1.1' 'Cannot ask' ok talos
port=$plain refuses 'no TLS at all' 'Cannot ask' ok talos
refuses 'a redirect to http' 'Cannot download' tohttp talos
refuses 'a redirect to a file' 'Cannot download' tofile talos
refuses 'a redirect to ftp' 'Cannot download' toftp talos
refuses 'a redirect to where secrets are' 'link-local' tometadata talos
refuses 'a redirect in a circle' 'Cannot download' loop talos
refuses 'an image that unpacks to more than is allowed' 'bigger than' bomb talos max=67108864
refuses 'an image that takes gigabytes to unpack' 'of memory' memory talos
refuses 'a second stream behind the image' 'damaged' twice talos
refuses 'garbage behind the image' 'damaged' garbage talos
refuses 'a stream that is cut short' 'cut short' cut talos
refuses 'not packed at all' 'not packed' notxz talos
refuses 'a page to log in' 'not packed' page talos
refuses 'a disk that is none' 'no disk' odd talos
refuses 'nothing' 'cut short' empty talos
refuses 'nothing for a qcow2' 'no qcow2' empty ubuntu
refuses 'qcow2 on a backing file' 'backing file' backing ubuntu
refuses 'qcow2 with a data file' 'data file' datafile ubuntu
refuses 'qcow2 with a name of a data file' 'data file' dataname debian
refuses 'qcow2 with features of tomorrow' 'not known' unknown ubuntu
refuses 'qcow2 of an exabyte' 'bigger' huge ubuntu
refuses 'qcow2 of 100 bytes' 'header' small ubuntu
refuses 'a sum that is another one' 'The sum of' othersum ubuntu
refuses 'no sum' 'knows no' nosum debian
refuses 'a sum of another kind' 'no sense' shortsum debian
refuses 'two sums' 'no sense' twosums ubuntu
refuses 'not there' 'No such file' missing talos
refuses 'out of order' '500' broken talos
refuses 'a part that nobody asked for' 'nobody asked for' part talos
refuses 'another build when taken up' 'does not go on' changed talos
refuses 'another place when taken up' 'another place' elsewhere talos
refuses 'an id that is a path' 'no sense' badid talos
refuses 'JSON without a bottom' 'no sense' deep talos
refuses 'JSON of megabytes' 'more than' bigjson talos
refuses 'no JSON' 'no sense' nojson talos
refuses 'no version of Talos' 'no sense' notalos talos
refuses 'an extension that is not there' 'no extension' less talos=v1.13.9 gpu

# --- two at once
machine
: >"$requests"
get gentle talos >"$work/one" 2>&1 &
one=$!
get gentle talos >"$work/two" 2>&1 || true
wait $one || true
is 'two at once get the same' "$(cat "$work/one")" "$(cat "$work/two")"
is 'by one download' "$(grep -c gentle/image "$requests")" 1

# --- a big one: 512 MiB with 96 MiB of data, in blocks as Talos's images have them; as much memory as one of 2 GiB takes,
# because no more than a few blocks are there at once
truncate -s 512M "$work/big"
for at in 3 100 230 350; do
        head -c 18M /dev/urandom | base64 -w0 | dd of="$work/big" bs=1M seek=$at conv=notrunc iflag=fullblock status=none
done
xz -T2 --block-size=24MiB --lzma2=preset=0,dict=8MiB "$work/big"
machine
status=0
python3 - "$work/peak" strace -f -qq -y -e trace=write,pwrite64 -o "$work/trace" -E ASAN_OPTIONS=detect_leaks=0:quarantine_size_mb=4 \
        taskset -c 0,1 "$imageget" "$root" "https://localhost:$good/file" talos=v1.13.9 <<'EOF' || status=$?
import resource, subprocess, sys
status = subprocess.run(sys.argv[2:], stdout=subprocess.DEVNULL).returncode
with open(sys.argv[1], "w") as f:
    f.write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024))
sys.exit(status)
EOF
is 'a big one comes' "$status $(stat -c %s "$cache"/talos-*.raw)" "0 $((512 * 1048576))"
check "in at most 192 MiB of memory ($(<"$work/peak"))" test "$(<"$work/peak")" -le 192
written=$(awk '/var\/cache\/gpuvm/ && $NF ~ /^[0-9]+$/ { n += $NF } END { print n + 0 }' "$work/trace")
check "its data are written once ($written)" test "$written" -ge $((96 * 1048576)) -a "$written" -le $((98 * 1048576))
rm "$work/big.xz" "$cache"/talos-*.raw

# --- killed
good_cache() {
        cmp -s "$work/server/raw" "$cache"/talos-v1.13.9-amd64-*.raw && [ "$(images | wc -l)" -eq 2 ] &&
                [ -z "$(find "$cache" -name '*.part' -o -name '.*.new*')" ]
}
for step in 0 2 3; do
        machine
        get gentle talos kill=$step >/dev/null 2>&1 || true
        is "killed in step $step: no image" "$(images)" ''
        get gentle talos >/dev/null || true
        check "killed in step $step: the next one is whole, and nothing else is left" good_cache
done
# Before each change of names and each entry that is written, until one comes through.
for ((n = 1; n < 30; n++)); do
        machine
        status=0
        FAKESYS_ROOT=$root FAKESYS_KILL_AT=$n LD_PRELOAD=$fakesys ASAN_OPTIONS=verify_asan_link_order=0 \
                get ok talos >/dev/null 2>&1 || status=$?
        [ $status -ne 0 ] || break
        get ok talos >/dev/null || true
        check "killed before change $n: the next one converges" good_cache
done
check 'more than three changes were cut' test $n -gt 4

# --- the disk is full
if [ "$(id -u)" -eq 0 ]; then
        machine
        mkdir -p "$cache"
        mount -t tmpfs -o size=16m tmpfs "$cache"
        at_exit umount "$cache"
        said=$(get ok talos 2>&1 || true)
        is 'no room: it says so before there is none' "$(grep -c 'no room' <<<"$said")" 1
        is 'no room: nothing is left' "$(rest)" ''
fi

# --- vmctl image
# run BEHAVIOUR ARGUMENT...: with that server and no terminal; sets status, out and err.
run() {
        mkdir -p "$root/etc"
        printf '[Image]\nTalosUrl=https://localhost:%s/%s\nUbuntuUrl=https://localhost:%s/%s\n[Storage]\nPoolPath=/pool\n' \
                "$good" "$1" "$good" "$1" >"$root/etc/gpuvm.conf"
        status=0
        out=$(GPUVM_ROOT=$root setsid -w "$vmctl" "${@:2}" 2>"$work/err" </dev/null) || status=$?
        err=$(<"$work/err")
}
# terminal INPUT BEHAVIOUR ARGUMENT...: on one; sets status and out.
terminal() {
        local input=$1

        run "$2" help
        status=0
        out=$(GPUVM_ROOT=$root script -qec "$(printf '%q ' "$vmctl" "${@:3}")" /dev/null <<<"$input") || status=$?
}
member() {
        python3 -c 'import json,sys; v=json.load(sys.stdin); print(eval("v" + sys.argv[1]))' "$1" <<<"$out"
}
machine
mkdir "$root/pool"
run ok image list
is 'no images: said' "$status $(grep -c 'There are no images yet' <<<"$err")" '0 1'
run ok image list --json
is 'no images: an empty array' "$(member '')" '[]'
run ok image pull ubuntu --json
is 'pull tells the image' "$status $(member '["name"]') $(member '["format"]') $(member '["size"]') $(member '["in_use"]')" \
        '0 ubuntu-25.10-amd64 qcow2 67108864 False'
is 'and that its release is over' "$(grep -c 'no support since 2026-07-09' <<<"$err")" 1
path=$(member '["path"]')
run gentle image pull talos --no-gpu
is 'elsewhere than on a terminal progress is whole lines' "$status $(grep -c $'\r' <<<"$err") $(grep -c "downloading 'talos-v1.13.9-amd64'" <<<"$err")" '0 0 1'
run ok image remove --yes talos-v1.13.9-amd64
terminal '' gentle image pull talos --no-gpu
like 'on a terminal it is a bar with rate and time' "$out" $'\r'"downloading 'talos-v1\.13\.9-amd64' \[#+-+\]: [0-9]+ %, [^,]*/s, [0-9]+ s left"
is 'whose line is gone at the end' "$(tail -n1 <<<"$out" | tr '\r' '\n' | grep -c '^.\[Ktalos-v1.13.9-amd64 /var')" 1
run ok image pull talos --no-gpu --quiet
is 'quiet says nothing' "$status:$out:$err" '0::'
run ok image list --quiet
is 'list names them' "$out" "$(printf 'talos-v1.13.9-amd64\nubuntu-25.10-amd64')"
run ok image verify
is 'verify finds them as they were' "$status $(wc -l <<<"$out")" '0 2'
chmod 644 "$cache"/talos-*.raw
printf X | dd of="$(echo "$cache"/talos-*.raw)" bs=1 seek=5000 conv=notrunc 2>/dev/null
run ok image verify
is 'or not, in one byte' "$status $(grep -c "'talos-v1.13.9-amd64' is not what was downloaded" <<<"$err")" '1 1'
run ok image verify --json
is 'as JSON too' "$status $(member '[0]["name"]') $(member '[0]["state"]') $(member '[1]["state"]')" '1 talos-v1.13.9-amd64 damaged good'
run newer image pull ubuntu --refresh
qemu-img create -q -f qcow2 -u -b "$path" -F qcow2 "$root/pool/vm.qcow2" 64M
run ok image gc --json
is 'gc leaves a build that a machine is made on' "$status $(member '["removed"]')" '0 []'
rm "$root/pool/vm.qcow2"
qemu-img create -q -f qcow2 -u -b "${cache#"$root"}/$(basename "$cache"/talos-*.raw)" -F raw "$root/pool/vm.qcow2" 64M
run ok image gc --dry-run
is 'gc --dry-run tells' "$status $(head -n1 <<<"$out")" "0 ${path##*/} would be removed"
check 'and removes nothing' test -e "$root$path"
run ok image gc --json
is 'gc removes one that nobody is made on any more' "$status $(member '["removed"]')" "0 ['${path##*/}']"
run ok image remove --yes talos-v1.13.9-amd64
is 'remove refuses what a machine is made on' "$status $(grep -c 'stays' <<<"$err")" '4 1'
mkdir "$root/elsewhere"
mv "$root/pool/vm.qcow2" "$root/elsewhere"
printf '<node><domain type="test"><name>old</name><memory>1024</memory><os><type>hvm</type></os><devices><disk type="file">%s</disk></devices></domain></node>' \
        '<source file="/elsewhere/vm.qcow2"/><target dev="vda"/>' >"$work/node.xml"
GPUVM_LIBVIRT_URI=test://$work/node.xml run ok image remove --yes talos-v1.13.9-amd64
is 'nor what a machine is made on whose disk is elsewhere' "$status $(grep -c 'stays' <<<"$err")" '4 1'
GPUVM_LIBVIRT_URI=test:///nonexistent run ok image gc --all
is 'nothing goes where libvirt does not answer' "$status $(grep -c 'nothing is removed' <<<"$err") $(images | grep -c talos)" '1 1 2'
mv "$root/elsewhere/vm.qcow2" "$root/pool"
run ok image remove talos-v1.13.9-amd64
is 'it asks, and where nobody can answer it removes nothing' "$status $(grep -c 'say --yes' <<<"$err") $(images | grep -c talos)" '1 1 2'
terminal n ok image remove ubuntu-25.10-amd64
like 'on a terminal no is no' "$status:$out:$(images | grep -c ubuntu-25.10-amd64.json)" 'Remove ubuntu-25\.10-amd64\? \[y/N\].*:1$'
run ok image remove --yes talos-v1.13.9-amd65
is 'a slip is seen' "$status $(grep -c "mean 'talos-v1.13.9-amd64'" <<<"$err")" '3 1'
run ok image gc --all
is 'gc --all removes the others alone' "$status $(images | grep -c ubuntu) $(images | grep -c talos)" '0 0 2'
run ok image remove --dry-run --json nothing talos-v1.13.9-amd64
removals() {
        python3 -c 'import json, sys; print([(v["name"], v["removed"], v["in_use"], v["status"]) for v in json.load(sys.stdin)])' <<<"$out"
}
is 'a dry run as JSON' "$status $(removals)" "3 [('nothing', False, False, 3), ('talos-v1.13.9-amd64', False, True, 0)]"
run ok image remove --yes --json talos-v1.13.9-amd64
is 'and that it stays' "$status $(removals)" "4 [('talos-v1.13.9-amd64', False, True, 4)]"
run missing image pull ubuntu=x
is 'a kind that is none' "$status $(grep -c "not of 'ubuntu=x'" <<<"$err")" '2 1'
run missing image pull talos new
is 'a version of Talos that is none' "$status $(grep -c "'new' is no version of Talos" <<<"$err")" '2 1'
run truncated image pull talos --no-gpu --refresh
is 'what is there is not refreshed by the same' "$status" 0
rm "$root/pool/vm.qcow2"
run ok image remove --yes --json nothing talos-v1.13.9-amd64
is 'one of two names is removed, the other told' "$status $(images | grep -c talos) $(removals)" \
        "3 0 [('nothing', False, False, 3), ('talos-v1.13.9-amd64', True, False, 0)]"
: >"$requests"
run ok image pull talos v1.13.9 --no-gpu --arch arm64 --json
is 'for another processor it is another one' "$status $(member '["name"]') $(member '["arch"]') $(grep -c 'v1.13.9/nocloud-arm64.raw.xz' "$requests")" '0 talos-v1.13.9-arm64 arm64 1'
id=$(printf other | sha256sum | cut -d' ' -f1)
run ok image pull talos v1.13.9 --schematic "$id" --json
is 'a schematic of their own' "$status $(member '["name"]') $(member '["schematic"]')" "0 talos-v1.13.9-amd64-${id:0:12} $id"
run ok image pull talos v1.13.9 --schematic 1234
is 'is 64 digits' "$status $(grep -c 'no schematic' <<<"$err")" '2 1'
run ok image pull ubuntu --schematic "$id"
is 'and of Talos' "$status" 2
run truncated image pull talos --no-gpu
is 'a failure is one line with cause and remedy' "$status $(wc -l <<<"$err" | xargs) $(grep -c 'Cannot download.*Try again later' <<<"$err")" '1 2 1'
if [ "$(id -u)" -eq 0 ]; then
        chmod 755 "$work" "$root"
        machine
        mkdir -p "$root/etc"
        chmod 755 "$root" "$root/etc"
        run ok image list
        chmod 644 "$root/etc/gpuvm.conf"
        said=$(GPUVM_ROOT=$root setpriv --reuid 65534 --regid 65534 --clear-groups "$vmctl" image pull debian 2>&1 </dev/null) && status=0 || status=$?
        is 'somebody else than root is told so' "$status $(grep -c 'Run this as root' <<<"$said")" '5 1'
fi
done_testing
