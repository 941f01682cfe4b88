# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
# Cuda: NVIDIA's toolkit, CUDA_TOOLKIT, as 12.9 or newest, from its own repository: which is for that alone, and never
# replaces a driver.

# Two keys have been in use; a repository is signed by one of them.
keys='3bf863cc.pub EB693B3035CD5710E231E123A4B469963BF863CC
8793F200.pub 02182E60104FCDC26EAE1B8597A5D4CB8793F200'
keyring=/etc/apt/keyrings/gpuvm-cuda.asc

repository() {
        . /etc/os-release
        case $(dpkg --print-architecture) in
        arm64) arch=sbsa ;;
        *) arch=x86_64 ;;
        esac
        echo "https://developer.download.nvidia.com/compute/cuda/repos/$ID$(echo "$VERSION_ID" | tr -d .)/$arch"
}

# fetch_key URL: the fingerprint is what is trusted, not who sends it.
fetch_key() {
        echo "$keys" | while read -r file fingerprint; do
                curl --fail --silent --location --proto =https --retry 3 --connect-timeout 30 --max-time 60 \
                        --output "$keyring.new" "$1/$file" || continue
                # That one alone: whatever else were in the file would be trusted as well.
                found=$(gpg --batch --show-keys --with-colons "$keyring.new" 2>/dev/null || :)
                if [ "$(echo "$found" | grep -c '^pub:')" -eq 1 ] && echo "$found" | grep -q ":$fingerprint:\$"; then
                        mv "$keyring.new" "$keyring"
                        break
                fi
        done
        rm -f "$keyring.new"
        [ -e "$keyring" ] || fail "no key at $1 is one of NVIDIA's that are known here"
}

package=cuda-toolkit
[ "$CUDA_TOOLKIT" = newest ] || package=cuda-toolkit-$(echo "$CUDA_TOOLKIT" | tr . -)
if ! is_installed "$package"; then
        install_packages curl ca-certificates gpg
        url=$(repository)
        [ -e "$keyring" ] || fetch_key "$url"
        printf 'Package: *\nPin: origin developer.download.nvidia.com\nPin-Priority: 100\n' >/etc/apt/preferences.d/gpuvm-cuda
        printf 'Types: deb\nURIs: %s/\nSuites: /\nSigned-By: %s\n' "$url" "$keyring" >/etc/apt/sources.list.d/gpuvm-cuda.sources
        rm -f /run/gpuvm-setup.updated
        install_packages "$package"
fi
for program in nvcc cuda-gdb; do
        [ ! -x "/usr/local/cuda/bin/$program" ] || ln -sf "/usr/local/cuda/bin/$program" "/usr/local/bin/$program"
done
nvcc --version | tail -n 2
