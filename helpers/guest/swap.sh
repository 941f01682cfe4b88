# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
# Swap: a file of SWAP, for models that are read before they go to the GPU.

file=/swapfile
if [ ! -e "$file" ]; then
        (umask 077 && fallocate -l "$SWAP" "$file.new") || fail "no room for $SWAP of swap; 'df -h /' shows what there is"
        mkswap "$file.new" >/dev/null
        mv "$file.new" "$file"
fi
grep -q "^$file " /etc/fstab || echo "$file none swap sw 0 0" >>/etc/fstab
swapon --show=NAME --noheadings | grep -qx "$file" || swapon "$file"
