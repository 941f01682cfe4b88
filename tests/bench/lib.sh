# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2154 # work and rows are bench.sh's
# How figures are taken; sourced by bench.sh. Each is a median, and its peer is measured in the same run.

# median: of the numbers on standard input, one a line.
median() {
        sort -g | awk '{ n[NR] = $1 } END { if (NR) printf "%.3f\n", NR % 2 ? n[(NR + 1) / 2] : (n[NR / 2] + n[NR / 2 + 1]) / 2 }'
}

# wall_ms PREPARE RUNS COMMAND...: the median of its wall time in milliseconds, without a shell around it.
wall_ms() {
        local prepare=$1 runs=$2

        shift 2
        hyperfine --shell=none --warmup 5 --runs "$runs" --ignore-failure ${prepare:+--prepare "$prepare"} \
                --export-json "$work/hyperfine.json" "$(printf '%q ' "$@")" >/dev/null 2>&1 || { echo nan; return; }
        sed -n 's/.*"median": \([0-9.e-]*\),.*/\1/p' "$work/hyperfine.json" | awk '{ printf "%.3f\n", $1 * 1000 }'
}

# instructions COMMAND...: in user space, in millions.
instructions() {
        valgrind --tool=callgrind --callgrind-out-file=/dev/null "$@" 2>&1 >/dev/null |
                awk '/Collected/ { printf "%.3f\n", $4 / 1e6 }'
}

# peak_mib COMMAND...: the most memory that it had at once.
peak_mib() {
        { command time -f 'peak %M' "$@" >/dev/null; } 2>&1 | awk '/^peak/ { printf "%.2f\n", $2 / 1024 }'
}

# row FIGURE MEASURED UNIT GOAL [NOTE]: one line of the table. The goal is the most that is allowed; "-": it is a peer.
row() {
        local met=-

        if [ "$2" = nan ] || [ -z "$2" ]; then
                met='not measured'
        elif [ "$4" != - ]; then
                met=$(awk -v m="$2" -v g="$4" 'BEGIN { print m <= g ? "yes" : "NO" }')
        fi
        rows+=("| $1 | ${2:-nan} $3 | $([ "$4" = - ] || echo "$4 $3") | $met | ${5-} |")
        printf '%-70s %10s %-5s goal %-8s %s\n' "$1" "${2:-nan}" "$3" "$4" "$met"
}

# ratio A B
ratio() {
        awk -v a="$1" -v b="$2" 'BEGIN { if (b > 0) printf "%.3f\n", a / b; else print "nan" }'
}
