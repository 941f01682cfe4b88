# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2154,SC2016 # machine and shared are lib.sh's; dpkg-query has ${} of its own
# Nvidialib: a machine with a made-up card, and archives of stand-ins for the packages of its driver. Source it after lib.sh.
#
# apt there trusts what sign() signs, and finds what is on the network below /srv/https.
#
#     nvidia_machine RELEASE          as machine_new
#     card 0x2684 CudaToolkit=no
#     script bin/nvidia-smi <<<'#!/bin/sh'
#     package "$dir" nvidia-utils-580 580.95.05-1 'Depends: libnvidia-compute-580'
#     phase first; packages; taken_back               are for steps

nvidia_machine() {
        container_require
        command -v dpkg-scanpackages >/dev/null || skip_all 'needs dpkg-dev'
        command -v gpg >/dev/null || skip_all 'needs gpg'
        machine_new "$1"
        work=$(mktemp -d)
        at_exit rm -rf "$work"
        export GNUPGHOME=$work/gnupg
        mkdir -m 700 "$GNUPGHOME"
        at_exit gpgconf --kill gpg-agent
        gpg --batch --quiet --passphrase '' --quick-generate-key nobody@example.org rsa3072 sign never 2>/dev/null
        gpg --armor --export >"$machine/etc/apt/keyrings/test.asc"
        mkdir -p "$machine/etc/gpuvm.conf.d"
        echo 'mount --bind /shared/pci /sys/bus/pci' >"$shared/before-init"
        https_method
}

# What speaks https to apt, over files (apt's doc/method.md).
https_method() {
        cat >"$machine/usr/lib/apt/methods/https" <<'S'
#!/bin/bash
printf '100 Capabilities\nVersion: 1.0\nSingle-Instance: true\n\n'
uri=
while read -r line; do
        case $line in
        'URI: '*) uri=${line#URI: } ;;
        'Filename: '*) to=${line#Filename: } ;;
        '')
                [ -n "$uri" ] || continue
                from=/srv/https/${uri#https://}
                if [ -f "$from" ]; then
                        cat "$from" >"$to"
                        printf '200 URI Start\nURI: %s\n\n201 URI Done\nURI: %s\nFilename: %s\nSize: %s\nSHA256-Hash: %s\n\n' \
                                "$uri" "$uri" "$to" "$(stat -c %s "$to")" "$(sha256sum <"$to" | cut -d' ' -f1)"
                else
                        printf '400 URI Failure\nURI: %s\nMessage: 404  Not Found\nFailReason: HttpError404\n\n' "$uri"
                fi
                uri=
                ;;
        esac
done
S
        chmod 755 "$machine/usr/lib/apt/methods/https"
}

# package DIR NAME VERSION [FIELD...]; its files and scripts are those that were given since the last one.
package() {
        local tree=$work/tree

        rm -rf "$tree"
        mkdir -p "$tree/DEBIAN" "$1"
        [ ! -d "$work/files" ] || mv "$work/files"/* "$tree"
        rm -rf "$work/files"
        {
                printf 'Package: %s\nVersion: %s\nArchitecture: amd64\nMaintainer: Nobody <nobody@example.org>\n' "$2" "$3"
                printf 'Description: stand-in\n'
                [ $# -le 3 ] || printf '%s\n' "${@:4}"
        } >"$tree/DEBIAN/control"
        [ ! -d "$work/scripts" ] || mv "$work/scripts"/* "$tree/DEBIAN"
        rm -rf "$work/scripts"
        dpkg-deb --root-owner-group -Znone -b "$tree" "$1/$2_$3_amd64.deb" >/dev/null
}

# sign DIR SUITE [COMPONENT...]: the Release file over what Packages files are there.
sign() {
        (
                cd "$1" || exit
                printf 'Origin: Test\nSuite: %s\nCodename: %s\nArchitectures: amd64\nComponents: %s\nDate: %s\nSHA256:\n' \
                        "$2" "$2" "${*:3}" "$(date -Ru)"
                find . -name Packages -printf '%P\n' | while read -r file; do
                        printf ' %s %s %s\n' "$(sha256sum <"$file" | cut -d' ' -f1)" "$(stat -c %s "$file")" "$file"
                done
        ) >"$work/Release"
        gpg --batch --quiet --clearsign -o "$1/InRelease" "$work/Release" 2>/dev/null
}

# script PATH: a program below /usr of the next package.
script() {
        mkdir -p "$work/files/usr/${1%/*}"
        cat >"$work/files/usr/$1"
        chmod 755 "$work/files/usr/$1"
}
# maintainer NAME: a script of dpkg's of the next package.
maintainer() {
        mkdir -p "$work/scripts"
        cat >"$work/scripts/$1"
        chmod 755 "$work/scripts/$1"
}

# card DEVICE LINE...: with these lines in [Gpu]
card() {
        local device

        mkdir -p "$shared/pci/devices/0000:01:00.0"
        echo 0x10de >"$shared/pci/devices/0000:01:00.0/vendor"
        echo 0x030000 >"$shared/pci/devices/0000:01:00.0/class"
        echo "$1" >"$shared/pci/devices/0000:01:00.0/device"
        device=${1#0x}
        echo "pci:v000010DEd0000${device^^}sv00001043sd00008888bc03sc00i00" >"$shared/pci/devices/0000:01:00.0/modalias"
        { printf '[Bootstrap]\nVfio=no\nKvm=no\nBridge=no\n[Gpu]\n'; printf '%s\n' "${@:2}"; } \
                >"$machine/etc/gpuvm.conf.d/50-test.conf"
}

# What is there that was not in the tree.
packages() {
        dpkg-query -W -f '${db:Status-Abbrev} ${Package} ${Version}\n' | sed -n 's/^ii *//p' |
                grep -E '^(.*nvidia.*|.*cuda.*|dkms|linux-headers.*|firmware-.*|ubuntu-drivers.*) ' | sort
}
phase() {
        systemctl start gpuvm-nvidia.service || journalctl --no-pager -n 25 -o cat -u "gpuvm-*" >&2
        echo "$1 $(systemctl show --value -p Result gpuvm-nvidia.service)" \
                "$(sed -n 's/.*"action".*/change/p' /run/gpuvm/phases/nvidia.json | wc -l)"
}
taken_back() {
        gpuvm-undo nvidia >/shared/undo 2>&1 || tail /shared/undo
        echo "left: $(packages | xargs) $(find /etc/apt /etc/modprobe.d -name '*gpuvm*' -printf '%p ')"
}
