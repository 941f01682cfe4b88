# bash completion for vmctl

_vmctl() {
        local cur=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}
        local command= options= words= i

        case $previous in
        --connect|-c) COMPREPLY=($(compgen -W "qemu:///system qemu:///session test:///default" -- "$cur")); return ;;
        --api-key-file) COMPREPLY=($(compgen -f -- "$cur")); return ;;
        --arch) COMPREPLY=($(compgen -W "amd64 arm64" -- "$cur")); return ;;
        --bundle) COMPREPLY=($(compgen -f -- "$cur")); return ;;
        --engine) COMPREPLY=($(compgen -W "on-demand vllm ollama both" -- "$cur")); return ;;
        --firmware) COMPREPLY=($(compgen -W "uefi bios" -- "$cur")); return ;;
        --from) COMPREPLY=($(compgen -W "ubuntu-24.04 debian-13" -- "$cur")); return ;;
        --hf-token-file) COMPREPLY=($(compgen -f -- "$cur")); return ;;
        --hugepages) COMPREPLY=($(compgen -W "2M 1G" -- "$cur")); return ;;
        --image) COMPREPLY=($(compgen -f -- "$cur")); return ;;
        --join) COMPREPLY=($(compgen -f -- "$cur")); return ;;
        --machine-config) COMPREPLY=($(compgen -f -- "$cur")); return ;;
        --model-store) COMPREPLY=($(compgen -f -- "$cur")); return ;;
        --output|-o) COMPREPLY=($(compgen -f -- "$cur")); return ;;
        --rom) COMPREPLY=($(compgen -f -- "$cur")); return ;;
        --root) COMPREPLY=($(compgen -f -- "$cur")); return ;;
        --ssh-key) COMPREPLY=($(compgen -f -- "$cur")); return ;;
        --svg) COMPREPLY=($(compgen -f -- "$cur")); return ;;
        --user-data) COMPREPLY=($(compgen -f -- "$cur")); return ;;
        esac
        for ((i = 1; i < COMP_CWORD; i++)); do
                case ${COMP_WORDS[i]} in
                -c|--connect) ((i++)) ;;
                -*) ;;
                *) command+="${command:+ }${COMP_WORDS[i]}" ;;
                esac
        done
        case "$command " in
        'create '*) options='--api-key-file= --autostart --clocks= --cpus= --cuda-toolkit= --description= --disk= --driver= --driver-updates --dry-run
--engine= --firewall= --firmware= --gateway= --gpu= --hf-token-file= --hugepages= --idle= --image= --ip=
--join= --listen= --mac= --machine-config= --memory= --model-backup= --model-days= --model-store= --name= --network=
--no-gpu --ollama-listen= --ollama-models= --ollama-port= --ollama-sum= --ollama-version= --packages= --persistenced --pin --release=
--rom= --root= --schematic= --server --ssh-key= --swap= --talos-version= --timeout= --user= --user-data=
--vllm-arguments= --vllm-model= --vllm-port= --vllm-version= --wait ' words="talos ubuntu debian llm worker" ;;
        'list '*) options='--all ' words="" ;;
        'info '*) options='' words="$(vmctl list --quiet 2>/dev/null)" ;;
        'start '*) options='--dry-run --timeout= --wait ' words="$(vmctl list --quiet 2>/dev/null)" ;;
        'stop '*) options='--dry-run --force --timeout= ' words="$(vmctl list --quiet 2>/dev/null)" ;;
        'restart '*) options='--dry-run --force --timeout= --wait ' words="$(vmctl list --quiet 2>/dev/null)" ;;
        'delete '*) options='--dry-run --force --yes ' words="$(vmctl list --quiet 2>/dev/null)" ;;
        'ssh '*) options='--dry-run --user= ' words="$(vmctl list --quiet 2>/dev/null)" ;;
        'console '*) options='--dry-run ' words="$(vmctl list --quiet 2>/dev/null)" ;;
        'gpu status '*) options='--root= --svg= --tree ' words="" ;;
        'gpu attach '*) options='--dry-run --root= --stop-units --when-idle= --yes ' words="$(vmctl list --quiet 2>/dev/null)" ;;
        'gpu detach '*) options='--dry-run --root= --timeout= ' words="$(vmctl list --quiet 2>/dev/null)" ;;
        'gpu holders '*) options='--root= ' words="" ;;
        'gpu mode '*) options='--dry-run --root= ' words="exclusive flexible" ;;
        'gpu reset '*) options='--dry-run --root= ' words="" ;;
        'gpu recover '*) options='--dry-run --root= ' words="" ;;
        'check '*) options='--bundle= --dry-run --fix --gpu-compute --root= --smoke --yes ' words="$(vmctl list --quiet 2>/dev/null)" ;;
        'doctor '*) options='--bundle= --dry-run --fix --gpu-compute --root= --smoke --yes ' words="$(vmctl list --quiet 2>/dev/null)" ;;
        'validate '*) options='--root= ' words="" ;;
        'diff '*) options='--root= ' words="$(vmctl list --quiet 2>/dev/null)" ;;
        'apply '*) options='--dry-run --root= --timeout= --wait --yes ' words="$(vmctl list --quiet 2>/dev/null)" ;;
        'export '*) options='' words="$(vmctl list --quiet 2>/dev/null)" ;;
        'import-catalog '*) options='--dry-run --force --from= --output= --root= ' words="" ;;
        'events '*) options='--follow ' words="" ;;
        'metrics '*) options='--output= --root= ' words="" ;;
        'ip list '*) options='--all ' words="" ;;
        'ip check '*) options='--all ' words="" ;;
        'image list '*) options='' words="" ;;
        'image pull '*) options='--arch= --no-gpu --refresh --schematic= ' words="talos ubuntu debian" ;;
        'image build '*) options='--compress --cpus= --dry-run --firmware= --from= --memory= --network= --no-verify --packages= --refresh
--size= --timeout= --with-cuda --with-nvidia= ' words="gpu-worker" ;;
        'image verify '*) options='--cpus= --firmware= --memory= --network= --timeout= ' words="" ;;
        'image remove '*) options='--dry-run --yes ' words="" ;;
        'image gc '*) options='--all --dry-run ' words="" ;;
        'completion '*) options='' words="bash zsh fish" ;;
        'help '*) options='' words="" ;;
        'gpu '*) words='status attach detach holders mode reset recover' ;;
        'ip '*) words='list check' ;;
        'image '*) words='list pull build verify remove gc' ;;
        *) words='create list info start stop restart delete ssh console gpu check doctor validate diff apply export import-catalog events metrics ip image completion help' ;;
        esac
        [[ $cur != -* ]] || words="$options--help --version --connect= --json --quiet --verbose "
        COMPREPLY=($(compgen -W "$words" -- "$cur"))
        [[ ${COMPREPLY[*]} != *= ]] || compopt -o nospace
}
complete -F _vmctl vmctl
