# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
# Lib: what the steps share.

export DEBIAN_FRONTEND=noninteractive

# fail SENTENCE: with the cause and the remedy.
fail() {
        echo "gpuvm: $*" >&2
        exit 1
}

# Others use apt at the first boot as well.
apt_get() {
        apt-get -qy -o DPkg::Lock::Timeout=900 -o Acquire::Retries=5 -o DPkg::Options::=--force-confold "$@"
}

# mend: what a shutdown or a power cut has left of dpkg's work is finished, once a boot. Unlike apt dpkg does not wait for others:
# then its status is 2.
mend() {
        [ ! -e /run/gpuvm-setup.mended ] || return 0
        for _ in $(seq 180); do
                dpkg --force-confold --configure -a && break
                [ $? -eq 2 ] || break
                sleep 5
        done
        apt_get --fix-broken install
        : >/run/gpuvm-setup.mended
}

# update: the lists, once a boot unless something has changed.
update() {
        mend
        [ -e /run/gpuvm-setup.updated ] || apt_get update
        : >/run/gpuvm-setup.updated
}

is_installed() {
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# install_packages NAME...: those that are not there.
install_packages() {
        missing=
        for package; do
                is_installed "$package" || missing="$missing $package"
        done
        [ -n "$missing" ] || return 0
        update
        # shellcheck disable=SC2086 # words
        apt_get install --no-install-recommends $missing
        for package in $missing; do
                is_installed "$package" || fail "apt did not install $package; 'apt-cache policy $package' tells why"
        done
}

# fetch URL FILE
fetch() {
        curl --fail --silent --show-error --location --proto =https --proto-redir =https --retry 5 --retry-delay 5 \
                --connect-timeout 30 --speed-limit 1024 --speed-time 60 --output "$2" "$1" ||
                fail "cannot download $1; does this machine reach the network?"
}

# opening WORD: what it opens, as ufw has it: 8000, 53/udp, 8000/tcp@192.0.2.0/24.
opening() {
        port=${1%%@*}
        number=${port%/*} protocol=tcp
        [ "$port" = "$number" ] || protocol=${port#*/}
        case $1 in
        *@*) echo "from ${1#*@} to any port $number proto $protocol" ;;
        *) echo "$number/$protocol" ;;
        esac
}

# own NAME DIRECTORY: what came from the store of models belongs to whoever has it on the host. Files stay there.
own() {
        [ -z "${MODEL_STORE-}" ] || find "$2" -type d ! -user "$1" -exec chown "$1:$1" {} +
}

# make_user NAME HOME: without a password and a shell.
make_user() {
        id "$1" >/dev/null 2>&1 || useradd --system --user-group --home-dir "$2" --shell /usr/sbin/nologin "$1"
        for group in video render; do
                ! getent group "$group" >/dev/null || usermod -aG "$group" "$1"
        done
        install -d -o "$1" -g "$1" -m 750 "$2"
}
