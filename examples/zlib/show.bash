#!/usr/bin/env bash
# Runs squeeze with zlib linked in, with its stubs, and with the replacement; all must print, and write, the same.
#   show.bash FOLDER     of the programs
set -euo pipefail
cd "$1"

work=$(mktemp -d "${TMPDIR:-/tmp}/vmrpc-zlib.XXXXXX")
server=
trap 'rm -rf "$work"; [ -z "$server" ] || kill "$server" 2>/dev/null || true' EXIT
export XDG_RUNTIME_DIR=$work VMRPC_ZLIB="local:zlib?timeout=20s"
read -ra run <<<"${VMRPC_EMULATOR:-}"

"${run[@]}" ./squeeze "$work/direct.gz" >"$work/direct"
sed 's/^/  /' "$work/direct"
"${run[@]}" ./zlibd local:zlib &
server=$!
"${run[@]}" ./squeeze_remote "$work/remote.gz" >"$work/remote"
LD_LIBRARY_PATH=$PWD/zlib_replacement "${run[@]}" ./squeeze "$work/replaced.gz" >"$work/replaced"
kill "$server"
wait "$server"
server=

for way in remote replaced; do
	diff "$work/direct" "$work/$way" >&2 && cmp "$work/direct.gz" "$work/$way.gz" || {
		echo "not the same: $way" >&2
		exit 1
	}
done
echo "The same, with zlib in another process: linked with its stubs, and, the program left as it is, by LD_LIBRARY_PATH."
