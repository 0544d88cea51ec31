#!/usr/bin/env bash
# Proves that a machine with nothing of ours can build and test: clones the current commit, and makes the given targets
# with an empty home and empty caches. Prints how long each took.
#
#   scripts/bare.sh [target ...]   (default: test)
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bare=$(mktemp -d)
cleanup() {
	chmod -R u+w "$bare" # Go's module cache is read-only
	rm -rf "$bare"
}
trap cleanup EXIT
chmod 711 "$bare" # PostgreSQL runs as a user of its own and must pass

git clone --quiet --no-hardlinks "$root" "$bare/gatehouse"
cd "$bare/gatehouse"
mkdir "$bare/home"
export HOME=$bare/home GOPATH=$bare/home/go GOMODCACHE=$bare/home/go/mod GOCACHE=$bare/home/go/cache
unset XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME GOBIN GOLANGCI_LINT_CACHE npm_config_cache

for target in "${@:-test}"; do
	began=$SECONDS
	make "$target"
	printf 'bare: make %s took %d s\n' "$target" $((SECONDS - began))
done
