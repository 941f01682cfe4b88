#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Words that are not any: check-spelling.sh SOURCE

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

cd "$1"
command -v codespell >/dev/null || skip_all 'no codespell here'
# creat: the system call. buildd: Debian's name for a build machine. Recorded machines, corpora and the licence are not ours to spell.
check 'no misspelled word' codespell --ignore-words-list=creat,buildd \
        --skip='./.git,./build*,./dist,./LICENSE,./tests/hosts/*,./tests/fuzz/corpus/*,./tests/fuzz/*/*'
done_testing
