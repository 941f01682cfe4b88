#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A machine for language models sets itself up: llm.sh RELEASE USERDATA
#
# The real cloud-init reads the user-data at boot, and the real systemd runs the steps, with the real apt, pip and ufw. What they
# fetch are stand-ins: an archive of packages, a wheel, an archive of Ollama's; and the GPU. Debian stands in for Ubuntu.
#
# shellcheck disable=SC2317 # the steps are called inside the container
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

container_require
command -v dpkg-scanpackages >/dev/null || skip_all 'needs dpkg-dev'
release=${1:-trixie} userdata=${2:-$source_dir/build/tests/userdata}
container_stage=$(mktemp -d) # nothing of ours runs inside but what vmctl sends
chmod 755 "$container_stage"
at_exit rm -rf "$container_stage"
machine_new "$release" openssh-server ufw python3 python3-venv curl ca-certificates gpg gpg-agent cloud-init iptables pciutils zstd
work=$(mktemp -d)
at_exit rm -rf "$work"
version=0.19.0

# package NAME [FILE...]: each file is its path below $work/files.
package() {
        local tree=$work/tree

        rm -rf "$tree"
        mkdir -p "$tree/DEBIAN" "$machine/srv/debs"
        printf 'Package: %s\nVersion: 99\nArchitecture: all\nMaintainer: Nobody <nobody@example.org>\nDescription: stand-in\n' "$1" >"$tree/DEBIAN/control"
        [ ! -d "$work/files" ] || mv "$work/files"/* "$tree"
        dpkg-deb --root-owner-group -Znone -b "$tree" "$machine/srv/debs/$1.deb" >/dev/null
}
# program DIR NAME: its text comes from standard input.
program() {
        mkdir -p "$1"
        cat >"$1/$2"
        chmod 755 "$1/$2"
}
for name in qemu-guest-agent rsync ubuntu-drivers-common python3-dev gcc libc6-dev nvidia-headless-no-dkms-580-server-open cuda-toolkit-12-9; do
        package "$name"
done
program "$work/files/usr/bin" nvtop <<<'true'
package nvtop
program "$work/files/usr/bin" nvidia-smi <<'S'
#!/bin/sh
[ -e /run/nvidia ] || exit 9
case $* in
*compute-apps*) pgrep -f 'vllm serve' ;;
*query-gpu*) echo 'NVIDIA GeForce RTX 5060 Ti, 16311 MiB, 580.95.05' ;;
*) echo 'GPU 0: NVIDIA GeForce RTX 5060 Ti (UUID: GPU-1)' ;;
esac
S
package nvidia-utils-580-server
(cd "$machine/srv/debs" && dpkg-scanpackages -m . >Packages 2>/dev/null)
rm -rf "$machine"/etc/apt/sources.list*
mkdir "$machine/etc/apt/sources.list.d"
echo 'deb [trusted=yes] file:/srv/debs ./' >"$machine/etc/apt/sources.list.d/stand-in.list"

bin=$machine/usr/local/bin
program "$bin" ubuntu-drivers <<'S'
#!/bin/sh
case $1 in
devices)
        echo '== /sys/devices/pci0000:00/0000:00:02.0/0000:01:00.0 ==
vendor   : NVIDIA Corporation
driver   : nvidia-driver-595-open - distro non-free
driver   : nvidia-driver-580-server-open - distro non-free recommended
driver   : nvidia-driver-580 - distro non-free
driver   : nvidia-driver-610-open - third-party non-free
driver   : xserver-xorg-video-nouveau - distro free builtin'
        ;;
*)
        echo "$*" >>/shared/drivers
        /usr/local/lib/gpuvm-setup/check engines >>/shared/engines
        [ -e /shared/driver-works ] || exit 0 # as the real one
        apt-get -qy install nvidia-headless-no-dkms-580-server-open
        ;;
esac
S
program "$bin" lspci <<<'echo 01:00.0 0300: 10de:2d04'
program "$bin" modprobe <<'S'
#!/bin/sh
[ "$1" != nvidia ] || touch /run/nvidia
S
# A container may not swap.
program "$bin" swapon <<<'case $* in *--show*) grep -o ^/swapfile /etc/fstab ;; esac'
program "$bin" nvcc <<<'echo release 12.9'
# Says what it copies, where to, without what, and as who.
program "$bin" rsync <<'S'
#!/bin/sh
[ -e /run/rsyncd ] || exit 10
while [ $# -gt 2 ]; do shift; done
find "$1" -type f -exec cat {} + >/dev/null && echo "copied $1 $2 by $(id -un), without [$(paste -sd' ')]"
S
# What is on the network is below /srv/https; the machine itself is asked in earnest.
program "$bin" curl <<'S'
#!/bin/bash
url=${!#} out=
while [ $# -gt 0 ]; do
        case $1 in
        --output) out=$2 && shift ;;
        https://*) url=$1 ;;
        esac
        shift
done
case $url in
https://*) cp "/srv/https/${url#https://}" "$out" || exit 22 ;;
*) exec /usr/bin/curl --fail --silent --max-time 5 --output "$out" "$url" ;;
esac
S

# Two engines that answer.
program "$work/ollama/bin" ollama <<'S'
#!/usr/bin/python3
import http.server, os, sys, urllib.request
if "--version" in sys.argv:
    print("ollama version is 0.32.7")
elif sys.argv[1] == "serve":
    print('msg="inference compute" id=GPU-1 library=CUDA description="NVIDIA GeForce RTX 5060 Ti"', flush=True)
    host, _, port = os.environ["OLLAMA_HOST"].rpartition(":")
    class H(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"version":"0.32.7"}')
    http.server.HTTPServer((host, int(port)), H).serve_forever()
elif sys.argv[1] == "list":
    print(urllib.request.urlopen("http://" + os.environ["OLLAMA_HOST"], timeout=10).status)
elif sys.argv[1] == "pull":
    open("/opt/ollama/models/" + sys.argv[2], "w")
S
mkdir -p "$machine/srv/https/github.com/ollama/ollama/releases/download/v0.32.7"
archive=$machine/srv/https/github.com/ollama/ollama/releases/download/v0.32.7/ollama-linux-$(dpkg --print-architecture).tar.zst
tar --zstd -C "$work/ollama" -cf "$archive" bin
(cd "${archive%/*}" && sha256sum "./${archive##*/}" >sha256sum.txt)
python3 - "$machine/srv/wheels" $version <<'S'
import os, sys, zipfile
os.makedirs(sys.argv[1])
v = sys.argv[2]
info = f"vllm-{v}.dist-info/"
files = {
    "vllm.py": '''
import http.server, os, sys
def main():
    if os.path.exists("/shared/broken"):
        sys.exit("dies as it is asked to")
    key = os.environ.get("VLLM_API_KEY")
    port = int(sys.argv[sys.argv.index("--port") + 1])
    host = sys.argv[sys.argv.index("--host") + 1]
    class H(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            ok = self.path == "/health" or self.headers.get("Authorization") == f"Bearer {key}"
            self.send_response(200 if ok else 401)
            self.end_headers()
            self.wfile.write(b"ok" if ok else b"no")
        def do_POST(self):
            ok = self.headers.get("Authorization") == f"Bearer {key}" and self.path == "/v1/completions"
            self.send_response(200 if ok else 401)
            self.end_headers()
            self.wfile.write(b"data: {}\\n\\n")
    http.server.HTTPServer((host, port), H).serve_forever()
''',
    info + "METADATA": f"Metadata-Version: 2.1\\nName: vllm\\nVersion: {v}\\n".replace("\\n", "\n"),
    info + "WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    info + "entry_points.txt": "[console_scripts]\nvllm = vllm:main\n",
}
files[info + "RECORD"] = "".join(f"{n},,\n" for n in files)
with zipfile.ZipFile(f"{sys.argv[1]}/vllm-{v}-py3-none-any.whl", "w") as z:
    for n, t in files.items():
        z.writestr(n, t)
