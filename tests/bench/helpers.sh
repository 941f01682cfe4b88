# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2154 # work, build and top are bench.sh's
# Helpers: to say what they are, and with nothing to do.

bench_help() {
        local program

        for program in "$build"/helpers/gpu* "$build"/generators/gpuvm-generator; do
                [ -f "$program" ] || continue
                row "${program##*/} --help" "$(wall_ms '' 200 "$program" --help)" ms 1.5
        done
}

# On a recorded machine where the bootstrap is done; where a helper does not think so, the exit status is in the note.
bench_helpers() {
        local host=$work/host noun program ms note status sum=0 four=0 script failed=

        "$top/tests/bench/finished.sh" "$build/helpers" "$host"
        for noun in preflight packages nvidia kvm iommu vfio bridge storage verify reboot resume; do
                program=$build/helpers/gpuvm-$noun
                [ -x "$program" ] || continue
                set -- --root="$host"
                [ "$noun" != vfio ] || set -- "$@" setup
                # The first run may still leave a record; it is the second that has nothing to do.
                "$program" "$@" >/dev/null 2>&1 || true
                status=0
                "$program" "$@" >/dev/null 2>"$work/err" || status=$?
                note=
                [ "$status" -eq 0 ] || note="exit status $status: $(head -c 120 "$work/err" | tr '|\n' '  ')"
                ms=$(wall_ms '' 100 "$program" "$@")
                row "gpuvm-$noun, nothing to do" "$ms" ms 5 "$note"
                row "gpuvm-$noun, nothing to do, memory" "$(peak_mib "$program" "$@")" MiB 8
                sum=$(awk -v a="$sum" -v b="$ms" 'BEGIN { print a + b }')
                case $noun in
                packages | nvidia | kvm | bridge)
                        four=$(awk -v a="$four" -v b="$ms" 'BEGIN { print a + b }')
                        [ "$status" -eq 0 ] || failed+="gpuvm-$noun "
                        ;;
                esac
        done
        # What fails half way is no run with nothing to do.
        [ -z "$failed" ] || four=nan
        row 'packages, nvidia, kvm and bridge, nothing to do' "$four" ms 150 "${failed:+did not succeed: $failed}"
        script=$(wall_ms '' 30 bash "$top/tests/bench/checks.sh" "$host")
        row 'the same checks in a shell script' "$script" ms -
        row 'all helpers, nothing to do' "$sum" ms - 'when the target is started by hand'
        ms=$(wall_ms '' 100 "$build/generators/gpuvm-generator" --dry-run --root="$host")
        row 'all that a boot runs of ours: the generator' "$ms" ms "$(awk -v s="$script" 'BEGIN { m = s / 5; print m < 15 ? m : 15 }')" \
                '15 ms, and a fifth of the shell script'
        rm -rf "$host"
}
