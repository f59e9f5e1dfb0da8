#!/usr/bin/env bash
# Writes the goldens anew: tests/gen/regenerate.bash BUILD/vmrpcgen/vmrpcgen. Then read what git says has changed.
set -euo pipefail
[ $# = 1 ] || { sed -n '2s/^# //p' "$0"; exit 1; }
generator=$(realpath "$1")
cd "$(dirname "$0")"
. ./goldens.bash
make_goldens "$generator" golden
