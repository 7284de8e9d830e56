#!/usr/bin/env bash
# Installs the Debian packages that Lagoon builds on, and nothing when they are there. Needs root or sudo only to install.
set -euo pipefail

packages=(
  pkg-config libc6-dev libstdc++-12-dev
  liblmdb-dev libzstd-dev libxxhash-dev  # store
  libhwy-dev libdnnl-dev                 # kernels, matmul
  libonig-dev                            # tokenizers' patterns
  libpng-dev                             # heat map
  libsentencepiece-dev                   # tokenizer.model
  bible-kjv                              # the demo's document
)

command -v swift >/dev/null || {
  echo "setup: Swift is not on PATH. Install Swift 6.3 or newer: https://www.swift.org/install/linux/" >&2
  exit 1
}

missing=()
for package in "${packages[@]}"; do
  state=$(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null || true)
  [ "${state:0:2}" = "ii" ] || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

echo "setup: installing ${missing[*]}"
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || {
    echo "setup: not root and no sudo; run as root: apt-get install ${missing[*]}" >&2
    exit 1
  }
  as_root=(sudo)
fi
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
