#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Shell that shellcheck has nothing to say about: check-shell.sh SOURCE

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

cd "$1"
command -v shellcheck >/dev/null || skip_all 'no shellcheck here'
while read -r file; do
        check "$file" shellcheck -x "$file"
done < <(grep -rlE --exclude-dir=.git --exclude-dir='build*' --exclude-dir=dist --exclude-dir=hosts \
        '^(#!/bin/(ba)?sh|# shellcheck shell=)' . | sort)
done_testing
