#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# install.sh: what it refuses, that a cut download runs nothing, and the way of a package into a machine.
# check-install.sh SOURCE
#
# shellcheck disable=SC2016 # stubs and sandboxes expand what is quoted

# The machine is a sandbox: this one's files read-only, systemd by name as PID 1, and programs that only write down
# how they were called.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

[ "$(id -u)" = 0 ] || skip_all "needs root, for a mount namespace"
work=$(mktemp -d)
at_exit rm -rf "$work"
chmod 755 "$work"
cp "$1/install.sh" "$work/install.sh"
log=$work/log
mkdir "$work/stubs" "$work/root"
cp "$(readlink -f /bin/bash)" "$work/systemd"

# stub NAME COMMANDS: a program that writes its arguments down, then runs these.
stub() {
        printf '#!/bin/bash\necho "%s $*" >>%q\n%s\n' "$1" "$log" "$2" >"$work/stubs/$1"
        chmod 755 "$work/stubs/$1"
}

default_machine() {
        printf 'ID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\n' >"$work/os-release"
        stub apt-get 'exit 0'
        stub dpkg-query 'echo installed'
        stub dpkg 'echo amd64'
        stub dpkg-deb 'echo gpuvm'
        stub systemd-detect-virt 'exit 1'
        stub gpu-vm-bootstrap 'exit 0'
        stub curl 'while [ "$1" != -o ]; do shift; done; echo package >"$2"'
        as_root=yes init=systemd
}