S
printf '[global]\nno-index = true\nfind-links = /srv/wheels\n' >"$machine/etc/pip.conf"

# NVIDIA's repository, with somebody else's key.
nvidia=$machine/srv/https/developer.download.nvidia.com/compute/cuda/repos/debian13/x86_64
mkdir -p "$nvidia"
echo 'nobody of NVIDIA' >"$nvidia/8793F200.pub"

# What the host shares, later and without virtiofs; and a place for overlays, which the container may be one of itself.
mkdir -p "$machine/srv/models/hub/models--a--b" "$machine/srv/models/ollama/manifests"
echo shared >"$machine/srv/models/hub/models--a--b/ref"
touch -d '20 days ago' "$machine/srv/models/hub/models--a--b/ref"
echo 'tmpfs /opt tmpfs mode=755 0 0' >>"$machine/etc/fstab"

# The user-data, and those of other machines for cloud-init to judge.
seed=$machine/var/lib/cloud/seed/nocloud
mkdir -p "$seed" "$shared/schema"
secret=key-1b9c4e token=hf_77d0
"$userdata" llm gpu=yes listen=192.0.2.7 "firewall=8000@192.0.2.0/24 53/udp" swap=1M idle=2s "packages=nvtop" key=$secret token=$token \
        ollama-models=tiny model-store=/srv/models model-backup=rsync://192.0.2.7/models/llm-01 >"$seed/user-data"
