# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
# Store: MODEL_STORE of the host, by virtiofs and read-only, below the places where the engines have their models. What they download or
# remove is the guest's own: hub/ is laid out as HF_HOME has it, ollama/ as OLLAMA_MODELS.

# First, since the engines are installed and use these places also where the rest fails; what they have there by then lies above the store
# from the day that it comes.
mkdir -p /opt/models /opt/ollama/models /opt/.store/models /opt/.store/ollama
systemctl enable --quiet --now opt-store.mount ||
        fail "the host's models cannot be mounted: 'systemctl status opt-store.mount' tells why; the host shares them as long as virtiofsd runs there"
[ -d /opt/store/hub ] || [ -d /opt/store/ollama ] ||
        fail "neither hub/ nor ollama/ is in $MODEL_STORE on the host: put the models there, and start gpuvm-setup.target again"
systemctl enable --quiet --now opt-models.mount opt-ollama-models.mount ||
        fail "the host's models cannot be laid below the guest's: 'journalctl -u opt-models.mount -u opt-ollama-models.mount' tells why"
# Engines that are there already, from a time without it; one that runs sees it at once.
if id vllm >/dev/null 2>&1; then own vllm /opt/models; fi
if id ollama >/dev/null 2>&1; then own ollama /opt/ollama/models; fi
