# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
# Ollama: one release of it, OLLAMA_VERSION, in /usr/local, as an account of its own.

release=https://github.com/ollama/ollama/releases/download/v$OLLAMA_VERSION
# Which version is there as a whole: it would tell its version half unpacked as well.
complete=/usr/local/lib/ollama/complete

# sum ARCHIVE: what was asked for, or else what is published with it.
sum() {
        if [ -n "${OLLAMA_SUM-}" ]; then
                echo "$OLLAMA_SUM"
        else
                fetch "$release/sha256sum.txt" "$work/sums"
                awk -v name="$1" '{ sub(/^[*.\/]*/, "", $2) } $2 == name { print $1 }' "$work/sums"
        fi
}

install_ollama() {
        archive=ollama-linux-$(dpkg --print-architecture).tar.zst
        rm -rf /var/tmp/gpuvm-ollama-*
        work=$(mktemp -d /var/tmp/gpuvm-ollama-XXXXXX)
        fetch "$release/$archive" "$work/$archive"
        wanted=$(sum "$archive")
        echo "$wanted  $work/$archive" | sha256sum --check --quiet ||
                fail "what was downloaded from $release is not what it should be; nothing was installed"
        # Libraries of another version are loaded as well. With them the mark goes.
        rm -rf "${complete%/*}"
        tar --zstd -x -C /usr/local --no-same-owner -f "$work/$archive"
        rm -rf "$work"
        mkdir -p "${complete%/*}"
        sync
        echo "$OLLAMA_VERSION" >"$complete"
}

install_packages curl ca-certificates zstd
make_user ollama /usr/share/ollama
install -d -o ollama -g ollama -m 755 /opt/ollama /opt/ollama/models
own ollama /opt/ollama/models
[ "$(cat "$complete" 2>/dev/null)" = "$OLLAMA_VERSION" ] || install_ollama
ollama --version 2>/dev/null | grep -qF "$OLLAMA_VERSION" ||
        fail "Ollama was installed and does not say that it is version $OLLAMA_VERSION; 'ollama --version' shows what it says"
