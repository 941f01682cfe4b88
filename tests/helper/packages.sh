#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# gpuvm-packages and the apt room below it, on made-up machines: packages.sh DIRECTORY-OF-HELPERS

# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
here=$(cd "$(dirname "$0")" && pwd)
helper=$1/gpuvm-packages
work=$(mktemp -d)
at_exit rm -rf "$work"
tools=(ca-certificates iproute2 kmod pciutils)
n=0

# A machine where these packages are installed.
machine() {
        local package

        root=$work/$((n += 1))
        mkdir -p "$root"/{etc,packages,usr/bin,var/lib/dpkg/updates,var/lib/apt/lists/partial}
        install "$here/apt-stub.sh" "$root/usr/bin/apt-get"
        install "$here/apt-stub.sh" "$root/usr/bin/dpkg"
        printf 'PRETTY_NAME="Debian"\nVERSION_CODENAME=bookworm\n' >"$root/etc/os-release"
        : >"$root/calls"
        : >"$root/var/lib/dpkg/status"
        for package; do
                printf 'Package: %s\nStatus: install ok installed\nVersion: 1.0\n\n' "$package"
        done >"$root/var/lib/dpkg/status"
        touch "$root/var/lib/apt/lists/deb_Packages"
        touch -d '3 days ago' "$root/var/lib/apt/lists" "$root/var/lib/apt/lists/partial"
}

configure() {
        printf '[Bootstrap]\nUpdateSystem=%s\n' "$1" >"$root/etc/gpuvm.conf"
}

run() {
        status=0
        said=$("$helper" --root="$root" "$@" 2>&1) || status=$?
}

ran() {
        grep -c -- "$1" "$root/calls" || true
}

state() {
        awk -v RS= -v name="$1" '$2 == name { sub(/.*Status: /, ""); sub(/\n.*/, ""); print }' "$root/var/lib/dpkg/status"
}


# Everything is there.
machine "${tools[@]}"
run
is 'nothing to do succeeds' "$status" 0
is 'nothing to do starts no program' "$(cat "$root/calls")" ''
like 'nothing to do says so' "$said" 'Nothing to do'
check 'nothing to do leaves no ledger' test ! -e "$root/var/lib/gpuvm/ledger"

# A dry run.
machine kmod
run --dry-run
is 'a dry run succeeds' "$status" 0
is 'a dry run lists what is missing' "$(grep -c 'would install' <<<"$said")" 3
is 'a dry run starts no program' "$(cat "$root/calls")" ''
check 'a dry run writes nothing' test ! -e "$root/var/lib/gpuvm"

# A fresh machine.
machine kmod
echo libpci3 >"$root/packages/pciutils.deps"
run
is 'missing tools are installed' "$status" 0
is 'a dependency comes along' "$(state libpci3)" 'install ok installed'
is 'the ledger has each new package' "$(find "$root/var/lib/gpuvm/ledger" -type f | wc -l)" 4
check 'the ledger has the dependency' grep -qa libpci3 -r "$root/var/lib/gpuvm/ledger"
check_fails 'the ledger has not what was there' 1 grep -qa kmod -r "$root/var/lib/gpuvm/ledger"
is 'old lists are refreshed once' "$(ran ' update')" 1
like 'nobody is asked anything' "$(cat "$root/environment")" 'noninteractive NEEDRESTART_SUSPEND=1'
check 'apt waits for locks, for minutes' grep -q 'DPkg::Lock::Timeout=600' "$root/calls"
check 'changed configuration files are kept' grep -q 'force-confold' "$root/calls"
check 'nothing may be removed' grep -q -- '--no-remove install -- ' "$root/calls"
: >"$root/calls"
run
is 'the second run starts no program' "$status $(cat "$root/calls")" '0 '

# Fresh lists.
machine kmod
touch "$root/var/lib/apt/lists/partial"
run
is 'fresh lists are not fetched again' "$(ran ' update')" 0
machine kmod
touch "$root/var/lib/apt/lists/partial"
rm "$root/var/lib/apt/lists/deb_Packages"
run
is 'but fetched where there are none' "$(ran ' update')" 1
machine kmod
touch "$root/var/lib/apt/lists/partial"
printf '1\nE: Unable to locate package pciutils\n' >"$root/trouble.simulate"
run
is 'or where they lack a package' "$status $(ran ' update')" '0 1'

