#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The machine owns the layout: check-format.sh SOURCE

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

cd "$1"
command -v clang-format >/dev/null || skip_all 'no clang-format here'
while read -r file; do
        check "$file" clang-format --dry-run -Werror "$file"
done < <(find generators helpers tests -name '*.[ch]' | sort)
done_testing
