#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Whether a machine is well, and waiting for that: checkvm.sh VMCTL SOURCE FAKEAGENT
#
# On libvirt's test driver, with a recorded host and a directory for a guest (mock/fakeagent.c), in a network of its own.
# FAKEAGENT: the directory of the library.

# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
vmctl=$1 hosts=$2/tests/hosts fakeagent=$3
[ "$(id -u)" -eq 0 ] || skip_all 'needs root, for a network of its own'
if [ "${GPUVM_INSIDE-}" != yes ]; then
        GPUVM_INSIDE=yes exec unshare --net "$0" "$@"
fi
ip link set lo up
work=$(mktemp -d)
at_exit rm -rf "$work"
export FAKEAGENT_ROOT=$work/guest GPUVM_ROOT=$hosts/intel-one-gpu

hostdev='<hostdev mode="subsystem" type="pci" managed="no"><source><address domain="0x0000" bus="0x01" slot="0x00" function="0x%d"/></source></hostdev>'
# machine NAME STATE KIND ADDRESS GPU HOSTDEVS: state 1 runs, 3 is paused, 5 is off.
machine() {
        printf '<domain type="test" xmlns:test="http://libvirt.org/schemas/domain/test/1.0"><name>%s</name><metadata>
                <g:vm xmlns:g="urn:gpuvm:vm:1" kind="%s"><g:address cidr="%s"/>%s</g:vm></metadata><memory>65536</memory>
                <os><type>hvm</type></os><devices>%s</devices><test:runstate>%s</test:runstate></domain>\n' "$1" "$3" "$4" "$5" "$6" "$2"
}
gpu='<g:gpu address="0000:01:00.0"/>'
# shellcheck disable=SC2059 # a format
both=$(printf "$hostdev$hostdev" 0 1)
{
        printf '<node>'
        machine plain 1 debian 127.0.0.9/8 '' ''
        machine lost 1 debian 127.0.0.10/8 '' ''
        machine with-gpu 1 debian 127.0.0.9/8 "$gpu" "$both"
        machine without 1 debian 127.0.0.9/8 "$gpu" ''
        machine talos 1 talos 127.0.0.9/8 '' ''
        machine off 5 debian 127.0.0.9/8 "$gpu" "$both"
        machine paused 3 debian 127.0.0.9/8 '' ''
        printf '<domain type="test"><name>theirs</name><memory>65536</memory><os><type>hvm</type></os></domain></node>'
} >"$work/node.xml"

# run ARGUMENT...: sets status, out and err.
run() {
        status=0
        out=$(LD_LIBRARY_PATH=$fakeagent "$vmctl" -c "test:///$work/node.xml" "$@" 2>"$work/err" </dev/null) || status=$?
        err=$(<"$work/err")
}
# levels: "state ok" and so on, of the last check as JSON.
levels() {
        python3 -c 'import json, sys
for m in json.load(sys.stdin):
    print(m["name"], m["result"], ":", ", ".join(f["check"] + " " + f["result"] for f in m["findings"]))' <<<"$out"
}
# listen PORT: somebody answers there.
listen() {
        python3 -c 'import socket, sys
s = socket.create_server(("127.0.0.9", int(sys.argv[1])))
print(flush=True)
while True:
    s.accept()[0].close()' "$1" >"$work/listens" &
        listener=$!
        until [ -s "$work/listens" ]; do sleep 0.05; done
}
zeros=$(printf '\t0%.0s' {1..14})
# pci LINE...: "10de2684 nvidia", what the guest's kernel lists.
pci() {
        mkdir -p "$FAKEAGENT_ROOT/proc/bus/pci"
        printf '%s\n' "$@" | sed "s/^\(\S*\) *\(.*\)/0100\t\1\t0$zeros\t\2/" >"$FAKEAGENT_ROOT/proc/bus/pci/devices"
}
mkdir -p "$FAKEAGENT_ROOT/bin" "$FAKEAGENT_ROOT/run/cloud-init"

run check off
if [[ $err == *'is not installed'* ]]; then
        skip_all "libvirt's library is not installed"
fi

