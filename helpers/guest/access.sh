# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
# Access: who gets at this machine and its engines, as lines of check.

# for_some: of what is open to some alone, not to whom: ufw writes addresses in its own way.
for_some() {
        sed 's/^from [^ ]* to any/from some to any/'
}
of_firewall() {
        wanted=$({
                echo 22/tcp
                for word in ${FIREWALL-}; do opening "$word"; done
        } | for_some)
        there=$(timeout 20 ufw show added 2>/dev/null | sed -n 's/^ufw \(allow\|limit\) //p' | for_some)
        missing=$(echo "$wanted" | grep -vxF "$there" | paste -sd,)
        more=$(echo "$there" | grep -vxF "$wanted" | paste -sd,)
        if ! timeout 20 ufw status verbose 2>/dev/null | grep -qE '^Default: (deny|reject) \(incoming\)'; then
                echo "firewall fail it is off, or lets in whatever nobody forbids"
        elif [ -n "$missing" ]; then
                echo "firewall fail it does not let in what was asked for: $missing"
        elif [ -n "$more" ]; then
                echo "firewall warn it lets in more than was asked for: $more"
        else
                echo "firewall ok it lets in ssh and what was asked for, and nothing else"
        fi
}
of_ssh() {
        if ! command -v sshd >/dev/null; then
                echo "ssh-keys skip there is no sshd"
        elif ! settings=$(timeout 20 sshd -T 2>/dev/null); then
                echo "ssh-keys warn sshd does not tell its settings"
        elif open=$(echo "$settings" | grep -E '^(password|kbdinteractive)authentication yes$'); then
                echo "ssh-keys fail it lets in without a key: $(echo "$open" | paste -sd,)"
        else
                echo "ssh-keys ok it lets in by key alone"
        fi
}
# of_secrets: they came with the user-data, of which cloud-init keeps copies.
of_secrets() {
        loose=$(find /etc/credstore /var/lib/cloud/instance/ -maxdepth 1 -type f \( -name 'gpuvm.*' -o -name 'user-data.txt*' -o \
                -name cloud-config.txt -o -name obj.pkl \) \( ! -user root -o -perm /077 \) 2>/dev/null | paste -sd' ')
        if [ -n "$loose" ]; then
                echo "secrets fail others may read $loose"
        elif [ "$VLLM_OPEN" = yes ] && [ -e /var/lib/gpuvm-setup/done/vllm ] && [ ! -s /etc/credstore/gpuvm.api-key ]; then
                echo "secrets fail others reach vLLM, which has no key"
        else
                echo "secrets ok root alone reads them"
        fi
}
# of_user NAME: of an engine.
of_user() {
        user=$(systemctl show --value -p User "$1.service")
        if [ "$(id -u "${user:-root}" 2>/dev/null || echo 0)" -gt 0 ]; then
                echo "$1-user ok it runs as $user"
        else
                echo "$1-user fail it runs as ${user:-root}"
        fi
}
# at LISTEN PORT: sets where the engine itself is.
at() {
        host=$1 port=$2
        if [ "$ENGINE" = on-demand ]; then
                host=127.0.0.1 port=$((port < 50000 ? port + 10000 : port - 10000))
        fi
        case $host in
        0.0.0.0 | ::) host=127.0.0.1 ;;
        *:*) host="[$host]" ;;
        esac
}
# elsewhere ADDRESS PORT: where somebody listens at it beside that address.
elsewhere() {
        case $1 in
        0.0.0.0 | ::) return ;;
        *:*) ss -Hltn "sport = :$2 and not src [$1]:$2" ;;
        *) ss -Hltn "sport = :$2 and not src $1:$2" ;;
        esac
}
# has ADDRESS: systemd listens also at one that this machine does not have, as nobody then notices.
has() {
        case $1 in
        0.0.0.0 | ::) true ;;
        *) ip -o addr show to "$1" 2>/dev/null | grep -q . ;;
        esac
}
# of_listen NAME ADDRESS PORT: on demand the engine has a port of its own, behind the one that is asked.
of_listen() {
        more=$(
                elsewhere "$2" "$3"
                [ "$ENGINE" != on-demand ] || at "$2" "$3"
                [ "$ENGINE" != on-demand ] || elsewhere "$host" "$port"
        )
        if [ -n "$more" ]; then
                echo "$1-listen fail it listens at $(echo "$more" | awk '{ print $4 }' | paste -sd' ') as well, which nobody asked for"
        elif ! has "$2"; then
                echo "$1-listen fail nobody reaches it: this machine has no address $2"
        elif [ -n "$(ss -Hltn "sport = :$3")" ]; then
                echo "$1-listen ok it listens at $2, port $3, alone"
        else
                echo "$1-listen $([ "$ENGINE" = on-demand ] && echo fail || echo skip) nobody listens at port $3"
        fi
}