echo '{"instance-id":"f3a1","local-hostname":"llm-01"}' >"$seed/meta-data"
printf 'datasource_list: [NoCloud]\nnetwork: {config: disabled}\n' >"$machine/etc/cloud/cloud.cfg.d/99-test.cfg"
cp "$seed/user-data" "$shared/schema/llm"
"$userdata" llm engine=ollama model-days=30 >"$shared/schema/llm-without"
"$userdata" desktop gpu=yes 'packages=vim curl=8.5.0-2' cuda-toolkit=newest clocks=5001,1590 persistenced=yes >"$shared/schema/desktop"
"$userdata" server firewall=off >"$shared/schema/server"
"$userdata" debian 'firewall=80 443' >"$shared/schema/debian"
"$userdata" worker gpu=yes 'packages=htop' clocks=5001,1590 "join=#!/bin/sh
kubeadm join 192.0.2.1:6443 --token a.b" >"$shared/schema/worker"
"$userdata" worker "join=apiVersion: kubeadm.k8s.io/v1beta4
kind: JoinConfiguration" >"$shared/schema/worker-kubeadm"
"$userdata" build 'packages=vim=2:9.1' >"$shared/schema/build"
"$userdata" verify >"$shared/schema/verify"
check 'YAML means what the JSON does' python3 -c 'import json, sys, yaml
for f in sys.argv[1:]:
    t = open(f).read()
    assert yaml.safe_load(t) == json.loads(t.split("\n", 1)[1]), f' "$shared"/schema/*

