#!/usr/bin/env bash
# Installs packages of Debian or Ubuntu, as root or with sudo.
#
#   scripts/apt.sh PACKAGE ...
set -euo pipefail

fail() {
	printf 'scripts/apt.sh: %s\n' "$*" >&2
	exit 1
}

command -v apt-get >/dev/null || fail "there is no apt-get on this machine: install $* another way"
as_root=()
if [[ $EUID -ne 0 ]]; then
	command -v sudo >/dev/null || fail "run this as root (there is no sudo), or apt-get install $*"
	as_root=(sudo --)
fi

apt() {
	"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive UCF_FORCE_CONFFOLD=1 apt-get -qq -o DPkg::Lock::Timeout=300 "$@" >&2
}

printf 'scripts/apt.sh: installing %s\n' "$*" >&2
install=(install -y --no-install-recommends -o Dpkg::Options::=--force-confold "$@")
# The lists of a fresh machine are empty, those of an old one may name files that are gone.
if [[ -z $(apt-cache madison "$1" 2>/dev/null) ]] || ! apt "${install[@]}"; then
	apt update
	apt "${install[@]}"
fi
