#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Shell that shellcheck has nothing to say about: check-shell.sh SOURCE

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

cd "$1"
command -v shellcheck >/dev/null || skip_all 'no shellcheck here'
# What git knows; in a tarball, everything but builds.
files() {
        git ls-files -z 2>/dev/null || find . -path './build*' -prune -o -path ./dist -prune -o -type f -print0
}
while read -r file; do
        check "$file" shellcheck -x "$file"
done < <(files | xargs -0 grep -lIE '^(#!/(usr/)?bin/(env )?(ba)?sh|# shellcheck shell=)' 2>/dev/null |
        grep -v '^\(./\)\?tests/\(hosts\|generator/[0-9]\|fuzz/corpus\)' | sort)
done_testing
