# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
# Firewall: ssh, and what was asked for: FIREWALL, words like 8000, 53/udp, 8000/tcp@192.0.2.0/24.

install_packages ufw
ufw default deny incoming
ufw default allow outgoing
ufw allow 22/tcp
for word in $FIREWALL; do
        port=${word%%@*}
        number=${port%/*}
        protocol=tcp
        [ "$port" = "$number" ] || protocol=${port#*/}
        case $word in
        *@*) ufw allow from "${word#*@}" to any port "$number" proto "$protocol" ;;
        *) ufw allow "$number/$protocol" ;;
        esac
done
ufw --force enable
