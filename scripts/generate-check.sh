#!/usr/bin/env bash
# Regenerates the code of proto/ beside the tree and compares: what is committed must be what the contracts give.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=$(scripts/tools.sh)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r proto "$work/proto"
find "$work/proto" -name '*.pb.go' -delete
(cd "$work/proto" && PATH="$tools:$PATH" "$tools/buf" generate)
diff -r proto "$work/proto" || { echo "generated code is not up to date: make generate" >&2; exit 1; }
