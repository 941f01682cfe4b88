#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What a reader may rely on in every file: check-style.sh SOURCE
#
# The licence in the first lines; a function that fits a screen and a half; nothing left for later; one version
# number.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

cd "$1"

mapfile -t sources < <(find generators helpers tests units udev docs etc tmpfiles.d debian -type d -name hosts -prune \
        -o -type f \( -name '*.[ch]' -o -name '*.sh' -o -name meson.build -o -name '*.in' -o -name '*.rules' \) -print \
        2>/dev/null | sort)

without=
for file in "${sources[@]}" meson.build; do
        head -n3 "$file" | grep -q 'SPDX-License-Identifier: LGPL-2.1-or-later' || without+="$file "
done
is 'each file names its licence' "$without" ''

mapfile -t code < <(printf '%s\n' "${sources[@]}" | grep -E '^(generators|helpers)/.*\.c$')

# A function is what stands between a line that ends in ") {" and the brace, both in the first column.
lengths=$(awk '
        FNR == 1 { start = 0 }
        /^[A-Za-z_].*\) \{$/ { start = FNR; name = $0 }
        /^ .*\) \{$/ && !start && multi { start = multi; }
        /^[A-Za-z_].*[,(]$/ { multi = FNR; name = $0 }
        /^}/ && start { print FNR - start + 1, FILENAME ":" start; start = 0; multi = 0 }
        ' "${code[@]}" | sort -n)
is 'no function is longer than 80 lines' "$(awk '$1 > 80' <<<"$lengths")" ''
median=$(awk '{ n[NR] = $1 } END { print n[int((NR + 1) / 2)] }' <<<"$lengths")
diag "$(wc -l <<<"$lengths") functions, median $median lines"
check 'the median function has at most 25 lines' test "$median" -le 25

later='TO''DO|FIX''ME|not ''implemented|for ''now\b'
is 'nothing is left for later' "$(grep -nE "$later" "${sources[@]}" || true)" ''

# lintian takes what is longer for a file that no one wrote.
is 'no line is longer than 400 characters' \
        "$(awk 'length > 400 { print FILENAME ":" FNR }' "${sources[@]}" meson.build ./*.sh ./*.md docs/*.* docs/man/*.scd)" ''

# Whatever changes what a program or a test does has to be found in one place.
variables=$({
        grep -rhoE 'getenv\("[A-Z_]+"' helpers generators
        grep -rhoE '\$\{?(GPUVM|LAB)_[A-Z_]+' --include='*.sh' tests ./*.sh
} | grep -oE '[A-Z_]{3,}' | sort -u)
unknown=
for variable in $variables; do
        grep -q "\`$variable\`" docs/environment.md || unknown+="$variable "
done
is 'each environment variable is in docs/environment.md' "$unknown" ''

version=$(<VERSION)
is 'debian/changelog has the version' "$(sed -n '1s/.*(\(.*\)).*/\1/p' debian/changelog)" "$version"
is 'NEWS.md has the version' "$(grep -m1 '^## ' NEWS.md)" "## $version"
done_testing