# Offline, and the lists know what is missing.
machine kmod
printf '99\nW: Failed to fetch http://deb.example/ Temporary failure resolving\n' >"$root/trouble.update"
run
is 'old lists will do' "$status" 0
is 'the network gets four tries' "$(ran ' update')" 4
like 'and that is said' "$said" 'could not be refreshed'

# Offline, and the packages cannot be had.
machine kmod
printf '99\nE: Failed to fetch http://deb.example/a.deb  Could not connect to deb.example:80\n' >"$root/trouble.install"
run
is 'offline fails' "$status" 1
like 'offline names what is missing' "$said" 'Failed to install ca-certificates, iproute2, pciutils'
like 'offline has a remedy' "$said" 'Check network'
like 'offline names the way back' "$said" "gpuvm-undo packages"

# Trouble that passes.
machine kmod
printf '2\nE: Could not get lock /var/lib/apt/lists/lock. It is held by process 1 (apt-get)\n' >"$root/trouble.update"
printf '1\nE: Failed to fetch http://deb.example/a.deb  404  Not Found\n' >"$root/trouble.install"
run
is 'trouble that passes is waited for' "$status" 0
is 'a held list lock is tried again, stale lists are fetched again' "$(ran ' update')" 4

# Trouble that does not.
for row in 'Unable to locate package pciutils|sources.list' 'No space left on device|Free disk space' \
        'GPG error: NO_PUBKEY 0E98404D386FA1D9|keyring' 'Missing key: OpenPGP signature verification failed|keyring' \
        '407  Proxy Authentication Required|http_proxy' 'Malformed stanza 1 in source list|below /etc/apt' 'you have held broken packages.|showhold'; do
        machine kmod
        printf '99\nE: %s\n' "${row%|*}" >"$root/trouble.simulate"
        run
        is "'${row%|*}' fails" "$status" 1
        like "'${row%|*}' has its remedy" "$said" "${row#*|}"
        is "'${row%|*}' installs nothing" "$(state pciutils)" ''
done

# A package on hold.
machine kmod
printf 'Package: stays\nStatus: hold ok installed\nVersion: 1.0\n\n' >>"$root/var/lib/dpkg/status"
printf '99\nE: Unable to correct problems, you have held broken packages.\n' >"$root/trouble.simulate"
run
check_fails 'a sentence ends once' 1 grep -qF 'packages..' <<<"$said"
like 'what is on hold is named' "$said" 'On hold, so that apt may not change them: stays'

# apt succeeds, dpkg knows nothing of it; and the other way round.
machine kmod
printf '#!/bin/bash\nexit 0\n' >"$root/usr/bin/apt-get"
run
is 'a lying apt is found out' "$status" 1
machine kmod
# shellcheck disable=SC2016
sed -i 's/^        trouble install/        late=1/; $ a [ -z "${late-}" ] || { echo "E: Sub-process /usr/bin/dpkg returned an error code (1)" >\&2; exit 100; }' \
        "$root/usr/bin/apt-get"
run
is 'a complaining apt with all installed is good enough' "$status" 0
like 'and that is said too' "$said" 'apt-get complained'

# dpkg was cut.
machine "${tools[@]}"
printf 'Package: half\nStatus: install ok half-configured\n\n' >>"$root/var/lib/dpkg/status"
touch "$root/var/lib/dpkg/updates/0001"
run --dry-run
like 'a dry run tells of the cut' "$said" 'would repair dpkg'
run
is 'what a cut left is completed' "$status $(state half)" '0 install ok installed'
is 'without apt' "$(ran '^apt-get')" 0
: >"$root/calls"
run
is 'once' "$(cat "$root/calls")" ''
machine "${tools[@]}"
printf 'Package: half\nStatus: install ok unpacked\n\n' >>"$root/var/lib/dpkg/status"
run
is 'what lacks its dependencies goes to apt' "$status $(ran 'fix-broken install')" '0 1'
machine "${tools[@]}"
printf 'Package: half\nStatus: install ok half-installed\n\n' >>"$root/var/lib/dpkg/status"
run
is 'what cannot be repaired fails' "$status" 1
like 'and names the package' "$said" 'not completely installed: half'

