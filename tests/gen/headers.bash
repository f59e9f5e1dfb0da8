# vmrpcgen reads what lies in /usr/include: for every header that is C by itself --explain says something about each
# function, and for the others why not; it never crashes. Prints how much was carried without a word, and how much is
# asked. Environment: VMRPC_SOURCE, VMRPCGEN.
set -euo pipefail
export LC_ALL=C

work=$(mktemp -d "${TMPDIR:-/tmp}/vmrpc-gen.XXXXXX")
trap 'rm -rf "$work"' EXIT

mapfile -t headers < <(find /usr/include/ -maxdepth 1 -name '*.h' | sort)
[ ${#headers[@]} -gt 20 ] || { echo "skipped: there are no headers here"; exit 77; }
printf '%s\n' "${headers[@]}" | WORK=$work xargs -P "$(nproc)" -n 8 bash -c '
	for header; do
		log=$WORK/$(basename "$header")
		"$VMRPCGEN" --explain "$header" -- -I"$VMRPC_SOURCE/include" >"$log.out" 2>"$log.err" && status=0 || status=$?
		case $status in
		0) tail -n 1 "$log.out" >>"$WORK/read" ;;
		1) grep -q ": error: " "$log.err" && echo "$header" >>"$WORK/not_c" || echo "$header: no reason" >>"$WORK/wrong" ;;
		*) echo "$header: exit status $status" >>"$WORK/wrong" ;;
		esac
	done' -
if [ -e "$work/wrong" ]; then
	cat "$work/wrong" >&2
	exit 1
fi
touch "$work/not_c"
# "stdio: 80 functions; of their parameters and results 153 inferred, 0 written, 60 refused"
awk -v not_c="$(wc -l <"$work/not_c")" '
	{ functions += $2; inferred += $9; refused += $13 }
	END { printf "%d headers, %d that are no C alone: %d functions; of their values %d inferred, %d asked\n",
		NR, not_c, functions, inferred, refused; exit !(functions > 100 && inferred > 100 && refused > 100) }' "$work/read"