# settled: until nothing of the setup is at work.
settled() {
        for _ in $(seq 600); do
                systemctl list-jobs --no-legend | grep -q gpuvm-setup || return 0
                sleep 0.1
        done
        echo 'still at work'
}
steps() {
        cut -d' ' -f1,2 /var/lib/gpuvm-setup/steps | tail -n +"${1:-1}" | paste -sd' '
}
# asleep: until nobody asks the engines any more.
asleep() {
        for _ in $(seq 60); do
                systemctl is-active --quiet vllm ollama || break
                sleep 0.5
        done
}
http() {
        /usr/bin/curl --silent --max-time 20 --output /dev/null --write-out '%{http_code}' "$@"
}
boot() {
        local file user name pid

        . /shared/variables

        ip addr add 192.0.2.7/24 dev lo
        ip link set lo up
        cloud-init status --wait >/dev/null
        echo '-- init'
        cloud-init status --long | sed -n 's/^status: /cloud-init: /p; s/^errors: *\[\]/errors: none/p'
        for file in /shared/schema/*; do
                echo "schema ${file##*/}: $(cloud-init schema -c "$file" 2>&1 | tail -n 1)"
        done
        settled
        echo '-- 8'
        echo "first: $(steps)"
        echo "units: $(systemctl is-failed gpuvm-setup@store gpuvm-setup@driver | paste -sd' ') $(systemctl is-active gpuvm-setup@gpu gpuvm-setup.target multi-user.target | paste -sd' ')"
        journalctl --sync
        journalctl -u gpuvm-setup@driver -o cat | grep -o 'ubuntu-drivers did not install driver 580-server-open'
        journalctl -u gpuvm-setup@driver -o cat | grep -o "'systemctl start gpuvm-setup.target' goes on from here"
        echo "for the host: $(sort -u /shared/engines), then: $(/usr/local/lib/gpuvm-setup/check engines)"

        touch /shared/driver-works
        systemctl start gpuvm-setup.target
        settled
        echo "second: $(steps 11)"
        journalctl --sync
        journalctl -u gpuvm-setup@cuda -o cat | grep -o 'no key at https.* known here'
        apt-get -qy install cuda-toolkit-12-9 >/dev/null 2>&1
        systemctl start gpuvm-setup.target
        settled
        echo "third: $(steps 19)"
        runuser -u vllm -- sh -c 'mkdir /opt/models/hub && echo own >/opt/models/hub/own'
        /usr/local/lib/gpuvm-setup/check | grep ^model-store
        # The host shares them after all, while an engine runs.
        mkdir /etc/systemd/system/opt-store.mount.d
        printf '[Mount]\nWhat=/srv/models\nType=none\nOptions=bind,ro\n' >/etc/systemd/system/opt-store.mount.d/test.conf
        systemctl daemon-reload
        while sleep 0.5; do http http://127.0.0.1:11434/; done >/dev/null &
        keeper=$!
        http http://127.0.0.1:11434/ >/dev/null
        pid=$(systemctl show -P MainPID ollama)
        systemctl start gpuvm-setup.target
        settled
        echo "fourth: $(steps 31)"
        echo "own: $(cat /opt/models/hub/own), the engine's: $(nsenter -m -t "$pid" ls /opt/ollama/models | paste -sd' ')"
        kill "$keeper"
        asleep
        systemctl start gpuvm-setup.target
        settled
        echo "again: $(steps 31 | wc -w)"

        echo '-- 3'
        echo "drivers: $(sort -u /shared/drivers)"
        echo "held: $(apt-mark showhold | paste -sd' ')"
        echo "restarts: $(find /var/lib/gpuvm-setup -name restarted | wc -l)"
        nvidia-smi -L

        echo '-- 1'
        echo "boot: $(awk '$1 == "boot" { t = $3 - t } END { print (t >= 0) }' /var/lib/gpuvm-setup/steps)"
        for user in vllm ollama; do
                echo "$user: $(getent passwd $user | cut -d: -f6,7) $(id -Gn $user)"
        done
        for name in /opt/models /opt/ollama/models /opt/vllm/venv /opt/vllm/requirements.txt /etc/credstore/gpuvm.api-key \
                /etc/credstore/gpuvm.hf-token /swapfile /usr/local/bin/ollama /usr/local/lib/ollama/complete /etc/gpuvm-setup.conf; do
                stat -c '%n %a %U' "$name"
        done
        echo "pip: $(cat /opt/vllm/requirements.txt)"
        echo "models: $(find /opt/ollama/models -mindepth 1 -maxdepth 1 -printf '%f\n' | sort | paste -sd' ')"
        echo "store: $(findmnt -rno FSTYPE /opt/models) $(findmnt -rno FSTYPE /opt/ollama/models) $(systemctl is-enabled opt-store.mount)"
        install -D -o vllm /dev/null /opt/models/hub/models--c--d/ref
        touch -d '20 days ago' /opt/models/hub/models--c--d/ref
        echo "cleaned: $(MODEL_DAYS=9 VLLM_MODEL=x/y /usr/local/lib/gpuvm-setup/clean | cut -d' ' -f5), left: $(find /opt/models/hub -mindepth 1 -maxdepth 1 -printf '%f\n' | sort | paste -sd' ')"
        runuser -u vllm -- sh -c 'echo mine >/opt/models/hub/models--a--b/ref-2'
        echo "below: $(cat /opt/models/hub/models--a--b/ref*) $(ls /srv/models/hub/models--a--b) $(touch /opt/store/x 2>&1 | grep -o 'Read-only')" | paste -sd' '
        echo "user: $(id -Gn ada) $(passwd -S ada | cut -d' ' -f2)"
        ufw status 2>&1 | awk '/ALLOW/ && !/v6/ { print "ufw:", $1, $3, $4 } /^Status/ { print }'
        ufw status verbose | grep -o 'Default: deny (incoming), allow (outgoing)'
        echo "listens: $(ss -Hltn | awk '{ print $4 }' | sort | paste -sd' ')"
        echo "enabled: $(systemctl is-enabled vllm-proxy.socket ollama-proxy.socket gpuvm-setup.target vllm.service | paste -sd' ')"

        echo '-- backup'
        systemctl start gpuvm-backup@ollama 2>/dev/null
        : >/run/rsyncd
        systemctl start gpuvm-backup@vllm
        /usr/local/lib/gpuvm-setup/check | sed -n 's/[0-9-]*$//; /^model-backup/p'
        touch -d '49 hours ago' /var/lib/gpuvm-backup/vllm/done
        systemctl reset-failed gpuvm-backup@ollama
        /usr/local/lib/gpuvm-setup/check | sed -n 's/[0-9-]*, / DATE, /; /^model-backup/p'
        systemctl start gpuvm-backup@vllm gpuvm-backup@ollama
        journalctl --sync
        journalctl -u 'gpuvm-backup@*' -o cat | grep ^copied | sort -u
        echo "each day: $(systemctl is-active gpuvm-backup@vllm.timer gpuvm-backup@ollama.timer | paste -sd' ')"
        echo '-- 4'
        echo "asleep: $(systemctl is-active vllm ollama | paste -sd' ') $(/usr/local/lib/gpuvm-setup/check engines)"
        systemctl stop ollama-proxy.socket
        echo "nobody listens: $(/usr/local/lib/gpuvm-setup/check engines)"
        systemctl start ollama-proxy.socket
        # Who asks now and then keeps it from stopping, however long the looks take.
        while sleep 0.5; do http http://192.0.2.7:8000/health; done >/dev/null &
        keeper=$!
        echo "vllm: $(http http://192.0.2.7:8000/health) $(systemctl is-active vllm ollama | paste -sd' ') $(/usr/local/lib/gpuvm-setup/check engines)"
        echo "without the key: $(http http://192.0.2.7:8000/v1/models), with it: $(http -H "Authorization: Bearer $secret" http://192.0.2.7:8000/v1/models)"
        /usr/local/lib/gpuvm-setup/check | sed 's/ [0-9]* ms/ N ms/; /^model-backup/s/[^ ]*$/TODAY/' >/run/check
        grep -E '^(vllm|first)' /run/check
        pid=$(systemctl show -P MainPID vllm)
        echo "as: $(stat -c %U "/proc/$pid") $(tr '\0' ' ' <"/proc/$pid/cmdline" | grep -o 'vllm serve.*')"
        echo '-- 2'
        grep -vE '^(vllm|first|ollama)' /run/check
        echo '-- 5'
        grep ^ollama /run/check
        echo '-- secrets'
        grep -lr -e "$secret" -e $token /proc/[0-9]*/cmdline /etc/gpuvm-setup.conf /var/lib/gpuvm-setup 2>/dev/null
        kill "$keeper"
        [ "$pid" -eq 0 ] || kill -9 "$pid"
        sleep 6
        echo '-- 4'
        echo "killed, and there again: $(http http://192.0.2.7:8000/health)"
        echo '-- 5'
        command -v ollama
        while sleep 0.5; do http http://127.0.0.1:11434/; done >/dev/null &
        keeper=$!
        echo "ollama: $(http http://127.0.0.1:11434/api/version) $(systemctl is-active vllm ollama | paste -sd' ')"
        /usr/local/lib/gpuvm-setup/check | grep ^ollama-
        kill "$keeper"
        echo '-- idle'
        asleep
        echo "idle: $(systemctl is-active vllm ollama | paste -sd' ')"
        echo '-- dies'
        touch /shared/broken
        http http://192.0.2.7:8000/health >/run/asked &
        # Who waits for it keeps systemd trying.
        missed=
        while [[ $missed != *fail* ]] && kill -0 %% 2>/dev/null; do
                missed=$(/usr/local/lib/gpuvm-setup/check engines)
        done
        echo "missed: $missed"
        wait
        echo "asked: $(</run/asked)"
        for _ in $(seq 60); do
                journalctl --sync
                ! journalctl -u vllm -o cat | grep -q 'dies as it is asked to' || break
                sleep 0.5
        done
        echo "noticed: $(journalctl -u vllm -o cat | grep 'dies as it is asked to' | sort -u)"
        echo "sockets: $(systemctl is-failed vllm-proxy.socket ollama-proxy.socket | paste -sd' ')"
        rm /shared/broken
        for _ in $(seq 5); do
                status=$(http http://192.0.2.7:8000/health)
                [ "$status" != 200 ] || break
        done
        echo "whole again: $status"
        systemctl enable --quiet vllm
        echo "the boot waits for $(systemctl show -P After multi-user.target | tr ' ' '\n' | grep -c vllm) engines"
        echo '-- cut'
        # As after a power cut in the middle of dpkg.
        dpkg -r gcc >/dev/null 2>&1
        dpkg -s nvtop | sed 's/^Status: .*/Status: install ok unpacked/' >/var/lib/dpkg/updates/0001
        apt-get -qy install gcc 2>&1 | grep -o 'dpkg was interrupted'
        rm -f /run/gpuvm-setup.mended
        sh -euc '. /usr/local/lib/gpuvm-setup/lib.sh; install_packages gcc' >/dev/null 2>&1
        dpkg-query -W -f '${Package} ${db:Status-Status}\n' gcc nvtop
        # And of tar.
        rm /usr/local/lib/ollama/complete
        mkdir /var/tmp/gpuvm-ollama-left
        sed -i '1s/$/\n# cut/' /usr/local/bin/ollama
        sh -euac '. /etc/gpuvm-setup.conf; . /usr/local/lib/gpuvm-setup/lib.sh; . /usr/local/lib/gpuvm-setup/ollama.sh' >/dev/null 2>&1
        echo "ollama: $(cat /usr/local/lib/ollama/complete) $(grep -c '^# cut' /usr/local/bin/ollama) $(find /var/tmp -name 'gpuvm-ollama-*' | wc -l)"
        # A step that restarts the machine does not let the next one begin.
        cp -r /usr/local/lib/gpuvm-setup /run/steps
        echo ': >/run/gpuvm-setup.restarts; exit 1' >/run/steps/gpu.sh
        status=0
        timeout 10 /run/steps/step gpu >/dev/null || status=$?
        echo "restart: $status $(tail -n 1 /var/lib/gpuvm-setup/steps | cut -d' ' -f1,2)"
        echo '-- secrets'
        journalctl --sync
        echo "secrets in the journal: $(journalctl -o cat | grep -c -e "$secret" -e $token)"
        find / /opt -xdev -type f ! -path '/proc/*' ! -path '/shared/*' ! -path '/var/lib/cloud/seed/*' -perm /044 \
                -exec grep -l -e "$secret" -e $token {} + 2>/dev/null
        echo '-- access'
        look() {
                sh -c 'set -a; . /etc/gpuvm-setup.conf; . /usr/local/lib/gpuvm-setup/lib.sh; . /usr/local/lib/gpuvm-setup/access.sh; "$@"' sh "$@"
        }
        # Each thing is turned into what it should not be.
        ufw allow 9100/tcp >/dev/null
        ufw allow OpenSSH >/dev/null
        look of_firewall
        ufw delete allow 53/udp >/dev/null
        look of_firewall
        ufw --force disable >/dev/null
        echo 'PasswordAuthentication yes' >/etc/ssh/sshd_config.d/00-test.conf
        sed -i /swapfile/d /etc/fstab
        chmod g+r /etc/credstore/gpuvm.hf-token
        rm /usr/bin/nvtop
        printf '[Service]\nUser=\n' >/etc/systemd/system/ollama.service.d/zz-test.conf
        systemctl daemon-reload
        systemctl disable --quiet vllm-proxy.socket
        python3 -m http.server -b 127.0.0.1 8000 >/dev/null 2>&1 &
        for _ in $(seq 100); do
                [ "$(http http://127.0.0.1:8000/)" != 200 ] || break
                sleep 0.1
        done
        /usr/local/lib/gpuvm-setup/check | grep -E '^(firewall|ssh-keys|swap|secrets|nvtop|[a-z]*-(user|boot|listen)) '
        kill %%
        wait %% 2>/dev/null
        chmod g-r /etc/credstore/gpuvm.hf-token
        : >/etc/credstore/gpuvm.api-key
        systemctl stop ollama-proxy.socket
        look of_secrets
        look of_listen ollama 127.0.0.1 11434
        systemctl stop vllm-proxy.socket
        look of_listen ollama 192.0.2.9 8000
        echo '-- engines'
        rm /etc/systemd/system/ollama.service.d/zz-test.conf
        for name in both vllm ollama; do
                engines "$name"
        done
}
# engines ENGINE: as on a machine that was made with it.
engines() {
        systemctl disable --quiet --now vllm-proxy.socket ollama-proxy.socket vllm ollama 2>/dev/null
        systemctl stop vllm-proxy ollama-proxy
        rm -f /etc/systemd/system/{vllm,ollama}{-proxy.socket,-proxy.service,.service.d/on-demand.conf}
        sed -i "s/^ENGINE=.*/ENGINE=$1/" /etc/gpuvm-setup.conf
        sh -euac '. /etc/gpuvm-setup.conf; . /usr/local/lib/gpuvm-setup/lib.sh; . /usr/local/lib/gpuvm-setup/engines.sh' >/dev/null 2>&1
        for _ in $(seq 60); do
                [[ $(/usr/local/lib/gpuvm-setup/check engines) != 'engines ok '* ]] || break
                sleep 0.5
        done
        echo "$1: $(systemctl is-enabled vllm ollama | paste -sd' '), $(systemctl is-active vllm ollama | paste -sd' ')," \
                "$(http http://192.0.2.7:8000/health) $(http http://127.0.0.1:11434/) $(/usr/local/lib/gpuvm-setup/check engines)"
        tr '\0' ' ' <"/proc/$(systemctl show -P MainPID vllm)/cmdline" | grep -o 'vllm serve.*'
        /usr/local/lib/gpuvm-setup/check | grep -E '^[a-z]*-(boot|listen|health) '
}
declare -p secret token >"$shared/variables"
machine_boot boot
is 'it ended as it should' "$status" 0
is 'cloud-init takes it all' "$(part init)" "cloud-init: done
errors: none
schema build: Valid schema /shared/schema/build
schema debian: Valid schema /shared/schema/debian
schema desktop: Valid schema /shared/schema/desktop
schema llm: Valid schema /shared/schema/llm
schema llm-without: Valid schema /shared/schema/llm-without
schema server: Valid schema /shared/schema/server
schema verify: Valid schema /shared/schema/verify
schema worker: Valid schema /shared/schema/worker
schema worker-kubeadm: Valid schema /shared/schema/worker-kubeadm"
is 'scenario 8: a step that fails is told, leaves the machine as it is, and goes on where it was' "$(part 8)" "first: boot start boot done firewall start firewall done swap start swap done store start store failed driver start driver failed
units: failed failed inactive active active
ubuntu-drivers did not install driver 580-server-open
'systemctl start gpuvm-setup.target' goes on from here
for the host: engines skip is still setting up its engines, then: engines warn has not come to its engines in its setup
second: store start store failed driver start driver done gpu start gpu done cuda start cuda failed
no key at https://developer.download.nvidia.com/compute/cuda/repos/debian13/x86_64 is one of NVIDIA's that are known here
third: store start store failed cuda start cuda done ollama start ollama done vllm start vllm done engines start engines done models start models done
model-store fail not so: the models of the host are there, read-only
fourth: store start store done
own: own, the engine's: manifests tiny
again: 4"
is 'scenario 3: the open driver of the distribution is taken, and works at once' "$(part 3)" 'drivers: install --gpgpu nvidia:580-server-open
held: nvidia-headless-no-dkms-580-server-open nvidia-utils-580-server
restarts: 0
GPU 0: NVIDIA GeForce RTX 5060 Ti (UUID: GPU-1)'
is 'scenario 1: accounts, modes, firewall and engines are as they should be' "$(part 1)" "boot: 1
vllm: /var/lib/vllm:/usr/sbin/nologin vllm video render
ollama: /usr/share/ollama:/usr/sbin/nologin ollama video render
/opt/models 755 vllm
/opt/ollama/models 755 ollama
/opt/vllm/venv 755 vllm
/opt/vllm/requirements.txt 644 root
/etc/credstore/gpuvm.api-key 600 root
/etc/credstore/gpuvm.hf-token 600 root
/swapfile 600 root
/usr/local/bin/ollama 755 root
/usr/local/lib/ollama/complete 644 root
/etc/gpuvm-setup.conf 644 root
pip: vllm==$version
models: manifests tiny
store: overlay overlay enabled
cleaned: models--c--d, left: models--a--b own
below: shared mine ref Read-only
user: ada adm sudo video render L
Status: active
ufw: 22/tcp Anywhere 
ufw: 8000/tcp 192.0.2.0/24 
ufw: 53/udp Anywhere 
Default: deny (incoming), allow (outgoing)
listens: *:22 127.0.0.1:11434 192.0.2.7:8000
enabled: enabled enabled enabled disabled"
is 'models are copied to where they are to be, and nothing else' "$(part backup)" 'model-backup ok those of vllm were copied on 
model-backup fail the last copy failed: those of ollama have not been copied yet
model-backup warn those of vllm were copied on  DATE, and not since
model-backup skip those of ollama have not been copied yet
copied /opt/models/hub/ rsync://192.0.2.7/models/llm-01/hub/ by vllm, without [/models--a--b/ref]
copied /opt/ollama/models/ rsync://192.0.2.7/models/llm-01/ollama/ by ollama, without []
each day: active active'
is 'scenario 4: vLLM starts when it is asked, answers whom it knows, and survives a crash' "$(part 4)" 'asleep: inactive inactive engines ok has engines that answer
nobody listens: engines fail has no answer from ollama
vllm: 200 active inactive engines ok has engines that answer
without the key: 401, with it: 200
vllm ok vllm 0.19.0
vllm-unit ok its unit is there
vllm-user ok it runs as vllm
vllm-boot ok after a boot it waits to be asked
vllm-listen ok it listens at 192.0.2.7, port 8000, alone
vllm-health ok it answers
vllm-gpu ok it computes on the GPU
first-token ok N ms until the first token
as: vllm vllm serve Qwen/Qwen3-0.6B --host 127.0.0.1 --port 18000 
killed, and there again: 200'
is 'scenario 2: the GPU is seen, its driver and the toolkit are there' "$(part 2)" 'ssh-keys ok it lets in by key alone
firewall ok it lets in ssh and what was asked for, and nothing else
swap ok it is on
secrets ok root alone reads them
nvtop ok it is there
lspci ok 01:00.0 0300: 10de:2d04
open-driver ok nvidia-headless-no-dkms-580-server-open 99
nvidia-smi ok NVIDIA GeForce RTX 5060 Ti, 16311 MiB, 580.95.05
kernel ok what it says of the GPU in its log is no error
model-store ok the models of the host are there, read-only
model-backup ok those of vllm were copied on TODAY
model-backup ok those of ollama were copied on TODAY
cuda ok release 12.9'
is 'scenario 5: Ollama is there, and has the GPU when it is asked' "$(part 5)" 'ollama ok ollama version is 0.32.7
ollama-unit ok its unit is there
ollama-user ok it runs as ollama
ollama-boot ok after a boot it waits to be asked
ollama-listen ok it listens at 127.0.0.1, port 11434, alone
ollama-health skip it does not run
ollama-list skip ollama does not run
ollama-gpu skip ollama does not run
/usr/local/bin/ollama
ollama: 200 inactive active
ollama-unit ok its unit is there
ollama-user ok it runs as ollama
ollama-boot ok after a boot it waits to be asked
ollama-listen ok it listens at 127.0.0.1, port 11434, alone
ollama-health ok it answers
ollama-list ok it lists its models
ollama-gpu ok it has found the GPU'
is 'who is not asked stops' "$(part idle)" 'idle: inactive inactive'
is 'an engine that dies is noticed at once, tried again, and in nobody'"'"'s way' "$(part dies)" 'missed: engines fail has no answer from vllm
asked: 000
noticed: dies as it is asked to
sockets: active active
whole again: 200
the boot waits for 0 engines'
is 'what was cut short is done again' "$(part cut)" 'dpkg was interrupted
gcc installed
nvtop installed
ollama: 0.32.7 0 0
restart: 124 gpu restarts'
is 'secrets are where they belong alone' "$(part secrets)" 'secrets in the journal: 0'
is 'who gets at it in another way than was asked is told' "$(part access)" 'firewall warn it lets in more than was asked for: 9100/tcp,OpenSSH
firewall fail it does not let in what was asked for: 53/udp
ssh-keys fail it lets in without a key: passwordauthentication yes
firewall fail it is off, or lets in whatever nobody forbids
swap fail not so: it is on
secrets fail others may read /etc/credstore/gpuvm.hf-token
nvtop fail not so: it is there
vllm-user ok it runs as vllm
vllm-boot fail not so: after a boot it waits to be asked
vllm-listen fail it listens at 127.0.0.1:8000 as well, which nobody asked for
ollama-user fail it runs as root
ollama-boot ok after a boot it waits to be asked
ollama-listen ok it listens at 127.0.0.1, port 11434, alone
secrets fail others reach vLLM, which has no key
ollama-listen fail nobody listens at port 11434
ollama-listen fail nobody reaches it: this machine has no address 192.0.2.9'
is 'engines beside each other, and each alone' "$(part engines)" 'both: enabled enabled, active active, 200 200 engines ok has engines that answer
vllm serve Qwen/Qwen3-0.6B --host 192.0.2.7 --port 8000 --gpu-memory-utilization 0.5 
vllm-boot ok it starts with the machine
vllm-listen ok it listens at 192.0.2.7, port 8000, alone
vllm-health ok it answers
ollama-boot ok it starts with the machine
ollama-listen ok it listens at 127.0.0.1, port 11434, alone
ollama-health ok it answers
vllm: enabled disabled, active inactive, 200 000 engines ok has engines that answer
vllm serve Qwen/Qwen3-0.6B --host 192.0.2.7 --port 8000 
vllm-boot ok it starts with the machine
vllm-listen ok it listens at 192.0.2.7, port 8000, alone
vllm-health ok it answers
ollama: disabled enabled, inactive active, 000 200 engines ok has engines that answer
ollama-boot ok it starts with the machine
ollama-listen ok it listens at 127.0.0.1, port 11434, alone
ollama-health ok it answers'
done_testing