# Another package manager is at work.
machine "${tools[@]}"
printf 'Package: half\nStatus: install ok half-configured\n\n' >>"$root/var/lib/dpkg/status"
python3 - "$root/var/lib/dpkg/lock-frontend" <<'P' &
import fcntl, sys, time
f = open(sys.argv[1], 'w')
fcntl.lockf(f, fcntl.LOCK_EX)
open(sys.argv[1] + '.held', 'w')
time.sleep(600)
P
holder=$!
at_exit bash -c "kill $holder 2>/dev/null || true"
for _ in $(seq 600); do
        [ -e "$root/var/lib/dpkg/lock-frontend.held" ] && break
        sleep 0.05
done
run
is 'who holds the lock is not interrupted' "$status $(cat "$root/calls")" '1 '
like 'and is named, when it has been waited for long enough' "$said" "PID $holder\\) has held dpkg's lock for 15 minutes"
# apt waits by itself where nothing has to be repaired.
lock=$root/var/lib/dpkg/lock-frontend
machine kmod
ln "$lock" "$root/var/lib/dpkg/lock-frontend"
mkdir -p "$root/proc/$holder"
echo unattended-upgr >"$root/proc/$holder/comm"
echo 7 >"$root/delay"
run --verbose
like 'who keeps apt waiting is named' "$status $said" "^0.*Waiting for 'unattended-upgr' \\(PID $holder\\) to finish with dpkg"
kill "$holder"
wait "$holder" 2>/dev/null || true

# Updates.
machine "${tools[@]}" bash openssl libc6
cat >"$root/upgrades" <<'U'
Inst bash [1.0] (1.1 Debian:12.15/oldstable [amd64])
Inst openssl [1.0] (1.2 Debian:12.15/oldstable, Debian-Security:12/oldstable-security [amd64])
Inst linux-image-6.1.0-40-amd64 (6.1 Debian-Security:12/oldstable-security [amd64])
U
run
is 'no update unless it was asked for' "$status $(cat "$root/calls")" '0 '
configure security
run --dry-run
like 'a dry run tells of the update' "$said" 'would upgrade packages: what the security archive'
run
is 'a security update' "$status" 0
check 'prefers the security suite' grep -q -- '-t bookworm-security upgrade' "$root/calls"
check 'upgrades what the security archive has' grep -q -- '--only-upgrade install -- openssl=1.2$' "$root/calls"
is 'remembers it' "$(cat "$root/var/lib/gpuvm/system-update")" security
: >"$root/calls"
run
is 'is done once' "$status $(cat "$root/calls")" '0 '
configure yes
run
is 'a full update is more' "$status" 0
is 'and upgrades the rest' "$(awk -v RS= '/Package: bash/ { print $NF }' "$root/var/lib/dpkg/status")" 1.1
configure security
: >"$root/calls"
run
is 'and holds for less' "$(cat "$root/calls")" ''
run --update
check 'until it is asked for again' grep -q update "$root/calls"
machine "${tools[@]}" bash
configure yes
printf '99\nE: Failed to fetch http://deb.example/ Could not connect\n' >"$root/trouble.update"
run
is 'an update without a network fails' "$status" 1
check 'and is not remembered' test ! -e "$root/var/lib/gpuvm/system-update"

# Undo.
machine kmod
echo libpci3 >"$root/packages/pciutils.deps"
run
status=0
said=$("$1/gpuvm-undo" --root="$root" packages 2>&1) || status=$?
is 'undo removes what came' "$status" 0
is 'and only that' "$(sed -n 's/^Package: //p' "$root/var/lib/dpkg/status")" kmod
machine kmod
run
echo tool-of-somebody >"$root/packages/pciutils.rdeps"
status=0
said=$("$1/gpuvm-undo" --root="$root" packages 2>&1) || status=$?
is 'undo removes nothing that is needed since' "$status $(state pciutils)" '1 install ok installed'
like 'and names who needs it' "$said" 'tool-of-somebody'

# Bad input.
machine
rm "$root/var/lib/dpkg/status"
run
is 'a system without dpkg fails' "$status" 1
like 'and says what is needed' "$said" 'Debian or Ubuntu'
machine "${tools[@]}"
run surplus
is 'an argument is bad usage' "$status" 2
done_testing
