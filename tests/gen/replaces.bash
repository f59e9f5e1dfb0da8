# A program that was linked with a shared library runs on the library's replacement: with a server it prints the same,
# without one it says what to do; so it does where it calls what the service does not carry.
# Environment: VMRPC_MEASURE_FOLDER, VMRPC_EMULATOR.
set -euo pipefail
export LC_ALL=C
cd "$VMRPC_MEASURE_FOLDER"

work=$(mktemp -d "${TMPDIR:-/tmp}/vmrpc-gen.XXXXXX")
server=
trap 'rm -rf "$work"; [ -z "$server" ] || kill "$server" 2>/dev/null || true' EXIT
export XDG_RUNTIME_DIR=$work
read -ra run <<<"${VMRPC_EMULATOR:-}"

fail() {
	echo "$*" >&2
	exit 1
}
replaced() {
	LD_LIBRARY_PATH=$PWD/measure_replacement "${run[@]}" ./measure_program "$@" 2>"$work/errors"
}
# dies WORDS ARGUMENT...: it ends by abort, having said so.
dies() {
	local words=$1 status=0
	shift
	{ replaced "$@" >"$work/output" || status=$?; } 2>/dev/null # the shell would say "Aborted"
	[ "$status" -eq 134 ] || fail "on the replacement, '$*' ended with $status"
	grep -qF "$words" "$work/errors" || { cat "$work/errors" >&2; fail "on the replacement, '$*' did not say: $words"; }
}
ulimit -c 0

"${run[@]}" ./measure_program >"$work/direct"
grep -qx 'area: 12, in version 1: -12' "$work/direct" || fail "the program itself is wrong"

dies 'no server is at '
for words in 'measure_double' 'service measure' "$work/vmrpc/measure" 'start it'; do
	grep -qF "$words" "$work/errors" || { cat "$work/errors" >&2; fail "without server the program does not say: $words"; }
done

"${run[@]}" ./measured &
server=$!
export VMRPC_MEASURE='local:measure?timeout=20s'
replaced >"$work/remote" || { cat "$work/errors" >&2; fail "the program failed on the replacement"; }
diff -u "$work/direct" "$work/remote" >&2 || fail "on the library (-) and on its replacement (+) the program differs"

# What the service lacks.
dies 'the call of measure_secret in service measure failed: ' secret
diff -u "$work/direct" "$work/output" >&2 || fail "before it failed, the program differed"
grep -qF 'libmeasure.so.3 was replaced' "$work/errors" || fail "the library is not named"
dies 'the call of measure_half@MEASURE_1 in service measure failed: ' half

kill "$server"
wait "$server" || fail "the server ended with $?"
server=

# The same symbols in the same versions, without the variable.
symbols() {
	readelf --dyn-syms --wide "$1" | awk '$7 ~ /^[0-9]+$|ABS/ && $4 != "NOTYPE" { print $4, $8 }' | sort -u
}
versions() {
	readelf --version-info --wide "$1" | sed -n '/definition/,/^$/p' |
		sed -nE 's/.*(Flags: [^ ]+) .*(Name: .*)/\1 \2/p; s/.*(Parent.*)/\1/p'
}
symbols libmeasure.so | grep -v measure_unit >"$work/original"
symbols measure_replacement/libmeasure.so.3 >"$work/replacement"
diff -u "$work/original" "$work/replacement" >&2 || fail "the library (-) and its replacement (+) export differently"
versions libmeasure.so >"$work/original"
versions measure_replacement/libmeasure.so.3 >"$work/replacement"
[ "$(wc -l <"$work/original")" -ge 3 ] && diff -u "$work/original" "$work/replacement" >&2 ||
	fail "the library (-) and its replacement (+) define different versions"