# Silence.
like 'one that is off' "$status:$out" "^1:fail  state +off: is off.*'vmctl start off'"
is 'and where more is told' "$(tail -n 1 <<<"$out")" 'gpuvm-troubleshooting(7) has symptoms, and what helps.'
run check --json paused
is 'one that is paused: nothing else is asked' "$(levels)" 'paused fail : state fail'
run check --json lost
is 'nothing answers' "$status:$(levels)" '1:lost fail : state ok, agent fail, address ok, ssh fail, ping ok'
run check none
like 'no such machine' "$status:$err" "^3:.*no virtual machine 'none'"
run check theirs
like 'one of others' "$status:$err" '^5:.*was not made by gpuvm'

# Its network may be down, or its firewall shut.
ip link set lo down
run check plain
like 'no ping' "$status:$out" '^1:.*warn  ping +plain: does not answer a ping at 127\.0\.0\.9.*firewall let ICMP in'
ip link set lo up

# Without an agent, and with one.
listen 22
run check --json plain
is 'ssh alone is a warning' "$status:$(levels)" '2:plain warn : state ok, agent warn, address ok, ssh ok, ping ok'
: >"$FAKEAGENT_ROOT/agent"
run check plain
is 'both of them' "$status:$(tr -s ' ' <<<"$out")" '0:ok state plain: runs
ok agent plain: has an agent that answers
ok address plain: has the address 127.0.0.9
ok ssh plain: answers by ssh at 127.0.0.9
ok ping plain: answers a ping at 127.0.0.9'
run check --json lost
is 'an agent alone is a warning' "$status:$(levels)" '2:lost warn : state ok, agent ok, address ok, ssh warn, ping ok'
run check --quiet plain lost off
is 'the worst of several, and no word' "$status:$out$err" 1:
run check --json plain none lost
is 'one that is not there does not hide the others' "$status:$(levels | wc -l)" 3:2
run check --json talos
is 'Talos answers elsewhere' "$status:$(levels)" '2:talos warn : state ok, agent ok, address ok, api warn, ping ok'

# GPUs.
run check --json with-gpu
is 'a guest that does not let itself be looked at' "$status:$(levels)" '2:with-gpu warn : state ok, agent ok, address ok, ssh ok, ping ok, gpu warn'
pci '10de22ba snd_hda_intel' '80860d57'
run check with-gpu
like 'a GPU that is not there' "$status:$out" '^1:.*fail  gpu +0000:01:00\.0: is not seen in the guest'
pci '10de2684'
run check with-gpu
like 'one without a driver' "$status:$out" '^2:.*ok    gpu .*warn  driver +0000:01:00\.0: has no driver in the guest'
pci '10de2684 nvidia'
run check with-gpu
like 'with a driver, and nobody to ask more' "$status:$out" '^0:.*ok    driver +0000:01:00\.0: has the driver nvidia'
printf '#!/bin/sh\nprintf "GPU 0: NVIDIA GeForce RTX 4090 (UUID: GPU-1)\\n"\n' >"$FAKEAGENT_ROOT/bin/nvidia-smi"
chmod +x "$FAKEAGENT_ROOT/bin/nvidia-smi"
run check with-gpu
like "NVIDIA's own word" "$status:$out" '^0:.*ok    driver +0000:01:00\.0: works in the guest: nvidia-smi lists it'
printf '#!/bin/sh\nprintf "NVIDIA-SMI has failed\\033[2m because\\nof that\\n"\nexit 9\n' >"$FAKEAGENT_ROOT/bin/nvidia-smi"
run check with-gpu
like 'is believed, and cleaned' "$status:$out" '^1:.*fail  driver +.*nvidia-smi says: NVIDIA-SMI has failed\?\[2m because'
rm "$FAKEAGENT_ROOT/bin/nvidia-smi"
run check without
like 'one that the machine should have' "$status:$out" "^1:.*fail  gpu +0000:01:00\.0: is not with the machine.*'vmctl restart without'"
GPUVM_ROOT=$work run check with-gpu
like 'one that nobody knows here' "$status:$out" '^2:.*warn  gpu +0000:01:00\.0: was not looked for'

