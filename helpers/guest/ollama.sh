# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
# Ollama: one release of it, OLLAMA_VERSION, in /usr/local, as an account of its own.

release=https://github.com/ollama/ollama/releases/download/v$OLLAMA_VERSION

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
        work=$(mktemp -d /var/tmp/gpuvm-ollama-XXXXXX)
        fetch "$release/$archive" "$work/$archive"
        echo "$(sum "$archive")  $work/$archive" | sha256sum --check --quiet ||
                fail "what was downloaded from $release is not what it should be; nothing was installed"
        # Libraries of another version are loaded as well.
        rm -rf /usr/local/lib/ollama
        tar --zstd -x -C /usr/local --no-same-owner -f "$work/$archive"
        rm -rf "$work"
}

install_packages curl ca-certificates zstd
make_user ollama /usr/share/ollama
install -d -o ollama -g ollama -m 755 /opt/ollama /opt/ollama/models
ollama --version 2>/dev/null | grep -qF "$OLLAMA_VERSION" || install_ollama
ollama --version 2>/dev/null | grep -qF "$OLLAMA_VERSION" ||
        fail "Ollama was installed and does not say that it is version $OLLAMA_VERSION; 'ollama --version' shows what it says"