# on_machine ARGUMENTS: runs install.sh with them. Sets status and said; what was called is in $log.
on_machine() {
        : >"$log"
        status=0
        said=$(unshare --mount --pid --fork --propagation private bash -euc '
                work=$1 init=$2 as_root=$3 root=$1/root
                shift 3
                mount -t tmpfs none "$root"
                for i in usr etc var; do
                        mkdir "$root/$i"
                        mount --rbind "/$i" "$root/$i"
                        mount -o remount,bind,ro "$root/$i"
                done
                for i in bin sbin lib lib64 lib32 libx32; do [ ! -L "/$i" ] || cp -a "/$i" "$root/$i"; done
                mkdir -p "$root"/{tmp,dev,proc,run} "$root$work"
                [ "$init" != systemd ] || mkdir -p "$root/run/systemd/system"
                mount --rbind /dev "$root/dev"
                mount --bind "$work" "$root$work"
                mount -t proc proc "$root/proc"
                mount --bind "$work/os-release" "$root$(readlink -f /etc/os-release)"
                chmod 1777 "$root/tmp"
                cp "$work/systemd" "$root/$init"
                export PATH="$work/stubs:$PATH"
                [ "$as_root" = yes ] || set -- --as-nobody "$@"
                exec setsid chroot "$root" "/$init" -c "
                        if [ \"\${1-}\" = --as-nobody ]; then
                                shift
                                setpriv --reuid=65534 --regid=65534 --clear-groups bash $work/install.sh \"\$@\"
                        else
                                bash $work/install.sh \"\$@\"
                        fi
                        exit \$?" machine "$@"' sandbox "$work" "$init" "$as_root" "$@" 2>&1 </dev/null) || status=$?
}

# What would change something was not called.
nothing_changed() {
        is "$1: nothing is changed" "$(grep -E '^(apt-get|curl|gpu-vm-bootstrap)' "$log" || true)" ''
}

refuses() {
        local name=$1 want=$2 pattern=$3

        shift 3
        on_machine "$@"
        is "$name: exit status" "$status" "$want"
        like "$name: says so" "$said" "$pattern"
        nothing_changed "$name"
        default_machine
}

default_machine
touch "$work/gpuvm.deb"
on_machine --help
is '--help' "$status:$(awk 'length > 80' <<<"$said")" 0:
nothing_changed '--help'
refuses 'an unknown option' 2 "unknown argument '--fast'" --fast
refuses '--release without --lab' 2 'go with --lab' --release bookworm
refuses '--deb without a file' 2 'needs an argument' --deb
refuses 'a package that is not there' 2 'cannot be read' --deb "$work/none.deb"
refuses 'no release and no checkout' 1 'belongs to no release' --yes
refuses '--lab without a checkout' 1 'from a checkout' --lab

as_root=no
refuses 'not root' 1 'needs root' --yes
printf 'ID=debian\nVERSION_ID="11"\n' >"$work/os-release"
refuses 'Debian 11' 1 'debian 11 is not supported' --yes
printf 'ID=debian\nPRETTY_NAME=sid\n' >"$work/os-release"
refuses 'a Debian without a number' 1 'is not supported' --yes
printf 'ID=fedora\nVERSION_ID=42\n' >"$work/os-release"
stub dnf 'exit 0'
refuses 'a distribution with dnf' 1 'fedora 42 has no apt' --yes
rm "$work/stubs/dnf"
stub dpkg 'echo riscv64'
refuses 'another architecture' 1 'riscv64 is not supported' --yes
stub systemd-detect-virt 'exit 0'
refuses 'a container' 1 'this is a container' --yes
init=init
refuses 'another init' 1 'systemd does not run this machine' --yes
stub dpkg-deb 'echo other'
refuses 'another package' 1 'is no gpuvm package' --yes --deb "$work/gpuvm.deb"

on_machine --deb "$work/gpuvm.deb"
is 'without a terminal and --yes: exit status' "$status" 1
like 'without a terminal and --yes: says so' "$said" 'pass --yes'
is 'and the bootstrap only showed its plan' "$(grep ^gpu-vm "$log")" 'gpu-vm-bootstrap --dry-run'

on_machine --yes --deb "$work/gpuvm.deb"
is 'the package is installed, the plan shown, the bootstrap run' \
        "$status $(grep -E '^(apt-get|gpu-vm)' "$log" | sed 's,/[^ ]*/,,; s/-q //; s/-o [^ ]* //g' | paste -sd,)" \
        "0 $(printf '%s,' 'apt-get install -y --no-install-recommends package.deb' 'gpu-vm-bootstrap --dry-run')gpu-vm-bootstrap --yes"
stub gpu-vm-bootstrap '[ "$1" != --yes ] || exit 75'
on_machine --yes --deb "$work/gpuvm.deb"
is 'the status of the bootstrap is that of the whole' "$status" 75
stub gpu-vm-bootstrap 'exit 1'
on_machine --yes --deb "$work/gpuvm.deb"
is 'a plan that cannot be: exit status' "$status" 1
is 'a plan that cannot be is not run' "$(grep ^gpu-vm "$log")" 'gpu-vm-bootstrap --dry-run'
default_machine
stub apt-get 'case "$*" in *install*) echo "E: broken" >&2; exit 100 ;; esac'
on_machine --yes --deb "$work/gpuvm.deb"
is 'an apt that fails: exit status' "$status" 1
like 'an apt that fails: its words are told' "$said" 'E: broken'
is 'an apt that fails: nothing is run' "$(grep ^gpu-vm "$log" || true)" ''
default_machine

# As release.sh fills it in.
sum=$(echo package | sha256sum | cut -d' ' -f1)
sed -i "s/^release_version=.*/release_version=9.9/; s/^release_sha256_amd64=.*/release_sha256_amd64=$sum/" "$work/install.sh"
on_machine --yes
is 'a released package is fetched and run' "$status:$(grep -c -E '^gpu-vm-bootstrap --yes|/v9.9/gpuvm_9.9_amd64.deb$' "$log")" 0:2
stub curl 'while [ "$1" != -o ]; do shift; done; echo other >"$2"'
on_machine --yes
is 'a package with another sum: exit status' "$status" 1
like 'a package with another sum: says so' "$said" 'SHA-256 sum differs'
is 'a package with another sum is not installed' "$(grep -E 'apt-get.*install|^gpu-vm' "$log" || true)" ''
stub curl 'exit 22'
on_machine --yes
is 'no network: exit status' "$status" 1
like 'no network: says so' "$said" 'cannot be fetched'
stub dpkg 'echo arm64'
refuses 'a release without a package for this architecture' 1 'belongs to no release for arm64' --yes

# A cut download: every program there is writes itself down, and none may be called.
mkdir "$work/trap"
for program in id cat mktemp rm apt-get dpkg dpkg-query sed awk grep curl dirname basename find tar cp chmod command; do
        printf '#!/bin/bash\necho %s >>%q\n' "$program" "$log" >"$work/trap/$program"
        chmod 755 "$work/trap/$program"
done
# run_cut BYTES: as `curl | bash -s -- --yes` would.
run_cut() {
        : >"$log"
        head -c "$1" "$work/install.sh" | env -i PATH="$work/trap" "$BASH" --norc -s -- --yes >/dev/null 2>&1 || true
        [ ! -s "$log" ]
}
size=$(stat -c %s "$work/install.sh")
ran=
for ((n = 200; n < size - 60; n += 200)); do run_cut "$n" || ran+="$n "; done
for ((n = size - 60; n < size - 1; n++)); do run_cut "$n" || ran+="$n "; done
is "cut at $((size / 200 + 60)) places it runs nothing" "$ran" ''
: >"$log"
env -i PATH="$work/trap" "$BASH" --norc -s -- --yes <"$work/install.sh" >/dev/null 2>&1 || true
check 'whole it does (so that the above can fail)' test -s "$log"
done_testing