# cloud-init.
printf '{"v1":{"stage":"modules-final","modules-final":{"start":1.5,"finished":null}}}' >"$FAKEAGENT_ROOT/run/cloud-init/status.json"
run check plain
like 'cloud-init works' "$status:$out" '^2:.*warn  cloud-init +plain: is still being set up: modules-final'
printf '{"v1":{"stage":null,"init":{"errors":["no such package"]},"modules-final":{"finished":2}}}' >"$FAKEAGENT_ROOT/run/cloud-init/status.json"
run check plain
like 'and has failed' "$status:$out" '^2:.*warn  cloud-init +plain: was not set up without errors: no such package'
printf '{"v1":{"stage":null,"modules-final":{"finished":2}}}' >"$FAKEAGENT_ROOT/run/cloud-init/status.json"
run check --json plain
is 'or is done' "$status:$(levels)" '0:plain ok : state ok, agent ok, address ok, ssh ok, ping ok, cloud-init ok'

# A guest that sets itself up.
mkdir -p "$FAKEAGENT_ROOT/var/lib/gpuvm-setup" "$FAKEAGENT_ROOT/bin/usr/local/lib/gpuvm-setup"
steps=$FAKEAGENT_ROOT/var/lib/gpuvm-setup/steps
printf 'firewall start 100\nfirewall done 102\ndriver start 102\ndriver failed 130\n' >"$steps"
run check plain
like 'a step that failed' "$status:$out" "^1:.*ok    setup +plain: has done step firewall in 2 s.*fail  setup +plain: failed at step driver .*'systemctl start gpuvm-setup.target' there goes on"
printf 'driver start 200\ndriver done 400\n' >>"$steps"
printf '#!/bin/sh\necho "nvidia-smi ok NVIDIA GeForce RTX 5060 Ti, 16311 MiB, 580.95"\necho "vllm-health fail it does not run"\necho "first-token skip vLLM does not run"\n' \
        >"$FAKEAGENT_ROOT/bin/usr/local/lib/gpuvm-setup/check"
chmod +x "$FAKEAGENT_ROOT/bin/usr/local/lib/gpuvm-setup/check"
run check plain
like 'it went on, and is asked how it is' "$status:$out" "^1:.*has done step driver in 200 s of at most 600.*was there as a whole in 300 s of at most 1800.*ok    nvidia-smi +plain: NVIDIA GeForce RTX 5060 Ti, 16311 MiB.*fail  vllm-health +plain: it does not run.*'journalctl -u vllm' in the guest.*skip  first-token"
cat >"$FAKEAGENT_ROOT/bin/usr/local/lib/gpuvm-setup/check" <<'S'
#!/bin/sh
echo "lspci ok 01:00.0 VGA compatible controller: NVIDIA Corporation Device 2d04"
echo "nvidia-smi ok NVIDIA GeForce RTX 5060 Ti, 16311 MiB, 580.95"
echo "kernel ok what it says of the GPU in its log is no error"
echo "cuda ok the toolkit is there"
S
run check --json with-gpu
is 'scenario 2: the host tells that the GPU is seen, and that all of it works' "$status:$(levels)" \
        '0:with-gpu ok : state ok, agent ok, address ok, ssh ok, ping ok, gpu ok, driver ok, cloud-init ok, setup ok, setup ok, setup ok, lspci ok, nvidia-smi ok, kernel ok, cuda ok'
printf '#!/bin/sh\necho "vllm-health skip it does not run"\n' >"$FAKEAGENT_ROOT/bin/usr/local/lib/gpuvm-setup/check"
run check --json plain
is 'engines that sleep are well' "$status:$(levels)" \
        '0:plain ok : state ok, agent ok, address ok, ssh ok, ping ok, cloud-init ok, setup ok, setup ok, setup ok, vllm-health skip'
