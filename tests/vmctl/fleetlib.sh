# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2154 # vmctl, source and work are of the script that sources this
# Hosts with a libvirtd, their guests, and the administrator, who reaches them by ssh. Source it after ../lib.sh in the
# network, mount and pid namespaces that are the administrator's, with vmctl, source and work set.
#
# Each has a network and a mount namespace, an address, and a real sshd with a key of its own. The cables of the hosts end in
# a bridge, lan, at the administrator's; those of guests in a bridge of their host.
#
#     fleet_begin ADDRESS               # the bridge with the administrator's address, and his key
#     fleet_host NAME ADDRESS FUNCTION  # FUNCTION runs there, before anybody may enter
#     fleet_settle                      # waits for the hosts; from now on /root is the administrator's, with his key alone
#
# FUNCTION may call
#
#     fleet_guest NAME ADDRESS BRIDGE   # somebody who has ada's account
#
# Programs in the directory $work/NAME are before all others in the PATH of who logs in to NAME.

# Who is root here begins with an empty directory; what is tested is where it was.
fleet_home() {
        local dir

        for dir in "$source" "$(dirname "$vmctl")"; do
                [[ $dir/ == /root/* ]] || continue
                mkdir -p "/run/kept$dir"
                mount --bind "$dir" "/run/kept$dir"
        done
        mount -t tmpfs -o mode=700 tmpfs /root
        for dir in "$source" "$(dirname "$vmctl")"; do
                [[ $dir/ == /root/* ]] || continue
                mkdir -p "$dir"
                mount --bind "/run/kept$dir" "$dir"
        done
        mkdir -m 700 /root/.ssh
        [ ! -e "$work/$(hostname).key" ] || cp "$work/$(hostname).key" /root/.ssh/id_ed25519
        export HOME=/root
        cd /root || return
}

# cable NAME OUTSIDE: from here, where it is eth0, to the namespace OUTSIDE, where it is NAME.
cable() {
        ip link add eth0 type veth peer name "$1" netns "$2"
        ip link set lo up
        ip link set eth0 up
}

# account NAME LINE: in this namespace that line is what FILE of /etc knows of it.
account() {
        grep -v "^$2:" "/etc/$1" >"/run/$1"
        echo "$2:$3" >>"/run/$1"
        chmod 600 "/run/$1"
        mount --bind "/run/$1" "/etc/$1"
}

# listen NAME ADDRESS USER HOME: an sshd for the administrator's key.
listen() {
        mkdir -p /run/sshd /run/ssh
        [ ! -d "$work/$1" ] || cp -r "$work/$1" /run/bin
        ssh-keygen -q -t ed25519 -N '' -f /run/ssh/key
        cp "$work/admin.key.pub" "$4/.ssh/authorized_keys"
        # Without PAM nobody may enter whose password is locked, as root's often is.
        account shadow "$3" '*:20000::::::'
        printf '%s\n' "ListenAddress $2" 'HostKey /run/ssh/key' 'PidFile none' 'UsePAM no' 'PasswordAuthentication no' \
                'KbdInteractiveAuthentication no' "SetEnv PATH=/run/bin:/usr/sbin:/usr/bin:/sbin:/bin" \
                'Subsystem sftp internal-sftp' >/run/ssh/config
        "$(command -v sshd)" -f /run/ssh/config -E "$work/$1.sshd"
        echo "$1,$2 $(cut -d' ' -f1,2 /run/ssh/key.pub)" >"$work/$1.known"
}

host_up() {
        hostname "$1"
        fleet_home
        touch "$work/$1.net"
        mount --bind /proc/self/ns/net "$work/$1.net"
        cable "$1" "$work/lan"
        ip link add br0 type bridge
        ip link set br0 up
        ip link set eth0 master br0
        ip address add "$2/24" dev br0
        ip route add default via "$(<"$work/address")"
        "$3"
        listen "$1" "$2" root /root
        touch "$work/$1.up"
        sleep infinity
}

guest_up() {
        hostname "$1"
        cable "$1" "$work/$3.net"
        ip address add "$2/24" dev eth0
        mount -t tmpfs tmpfs /run
        mkdir -m 700 /run/ada /run/ada/.ssh
        # What with-libvirtd.sh has bound there is removed already, and nothing can be mounted on that.
        umount /etc/passwd
        account passwd ada 'x:60606:60606::/run/ada:/bin/bash'
        chmod 644 /run/passwd
        listen "$1" "$2" ada /run/ada
        chown -R 60606:60606 /run/ada
        touch "$work/$1.up"
        sleep infinity
}

# wait_up NAME PID: until it is there, or gone.
wait_up() {
        until [ -e "$work/$1.up" ]; do
                kill -0 "$2" 2>/dev/null || return
                sleep 0.1
        done
}

fleet_guest() {
        unshare --mount --net --uts --pid --fork --mount-proc --kill-child \
                bash -euc "guest_up $1 $2 $(hostname)" >"$work/$1.log" 2>&1 &
        wait_up "$1" $!
        ip link set "$1" master "$3" up
}

fleet_begin() {
        hostname admin
        mount -t tmpfs tmpfs /run
        ip link set lo up
        ip link add lan type bridge
        ip link set lan up
        ip address add "$1/24" dev lan
        echo "$1" >"$work/address"
        touch "$work/lan"
        mount --bind /proc/self/ns/net "$work/lan"
        at_exit umount "$work/lan"
        ssh-keygen -q -t ed25519 -N '' -f "$work/admin.key"
        cp /etc/hosts /run/hosts
        mount --bind /run/hosts /etc/hosts
}

fleet_host() {
        "$(dirname "${BASH_SOURCE[0]}")/../helper/with-libvirtd.sh" timeout 900 \
                bash -euc "host_up $1 $2 $3" >"$work/$1.log" 2>&1 </dev/null &
        fleet_hosts[$1]=$!
        echo "$2 $1" >>/etc/hosts
}

fleet_settle() {
        local host

        for host in "${!fleet_hosts[@]}"; do
                wait_up "$host" "${fleet_hosts[$host]}" || skip_all "no libvirtd here: $(tail -n 1 "$work/$host.log")"
                ip link set "$host" master lan up
        done
        fleet_home
}
declare -A fleet_hosts
export -f fleet_home fleet_guest cable account listen host_up guest_up wait_up
export vmctl source work
