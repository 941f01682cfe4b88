# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
# Models: those that Ollama has from the start, PULL_MODELS.

listen=$OLLAMA_LISTEN
case $listen in
0.0.0.0 | ::) listen=127.0.0.1 ;;
*:*) listen="[$listen]" ;;
esac
for model in $PULL_MODELS; do
        OLLAMA_HOST=$listen:$OLLAMA_PORT HOME=/root ollama pull "$model" >/dev/null ||
                fail "Ollama cannot get the model $model; 'ollama pull $model' shows why"
done
