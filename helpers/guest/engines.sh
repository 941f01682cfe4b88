# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
# Engines: which of them serve, ENGINE: one of them, both beside each other, or each when somebody asks it: then systemd
# listens in its place, starts it, stops the other one, which has the GPU, and stops it after IDLE without a connection.

units=/etc/systemd/system

# on_demand NAME OTHER LISTEN PORT
on_demand() {
        own=$(($4 < 50000 ? $4 + 10000 : $4 - 10000))
        listen=$3
        case $listen in
        *:*) listen="[$listen]" ;;
        esac
        mkdir -p "$units/$1.service.d"
        cat >"$units/$1.service.d/on-demand.conf" <<UNIT
[Unit]
Conflicts=$2.service
StopWhenUnneeded=yes
UNIT
        cat >"$units/$1-proxy.socket" <<UNIT
[Unit]
Description=Starts $1 for who connects

[Socket]
ListenStream=$listen:$4
FreeBind=yes

[Install]
WantedBy=sockets.target
UNIT
        cat >"$units/$1-proxy.service" <<UNIT
[Unit]
Description=Goes between $1 and who connects
Requires=$1.service
After=$1.service

[Service]
ExecStart=/lib/systemd/systemd-socket-proxyd --exit-idle-time=$IDLE 127.0.0.1:$own
User=nobody
PrivateTmp=yes
ProtectSystem=strict
NoNewPrivileges=yes
UNIT
}

if [ "$ENGINE" = on-demand ]; then
        on_demand vllm ollama "$VLLM_LISTEN" "$VLLM_PORT"
        on_demand ollama vllm "$OLLAMA_LISTEN" "$OLLAMA_PORT"
fi
systemctl daemon-reload
case $ENGINE in
on-demand)
        systemctl enable --now vllm-proxy.socket ollama-proxy.socket
        ;;
both)
        systemctl enable vllm.service ollama.service
        systemctl start ollama.service
        systemctl start --no-block vllm.service
        ;;
ollama)
        systemctl enable ollama.service
        systemctl start ollama.service || fail "Ollama does not start; 'journalctl -u ollama' tells why"
        ;;
vllm)
        systemctl enable vllm.service
        # The model is still to come, which is no part of the setup.
        systemctl start --no-block vllm.service
        ;;
esac
# They are vLLM's.
if [ "$MODEL_DAYS" -gt 0 ] && [ "$ENGINE" != ollama ]; then
        systemctl enable --now gpuvm-models.timer
fi
for each in vllm ollama; do
        case ${MODEL_BACKUP:+$ENGINE} in
        on-demand | both | "$each") systemctl enable --now "gpuvm-backup@$each.timer" ;;
        esac
done
