#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Words that are not any: check-spelling.sh SOURCE

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

cd "$1"
command -v codespell >/dev/null || skip_all 'no codespell here'
# What git knows; in a tarball, everything but builds. Recorded machines, corpora and the licence are not ours to spell.
mapfile -t files < <({ git ls-files 2>/dev/null || find . -path './build*' -prune -o -path ./dist -prune -o -type f -print; } |
        sed 's|^\./||' | grep -vE '^(LICENSE$|tests/hosts/|tests/fuzz/corpus/|tests/generator/[0-9])')
# creat: the system call. buildd: Debian's name for a build machine.
check 'no misspelled word' codespell --ignore-words-list=creat,buildd "${files[@]}"
done_testing
