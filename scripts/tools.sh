#!/usr/bin/env bash
# Prints the folder of the pinned tools (buf, golangci-lint, benchstat, protoc-gen-go: the tool lines of tools/go.mod).
# They are built when they are missing, which takes minutes, and kept outside the checkout under a name that changes
# with what they are built from; so every checkout and branch finds its own.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../tools"
export GOWORK=off

from=$({ cat go.mod go.sum && go env GOVERSION GOOS GOARCH; } | git hash-object --stdin)
kept=${XDG_CACHE_HOME:-$HOME/.cache}/gatehouse/tools
dir=$kept/${from:0:16}

build() {
	local fresh
	fresh=$(mktemp -d "$kept/build-XXXXXX")
	# shellcheck disable=SC2064 # this one folder
	trap "rm -rf '$fresh'" EXIT
	printf 'scripts/tools.sh: building the pinned tools into %s, once\n' "$dir" >&2
	GOBIN=$fresh go install -mod=readonly tool >&2
	chmod 755 "$fresh"
	mv -T "$fresh" "$dir"
}

if [[ ! -d $dir ]]; then
	mkdir -p "$kept"
	# One builds, the others wait and find it done.
	exec 9>"$kept/lock"
	flock 9
	[[ -d $dir ]] || build
fi
printf '%s\n' "$dir"
