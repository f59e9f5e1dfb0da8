# One program over a wide interface, linked with the library and with its stubs, prints the same; a server with
# another layout refuses that one function. Environment: VMRPC_WIDE_FOLDER, and MAP=any for two addresses.
set -euo pipefail
export LC_ALL=C
cd "$VMRPC_WIDE_FOLDER"

work=$(mktemp -d "${TMPDIR:-/tmp}/vmrpc-gen.XXXXXX")
server=
trap 'rm -rf "$work"; [ -z "$server" ] || kill "$server" 2>/dev/null || true' EXIT
export XDG_RUNTIME_DIR=$work VMRPC_WIDE="local:wide?timeout=20s${MAP:+&map=$MAP}"
read -ra run <<<"${VMRPC_EMULATOR:-}"

"${run[@]}" ./wide_direct >"$work/direct"
[ "$(wc -l <"$work/direct")" -ge 25 ] || { echo "the program says too little" >&2; exit 1; }
VMRPC_WIDE=local:wide "${run[@]}" ./wide_daemon &
server=$!
"${run[@]}" ./wide_remote >"$work/remote" || { echo "the remote program failed" >&2; exit 1; }
diff -u "$work/direct" "$work/remote" >&2 || { echo "direct (-) and remote (+) differ" >&2; exit 1; }

"${run[@]}" ./wide_changed >"$work/changed"
grep -q '^middle: refused: wide.wide_middle differs: here it is ".*struct wide_point {f32 x@0; f32 y@4; } of 8.*at the server ".*{f64 x@0; f64 y@8; } of 16' "$work/changed" && grep -qx 'add: 0 7' "$work/changed" || {
	echo "with another struct wide_point at the client:" >&2
	cat "$work/changed" >&2
	exit 1
}
kill "$server"
wait "$server" || { echo "the server ended with $?" >&2; exit 1; }
server=
