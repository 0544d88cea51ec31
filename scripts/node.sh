#!/usr/bin/env bash
# Installs the npm packages of a folder (its package-lock.json) into a kept folder outside the checkout and prints it;
# does nothing when they are there. The folder's own files are copied beside them.
#
#   scripts/node.sh DIR
set -euo pipefail

from=$(cd "$1" && pwd)
command -v npm >/dev/null || { echo "scripts/node.sh: no npm on this machine: install Node.js 20 or later" >&2; exit 1; }
kept=${XDG_CACHE_HOME:-$HOME/.cache}/gatehouse/node
name=$(cat "$from"/package.json "$from"/package-lock.json | git hash-object --stdin)
dir=$kept/${name:0:16}
mkdir -p "$kept"
exec 9>"$kept/lock"
flock 9
if [[ ! -d $dir ]]; then
	fresh=$(mktemp -d "$kept/install-XXXXXX")
	# shellcheck disable=SC2064 # this one folder
	trap "rm -rf '$fresh'" EXIT
	cp "$from"/package.json "$from"/package-lock.json "$from"/.npmrc "$fresh"
	(cd "$fresh" && npm ci --no-progress >&2)
	mv -T "$fresh" "$dir"
fi
cp "$from"/*.mjs "$dir"
printf '%s\n' "$dir"
