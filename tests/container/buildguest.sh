#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What a guest does that makes an image: buildguest.sh RELEASE
#
# Its script with the real systemd, journald, apt, gpg and cloud-init. There is no driver to be had: what brings it stands in.
#
# shellcheck disable=SC2317 # the functions are called inside the container
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

container_require
container_stage=$(mktemp -d) # nothing of ours is there
chmod 755 "$container_stage"
at_exit rm -rf "$container_stage"
# As llm.sh has it: one tree does for both.
machine_new "${1:-trixie}" ufw python3 python3-venv curl ca-certificates gpg gpg-agent cloud-init iptables pciutils zstd
cp "$source_dir/helpers/lib/buildguest.sh" "$shared/buildguest"
echo 'job=build' >"$shared/job"
touch "$machine/etc/cloud/cloud-init.disabled"
mkdir -p "$machine/srv/debs" "$machine/var/lib/dkms" "$machine/var/lib/shim-signed/mok"
for version in 580.95.05-1 580.105.08-1 590.44.01-1; do
        printf 'Package: nvidia-driver-cuda\nVersion: %s\nArchitecture: all\nMaintainer: Nobody <nobody@example.org>\nFilename: ./x.deb\nSize: 1\nSHA256: %064d\nDescription: stand-in\n\n' $version 0
done >"$machine/srv/debs/Packages"
rm -rf "$machine"/etc/apt/sources.list*
mkdir "$machine/etc/apt/sources.list.d"
echo 'deb [trusted=yes] file:/srv/debs ./' >"$machine/etc/apt/sources.list.d/stand-in.list"

# try ASSIGNMENTS COMMAND...: in a shell that has the script's functions, and some that are not its own.
try() {
        # shellcheck disable=SC2016 # that shell's
        GPUVM_JOB=/shared bash -c '. /shared/buildguest
                apt() { :; }
                fstrim() { :; }
                curl() { cp /run/key "${@: -2:1}"; }
                newest_kernel() { echo 6.12; }
                update-initramfs() { :; }
                nvidia-smi() { :; }
                driver_of() { echo 590.44.01; }
                eval "$1"
                "${@:2}"' try "$@"
}
candidate() { apt-cache policy nvidia-driver-cuda | awk '$1 == "Candidate:" { print $2 }'; }
build() {
        local word

        echo '-- pin'
        apt-get -qq update
        for word in 580.95.05 580 590; do
                try '' pin $word
                echo "$word: $(candidate)"
        done
        echo '-- driver'
        for word in 580.95.05 590.44.01 590 ''; do
                rm -f /etc/apt/preferences.d/gpuvm-nvidia
                try "driver=x driver_version='$word' repository=https://example.org/; add_repository() { :; }" install_driver | grep '^E:'
                echo "$word: ${PIPESTATUS[0]} $(grep -o 'version.*' /etc/apt/preferences.d/gpuvm-nvidia 2>/dev/null)"
        done
        echo '-- key'
        export GNUPGHOME=/run/gnupg
        mkdir -m 700 $GNUPGHOME
        for word in theirs other; do
                gpg --batch --quiet --passphrase '' --quick-generate-key $word ed25519 2>/dev/null
        done
        word=$(gpg --batch --with-colons --list-keys theirs | awk -F: '/^fp[r]:/ { print $10; exit }')
        for names in theirs 'theirs other' other; do
                # shellcheck disable=SC2086 # words
                gpg --batch --armor --export $names >/run/key
                try "repository=https://example.org/ key_file=k fingerprint=$word" add_repository >/dev/null && status=0 || status=$?
                echo "$names: $status"
        done
        echo '-- network'
        # shellcheck disable=SC2016 # that shell's
        try 'clean() { :; }; check_ground() { :; }; tell() { :; }; systemctl() { :; }; apt() { [ "$1" != install ] || cat /etc/NetworkManager/conf.d/gpuvm.conf; }' build | grep -v '^gpuvm:'
        echo '-- clean'
        touch /var/lib/dkms/mok.key /var/lib/dkms/mok.pub /var/lib/shim-signed/mok/MOK.priv /var/lib/shim-signed/mok/MOK.der /var/lib/systemd/random-seed
        # gpg makes it to look at a key.
        install -D /run/key /root/.gnupg/trustdb.gpg
        logger 'gpuvm-job begins'
        journalctl --sync
        grep -lr 'gpuvm-job begins' /var/log/journal | wc -l
        try '' clean
        logger 'gpuvm-job ends'
        journalctl --sync
}
machine_boot build
is 'it ended as it should' "$status" 0
is 'a version that is asked for is the one that apt takes, and a branch its newest' "$(part pin)" '580.95.05: 580.95.05-1
580: 580.105.08-1
590: 590.44.01-1'
is 'another driver than was asked for is none' "$(part driver)" 'E: https://example.org/ has the driver 590.44.01, and no 580.95.05
580.95.05: 1 
590.44.01: 0 
590: 0 
: 0 version 590.*'
is 'the key that is known is trusted, and none beside it' "$(part key)" 'theirs: 0
theirs other: 1
other: 1'
is 'NetworkManager knows before it comes that it is to ask for nothing' "$(part network)" '[main]
no-auto-default=*'
is 'the guest had something to hide' "$(part clean)" '1
gpuvm: cleaning'
is 'nothing tells who it was' "$(grep -lr gpuvm-job "$machine/etc" "$machine/var/log")$(find "$machine/var/log/journal" -mindepth 1)" ''
is 'its keys and its seed are gone' "$(find "$machine/var/lib/dkms" "$machine/var/lib/shim-signed" "$machine/var/lib/systemd/random-seed" \
        "$machine/root/.gnupg" -type f 2>/dev/null)" ''
is 'it has no name' "$(stat -c %s "$machine/etc/machine-id")" 0
done_testing
