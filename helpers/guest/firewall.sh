# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
# Firewall: ssh, and what was asked for: FIREWALL, words as opening() takes them.

install_packages ufw
ufw default deny incoming
ufw default allow outgoing
ufw allow 22/tcp
for word in $FIREWALL; do
        # shellcheck disable=SC2046 # words
        ufw allow $(opening "$word")
done
ufw --force enable
