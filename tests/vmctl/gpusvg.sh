#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The picture of a host with eight GPUs: gpusvg.sh VMCTL SOURCE

# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
vmctl=$1 expected=$2/tests/vmctl/gpusvg.svg
work=$(mktemp -d)
at_exit rm -rf "$work"
root=$work/host

# device PATH VENDOR DEVICE CLASS GROUP DRIVER NODE: a function at its place below /sys/devices.
device() {
        local address=${1##*/} dir=$root/sys/devices/$1 group=$root/sys/kernel/iommu_groups/$5/devices

        mkdir -p "$dir" "$group" "$root/sys/bus/pci/devices"
        printf '0x%s\n' "$2" >"$dir/vendor"
        printf '0x%s\n' "$3" >"$dir/device"
        printf '0x%s\n' "$4" >"$dir/class"
        printf '%s\n' "$7" >"$dir/numa_node"
        ln -s "../../../devices/$1" "$root/sys/bus/pci/devices/$address"
        ln -s "/sys/kernel/iommu_groups/$5" "$dir/iommu_group"
        ln -s "/sys/devices/$1" "$group/$address"
        [ -z "$6" ] || ln -s "/sys/bus/pci/drivers/$6" "$dir/driver"
        [ "$4" != 060400 ] || printf '\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0' >"$dir/config"
}
drivers=(nvidia nvidia nvidia '' nvidia vfio-pci vfio-pci vfio-pci)
group=10 gpu=0
for bus in 00 40 80 c0; do
        printf -v second '%02x' $((16#$bus + 1))
        printf -v third '%02x' $((16#$bus + 2))
        node=$((16#$bus >> 7))
        port=pci0000:$bus/0000:$bus:01.0
        device "$port" 8086 352a 060400 $((group++)) pcieport $node
        device "$port/0000:$second:00.0" 1000 c030 060400 $((group++)) pcieport $node
        for slot in 0 1; do
                switch=$port/0000:$second:00.0/0000:$third:0$slot.0
                printf -v last '%02x' $((16#$bus + 3 + slot))
                device "$switch" 1000 c030 060400 $((group++)) pcieport $node
                [ $gpu -ne 7 ] || group=$((group - 2)) # with the one before
                device "$switch/0000:$last:00.0" 10de 2330 030200 $((group++)) "${drivers[gpu]}" $node
                gpu=$((gpu + 1))
        done
done
device pci0000:00/0000:00:01.0/0000:01:00.0/0000:02:01.0/0000:04:01.0 8086 1572 020000 15 'a<&' 0
device pci0000:c0/0000:c0:05.0 8086 352a 060400 91 pcieport 1
device pci0000:c0/0000:c0:05.0/0000:c5:00.0 10de 22a3 068000 90 nvidia-nvswitch 1
mkdir -p "$root/proc/self" "$root/etc"
: >"$root/proc/self/mountinfo"
printf '[Gpu 0000:84:00.0]\nMode=exclusive\n' >"$root/etc/gpuvm.conf"
printf '<node><domain type="test" xmlns:test="http://libvirt.org/schemas/domain/test/1.0"><name>talos-01</name><memory>65536</memory>
<os><type>hvm</type></os><devices><hostdev mode="subsystem" type="pci" managed="no"><source><address domain="0x0000" bus="0x84"
slot="0x00" function="0x0"/></source></hostdev></devices><test:runstate>1</test:runstate></domain></node>' >"$work/node.xml"

# draw ARGUMENT...: sets status, out and err.
draw() {
        status=0
        out=$("$vmctl" -c "test:///$work/node.xml" gpu status --root "$root" "$@" 2>"$work/err" </dev/null) || status=$?
        err=$(<"$work/err")
}
draw --svg "$work/picture.svg"
if [[ $err == *'is not installed'* || $err == *'needs libxml2'* ]]; then
        skip_all "libvirt's library or libxml2 is not installed"
fi
is 'a picture' "$status:$out:$err" 0::
is 'is what is expected' "$(diff "$expected" "$work/picture.svg")" ''
check 'and is XML' python3 -c 'import sys, xml.etree.ElementTree as e
assert e.parse(sys.argv[1]).getroot().tag == "{http://www.w3.org/2000/svg}svg"' "$work/picture.svg"
is 'nothing is fetched from elsewhere' "$(grep -oE '(href|src|url|@import)[^ ]*' "$work/picture.svg" || true)" ''
is 'each GPU is in it, once' "$(grep -oE '0000:(03|04|43|44|83|84|c3|c4):00\.0,' "$work/picture.svg" | sort | uniq -c | awk '{ n += $1 } END { print NR, n }')" '8 8'
like 'a name that would be markup is escaped' "$(<"$work/picture.svg")" '\(a&lt;&amp;\)'

draw --svg -
is 'on standard output' "$status:$(cmp - "$work/picture.svg" <<<"$out")" 0:
echo old >"$work/picture.svg"
draw --svg "$work/picture.svg"
check 'what was there is replaced' cmp "$expected" "$work/picture.svg"
is 'and nothing else is left' "$(find "$work" -maxdepth 1 -name 'picture*')" "$work/picture.svg"
draw --svg "$work/none/picture.svg"
like 'a place that is none' "$status:$err" "^3:.*Cannot write '.*/none/picture.svg': No such file"
mkdir -p "$work/taken.svg/x"
draw --svg "$work/taken.svg"
is 'a directory is not replaced' "$status:$(find "$work" -maxdepth 1 -name 'taken*')" "1:$work/taken.svg"
done_testing
