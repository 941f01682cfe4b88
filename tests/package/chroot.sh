# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2154 # top and release are the caller's
# Clean build chroots, made once by mmdebstrap and cached: sourced by build.sh and check-package.sh.
#
# $GPUVM_LAB_CACHE: where they are kept (default /var/cache/gpuvm-lab). $GPUVM_MIRROR, $GPUVM_UBUNTU_MIRROR: others.

cache=${GPUVM_LAB_CACHE:-/var/cache/gpuvm-lab}

say() { printf '%s\n' "$*" >&2; }
die() { say "${0##*/}: $*"; exit 1; }

# What the machine's own apt needs to reach its mirror (proxies, retries, dates that a frozen mirror has passed).
apt_options() {
        apt-config dump --format '%F "%v";%n' |
                grep -E '^Acquire::((http|https)::|Retries|Check-|ForceIPv)' | grep -v '""' || true
}

# build_depends ARCH: the packages that debian/control asks for, from the machine's point of view. The compiler and
# what runs at build time come from the build machine's architecture; libraries from the target's.
build_depends() {
        local arch=$1 package

        sed -n '/^Build-Depends:/,/^[A-Z]/p' "$top/debian/control" | sed '1s/^[^:]*://; /^[A-Z]/d' | tr ',' '\n' |
                sed 's/[(<].*//; s/^ *//; s/ *$//' | grep -v '^$' | while read -r package; do
                case $package in
                debhelper-compat) echo debhelper ;;
                # systemd.pc moved to systemd-dev after Debian 12.
                systemd-dev*) if [ "$release" = bookworm ]; then echo systemd; else echo systemd-dev; fi ;;
                lib*-dev | pkgconf) echo "$package$([ "$arch" = amd64 ] || echo ":$arch")" ;;
                *) echo "$package" ;;
                esac
        done
        echo lintian
        [ "$arch" = amd64 ] || echo "crossbuild-essential-$arch"
}

# make_chroot NAME VARIANT ARCHITECTURES PACKAGES: sets $chroot. Half of one is never used: it is renamed when whole.
make_chroot() {
        local name=$1 variant=$2 architectures=$3 packages=$4 key options mirror=${GPUVM_MIRROR:-}
        local distribution=()

        key=$(printf '%s\n' "$@" "$mirror" | sha256sum | cut -c1-12)
        chroot=$cache/$name-$key
        mkdir -p "$cache"
        exec {lock}>"$cache/$name.lock"
        flock "$lock"
        if [ ! -e "$chroot" ]; then
                say "Making the chroot $chroot (once)"
                if [ "$release" = noble ]; then
                        # Only where somebody says which: no other archive than the machine's own is asked unbidden.
                        mirror=${GPUVM_UBUNTU_MIRROR:?give an Ubuntu mirror to make a noble chroot}
                        distribution=(--keyring=/usr/share/keyrings/ubuntu-archive-keyring.gpg
                                '--components=main,universe')
                fi
                options=$(mktemp)
                apt_options >"$options"
                rm -rf "$chroot.new" "$cache/$name"-????????????
                mmdebstrap --quiet --variant="$variant" --architectures="$architectures" --include="$packages" \
                        --aptopt="$options" --aptopt='APT::Install-Recommends "false"' \
                        "${distribution[@]}" "$release" "$chroot.new" ${mirror:+"$mirror"} >&2 ||
                        die "mmdebstrap could not make a $release chroot. Is the mirror reachable?"
                mv "$chroot.new" "$chroot"
                rm -f "$options"
        fi
        exec {lock}>&-
}

# in_chroot DIR COMMAND...: with /proc where the machine lets us mount; without network where it lets us unshare it.
in_chroot() {
        local root=$1

        shift
        # shellcheck disable=SC2016
        unshare --mount --pid --fork --net sh -c '
                mount -t proc proc "$0/proc" 2>/dev/null
                mount --rbind /dev "$0/dev" 2>/dev/null
                exec chroot "$0" "$@"' "$root" "$@"
}
