# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
# Vllm: one release of it, VLLM_VERSION, in a Python environment of its own that belongs to an account of its own. pip compares
# each file with the sum that the index has for it; what came of it is in /opt/vllm/requirements.txt.

venv=/opt/vllm/venv

as_vllm() {
        runuser -u vllm -- env HOME=/var/lib/vllm PIP_NO_INPUT=1 PIP_DISABLE_PIP_VERSION_CHECK=1 "$@"
}

version() {
        [ -x "$venv/bin/pip" ] || return 0
        as_vllm "$venv/bin/pip" list 2>/dev/null | awk '$1 == "vllm" { print $2 }'
}

# Kernels are compiled as they are needed.
install_packages python3-venv python3-dev gcc libc6-dev curl
make_user vllm /var/lib/vllm
install -d -o vllm -g vllm -m 755 /opt/vllm /opt/models
own vllm /opt/models
if [ "$(version)" != "$VLLM_VERSION" ] || [ ! -e "$venv/complete" ]; then
        # What is left of a try that was cut short may look whole to pip, which has its downloads still.
        [ -e "$venv/complete" ] || rm -rf "$venv"
        rm -f "$venv/complete"
        [ -x "$venv/bin/pip" ] || as_vllm python3 -m venv "$venv"
        as_vllm "$venv/bin/pip" install --quiet --retries 5 "vllm==$VLLM_VERSION" ||
                fail "pip cannot install vLLM $VLLM_VERSION; what it says is above. --vllm-version takes another one"
        as_vllm "$venv/bin/pip" freeze >/opt/vllm/requirements.txt
        sync
        as_vllm touch "$venv/complete"
fi
# The units take secrets from there; one that was not given is empty, and what others reach has a key.
install -d -m 700 /etc/credstore
for secret in api-key hf-token; do
        file=/etc/credstore/gpuvm.$secret
        [ -e "$file" ] || install -m 600 /dev/null "$file"
done
if [ "$VLLM_OPEN" = yes ] && [ ! -s /etc/credstore/gpuvm.api-key ]; then
        head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' >/etc/credstore/gpuvm.api-key
fi
chmod 600 /etc/credstore/gpuvm.*
