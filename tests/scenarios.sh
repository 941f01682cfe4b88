#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The nine scenarios of a machine for language models, each with its verdict: sudo tests/scenarios.sh BUILD [NUMBER...]
#
# BUILD: a build directory. Each scenario is proven by subtests named "scenario N: ..." of the tests below, which are real runs; one that
# ran none of them has failed.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
build=${1:?usage: tests/scenarios.sh BUILD [NUMBER...]}
shift
[ $# -gt 0 ] || set -- 1 2 3 4 5 6 7 8 9

titles=(''
        'a machine is made by one command, and sets itself up'
        'its GPU is seen and works'
        'the open driver of the distribution is installed'
        'vLLM serves'
        'Ollama serves'
        'a second time nothing changes'
        'a GPU that cannot be had leaves nothing behind'
        'a driver that fails leaves the machine, and is gone on with'
        'a file declares it')
proofs=(''
        'container-deploy-trixie container-llm-trixie'
        'container-llm-trixie vmctl-checkvm'
        'container-llm-trixie'
        'container-llm-trixie'
        'container-llm-trixie'
        'container-deploy-trixie'
        'container-deploy-trixie'
        'container-llm-trixie'
        'container-deploy-trixie')

tests=()
for number; do
        [[ $number =~ ^[1-9]$ ]] || { echo "scenarios.sh: '$number' is no number of a scenario: 1 to 9" >&2 && exit 2; }
        read -ra words <<<"${proofs[number]}"
        tests+=("${words[@]}")
done
mapfile -t tests < <(printf '%s\n' "${tests[@]}" | sort -u)
meson test -C "$build" --logbase scenarios "${tests[@]}" >&2 </dev/null || true

# proof TEST NUMBER: what it said of the scenario.
proof() {
        python3 -c 'import json, re, sys
for line in open(sys.argv[1]):
    test = json.loads(line)
    if test["name"].split(" / ")[-1] == sys.argv[2]:
        print(*re.findall(rf"^(?:not )?ok \d+ - scenario {sys.argv[3]}: .*(?:\n#.*)*", test.get("stdout") or "", re.M), sep="\n")' \
                "$build/meson-logs/scenarios.json" "$1" "$2"
}
for number; do
        bad='' said=''
        for name in ${proofs[number]}; do
                part=$(proof "$name" "$number")
                [[ $part == 'ok '* ]] || bad=1
                ! grep -qE '^not ok|# SKIP' <<<"$part" || bad=1
                said+="$name: ${part:-nothing}"$'\n'
        done
        if [ -n "$bad" ]; then
                not_ok "scenario $number: ${titles[number]}" "$said"
        else
                ok "scenario $number: ${titles[number]}"
        fi
done
done_testing
