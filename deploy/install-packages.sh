#!/usr/bin/env bash
# Installs the Debian 12 packages that Tandem needs; the only place where they are listed.
#
# usage: deploy/install-packages.sh [--check] GROUP...
#   build    compiler and libraries of the daemon       runtime  what a built binary needs
#   model    what fetching the default model needs      test     what ./test needs on top of build and model
#   long     what ./test --long needs on top of test
#
# Does nothing, and needs no rights, when all of them are there. Not root: uses sudo; without sudo it prints the
# apt line to run and stops. --check installs nothing: exit code 0 all there, 1 something is missing.
set -euo pipefail

build=(g++ cmake ninja-build ccache pkg-config libgrpc++-dev protobuf-compiler-grpc libprotobuf-dev
       protobuf-compiler libabsl-dev prometheus-cpp-dev nlohmann-json3-dev libpcre2-dev libboost1.81-dev libisal-dev
       libutf8proc-dev libyaml-cpp-dev)
runtime=(libgrpc++1.51 libprotobuf32 libabsl20220623 libprometheus-cpp-core1.0 libpcre2-8-0 libisal2 libutf8proc2
         libyaml-cpp0.7)
model=(python3 python3-pip)
test=(libgtest-dev libgmock-dev clang-format python3 python3-pip python3-venv)
long=(clang clang-tidy)

usage() {
  sed -n '4,10s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
  exit 2
}

check=no
[ "${1:-}" = --check ] && { check=yes; shift; }
[ $# -gt 0 ] || usage
packages=()
for group in "$@"; do
  case $group in
    build | runtime | model | test | long) declare -n list=$group; packages+=("${list[@]}") ;;
    *) echo "unknown group '$group'" >&2; usage ;;
  esac
done

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  echo "no apt here: install the Debian 12 packages ${packages[*]} by other means" >&2
  exit 2
fi
# dpkg-query fails when it does not know one of them, and still tells of the others.
status=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${packages[@]}" 2>/dev/null || true)
missing=()
for package in "${packages[@]}"; do
  [[ " ${missing[*]} " == *" $package "* ]] || grep -qxF -- "installed $package" <<<"$status" || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0
[ $check = no ] || exit 1

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "packages are missing and there is no sudo here; as root, run:" >&2
    echo "  apt-get update && apt-get install -y --no-install-recommends ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
fi
"${as_root[@]}" apt-get update
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"