# Engines that others are to reach are asked from here as well, and those that sleep are not.
mkdir -p "$FAKEAGENT_ROOT/etc"
printf 'VLLM_LISTEN="0.0.0.0"\nVLLM_PORT="8000"\nOLLAMA_LISTEN="127.0.0.9"\nOLLAMA_PORT="11434"\n' >"$FAKEAGENT_ROOT/etc/gpuvm-setup.conf"
python3 - "$work/served" <<'S' &
import http.server, sys
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()
s = http.server.HTTPServer(("127.0.0.9", 8000), H)
open(sys.argv[1], "w").close()
s.serve_forever()
S
server=$!
until [ -e "$work/served" ]; do sleep 0.05; done
run check plain
like 'an engine that sleeps is not asked from outside' "$status:$out" '^0:.*skip  vllm-health +plain: it does not run$'
printf '#!/bin/sh\necho "vllm-health ok it answers"\necho "ollama-health ok it answers"\n' >"$FAKEAGENT_ROOT/bin/usr/local/lib/gpuvm-setup/check"
http_proxy=http://192.0.2.1:9 run check plain
like 'engines are asked from outside' "$status:$out" "^2:.*ok    vllm-http +plain: answers at http://127\.0\.0\.9:8000/health.*warn  ollama-http +plain: answers in the guest, but is not reached from here at http://127\.0\.0\.9:11434/api/version: .*'ufw status' in the guest"
sed -i s/127.0.0.9/127.0.0.1/ "$FAKEAGENT_ROOT/etc/gpuvm-setup.conf"
run check --json plain
is 'but for those that are for the guest alone' "$status:$(levels)" \
        '0:plain ok : state ok, agent ok, address ok, ssh ok, ping ok, cloud-init ok, setup ok, setup ok, setup ok, vllm-health ok, ollama-health ok, vllm-http ok'
kill "$server"
rm "$FAKEAGENT_ROOT/etc/gpuvm-setup.conf"
rm "$FAKEAGENT_ROOT/bin/usr/local/lib/gpuvm-setup/check"
run check plain
like 'its own check does not answer' "$status:$out" "^2:.*warn  setup +plain: did not answer what its driver and engines do"
rm -r "$FAKEAGENT_ROOT/var/lib/gpuvm-setup" "$FAKEAGENT_ROOT/bin/usr"

# Waiting.
run start --wait with-gpu
is 'a machine that is ready' "$status:$out" '0:with-gpu is running
  with-gpu has an agent that answers
  with-gpu has the address 127.0.0.9
  with-gpu answers by ssh at 127.0.0.9
  0000:01:00.0 is seen in the guest
  with-gpu has been set up
with-gpu is ready'
run start --wait --json with-gpu
is 'as JSON' "$status:$(python3 -c 'import json, sys; print([(v["name"], v["status"]) for v in json.load(sys.stdin)])' <<<"$out")" \
        "0:[('with-gpu', 0)]"
pci '80860d57'
(sleep 2 && pci '10de2684') &
run start --wait --timeout 60 off
like 'a GPU that takes its time' "$status:$out" '^0:off is running.*0000:01:00\.0 is seen in the guest.*off is ready$'
wait $!
pci '80860d57'
run start --wait --timeout 1 with-gpu
like 'the stage is named' "$status:$err" \
        "^1:.*'with-gpu' is not ready after [0-9]+ s: it runs, its agent answers and it can be reached; GPU 0000:01:00\.0 is not seen in the guest.*'vmctl check with-gpu'"
rm "$FAKEAGENT_ROOT/agent"
run start --wait --timeout 1 with-gpu
like 'without an agent nobody looks inside: that is said' "$status:$err" \
        "^0:.*'with-gpu' runs and its ssh answers; GPU 0000:01:00\.0 was not looked for in the guest: no agent answers"
kill "$listener"
run start --wait --timeout 1 with-gpu
like 'silence' "$status:$err" "^1:.*'with-gpu' is not ready after [0-9]+ s: it runs; it has no agent"
run start --wait --timeout 1 paused
like 'one that is paused' "$status:$err" "^1:.*'paused' is not ready after [0-9]+ s: it is paused"
run start --wait --dry-run off
is 'dry' "$status:$out" '0:off would be started'
run start --wait --timeout never off
like 'a time that is none' "$status:$err" "^2:.*'never'"
done_testing
