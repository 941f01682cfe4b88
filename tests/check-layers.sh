#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Layers point one way: check-layers.sh SOURCE
#
# A room includes rooms of its own layer or below, never in a circle; a new room has to be given its layer here.
# Outside libraries have one door each. Rooms return errors: they do not exit, and do not log above debug.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

cd "$1/helpers/lib"

layers=(
        'macro'
        'bdf library log memstream nearest parse refuse strv json agentanswer'
        'fs fswrite curllib digest qcow2 scrub tar unpack'
        'account aptsource turn queue grouplock checkpoint bootfile confvalid grubcfg grubplace kernel child ini
         dropin ledger cloudinit guestwish gueststeps setupsteps setupcheck enginecheck nodeinit guestnet gpuarch ubuntudrivers
         osrelease findings arp iprange probe netlink netstate netfile netifupdown netkeyfile netnetworkd netowner
         netpeer ping netproof uplink unitfile nvme proc logfile journal fetch fetchanswer fetchtext httpask sparsefile
         metrics nvidiaversion stopped'
        'xml yamldoc metadata virtlib virtpulse seed guestlog gpuname gpuwish vmplace'
        'phase'
        'conf confkey vmfile vmfileformat catalog gpudeclare gpudriver talos imagecache imageentry imagefile imagepull imageplan
         imagesource imageask image aptline cmdline claims pci pcigroup qemuimg restore undo dpkg module'
        'domain hostdevs route vmkind vmtold vmdefined vmstore vmimport vmimportdev vmimportmake vmimportwork'
        'apt aptrun aptrepair iommu earlymatch earlyrule busy below nodes console openfile procfiles holders handover worker driveruse
         errand nvml compute computejob poison binder binding grubmenu boot bootentry imagetool initramfs etcfile bus
         busfollow busorder sdbus stop logind firewalld containerengine keep keepsearch keepconsole known modeset netmode nvidia early
         reboot trial grubenv grubtrial entrytrial'
        'guestfilter buildguest buildplan buildinit imagebuilt nvidiasource repository nvidiahost nvidiacheck
         nvidiamodule bridge bridgechange bridgefilter bridgenft nftchain bridgezone bridgeowner bridgeplan hostnet
         vfio vfioback vfiofacts vfiohold vfioidle vfiojob plan planvm virt preflight gpucheck gpustate gpuchoice
         iommucheck rebootcheck facts kernelplan report reportpage computecheck kvmcheck netcheck vfiocheck virtcheck
         virtroute'
        'trialboot trialnet kernelswap follow preview progress settings gpumode options takeback takebackfile remake
         gpuswitch'
        'exclusive gpureset'
        'evidence checkup checklook checkhost checkgpu checknet bundle bundletext'
        'ipknown ipcheck guestask guestcheck virtaddress virtagent virtdev virtdisk virtevent virtverdict virtvm virtwatch
         vmgpu vmnext vmplan vmplangpu vmplannet vmplanwork vmdiff vmchange vmhealth vmhost vmprobe vmchoice vmrelease
         vmseed vmstart vmstop vmtaken vmwatch virtgpus vmunit rollback gpulease smoke guestjob'
)
declare -A layer=()
for i in "${!layers[@]}"; do
        for room in ${layers[i]}; do
                layer[$room]=$i
        done
done

edges=$(grep -o '^#include "[a-z0-9-]*\.h"' ./*.[ch] |
        sed -E 's|^\./([a-z0-9-]*)\.[ch]:#include "(.*)\.h"|\1 \2|' | awk '$1 != $2' | sort -u)

for room in $(printf '%s\n' ./*.[ch] | sed 's|^\./||; s|\.[ch]$||' | sort -u); do
        [ -n "${layer[$room]-}" ] || { not_ok "$room has a layer" 'tests/check-layers.sh does not know this room'; continue; }
        above=
        while read -r from to; do
                [ "$from" = "$room" ] || continue
                [ "${layer[$to]:-99}" -le "${layer[$room]}" ] || above+="$to "
        done <<<"$edges"
        is "$room includes nothing above it" "$above" ''
done
circle=$(grep -o '^#include "[a-z0-9-]*\.h"' ./*.h | sed -E 's|^\./([a-z0-9-]*)\.h:#include "(.*)\.h"|\1 \2|' |
        tsort 2>&1 >/dev/null || true)
is 'no circle of headers' "$circle" ''
is 'only bus, busfollow, busorder, logind and firewalld include sdbus' "$(awk '$2 == "sdbus" { printf "%s ", $1 }' <<<"$edges")" 'bus busfollow busorder firewalld logind '
is 'only the rooms virt and virt... include virtlib' "$(awk '$2 == "virtlib" && $1 !~ /^virt/ { print $1 }' <<<"$edges")" ''
is 'only the rooms of a hand-over include vfiojob' "$(awk '$2 == "vfiojob" { printf "%s ", $1 }' <<<"$edges")" 'vfioback vfiofacts vfiohold vfioidle '

is 'only fetch and httpask include curllib' "$(awk '$2 == "curllib" { printf "%s ", $1 }' <<<"$edges")" 'fetch httpask '
is 'only image includes imageplan' "$(awk '$2 == "imageplan" { printf "%s ", $1 }' <<<"$edges")" 'image '

# door ROOM PATTERN: only that room includes these headers.
door() {
        is "only $1 knows <$2>" "$(grep -lE "^#include <$2>" ./*.[ch] ../*.c ../../generators/*.c 2>/dev/null |
                grep -vE "^\./$1\.[ch]\$" || true)" ''
}
door json 'json-c/.*\.h'
door library 'dlfcn\.h'
door module 'libkmod\.h'
door virtlib 'libvirt/.*\.h'
door '(seed|tar|unpack)' 'archive.*\.h'
door xml 'libxml/.*\.h'
door yamldoc 'yaml\.h'
door curllib 'curl/.*\.h'
door unpack 'lzma\.h'
door sdbus 'systemd/sd-bus\.h'
door gpuname 'systemd/sd-hwdb\.h'

rooms=$(printf '%s\n' ./*.c | grep -vE '^\./(log|journal|logfile|phase|conf)\.c$')
# shellcheck disable=SC2086 # a list of names
# conf tells the reader of a file what is wrong in it, when asked to. A room that is given the phase tells failures through phase_fail(), and log_oom() where even that cannot be.
is 'rooms do not log above debug' \
        "$(grep -nE '\blog_(error|warning|notice|info|error_errno|warning_errno|fields|full_errno)\(' $rooms || true)" ''
# shellcheck disable=SC2086
is 'rooms do not exit' "$(grep -nE '(^|[^_a-z])exit\(' $rooms || true)" ''
done_testing
