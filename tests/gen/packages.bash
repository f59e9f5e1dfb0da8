# vmrpcgen reads every header of the Debian packages in packages.list, which it installs where it may. It ends well on
# each, in time, and says of every function whether it can be carried as it is, with words that it suggests, or why not.
# Prints how many there are of each, in all and by package; with a folder as its argument, leaves there what it said.
# Environment: VMRPC_SOURCE, VMRPCGEN.
set -euo pipefail
export LC_ALL=C
cd "$VMRPC_SOURCE/tests/gen"
. ../../scripts/packages.bash

skip() {
	echo "skipped: $*"
	exit 77
}
command -v dpkg-query >/dev/null || skip "this is no Debian, whose packages are read"

work=$(mktemp -d "${TMPDIR:-/tmp}/vmrpc-gen.XXXXXX")
trap 'rm -rf "$work"' EXIT
mapfile -t packages < <(sed -n 's/^\([a-z0-9][^ ]*\) .*/\1/p' packages.list)
[ ${#packages[@]} -ge 45 ] || { echo "packages.list names only ${#packages[@]}" >&2; exit 1; }

missing=(pkgconf:pkg-config)
for package in "${packages[@]}"; do
	[ "$(dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | head -n 1)" = installed ] ||
		missing+=("$package:/is/not/there")
done
if [ ${#missing[@]} -gt 1 ] || ! command -v pkg-config >/dev/null; then
	[ "$(id -u)" -eq 0 ] || sudo -n true 2>/dev/null || skip "packages are missing, and only root can install them: ${missing[*]%%:*}"
	need "${missing[@]}" 2>"$work/log" || { cat "$work/log" >&2; skip "packages are missing and can't be installed"; }
fi

# One line for each header: package, header, flags.
while read -r package module includes; do
	[[ $package != \#* ]] || continue
	flags="-I$VMRPC_SOURCE/include"
	[ "$module" = - ] || flags+=" $(pkg-config --cflags "$module")"
	before=
	for include in $includes; do
		[[ $include = -* ]] && before+=" $include" || before+=" -include $include"
	done
	dpkg-query -L "$package" | grep '^/usr/include/.*\.h$' | while read -r header; do
		[ ! -f "$header" ] || printf '%s\t%s\t%s\t%s\n' "$package" "$header" "$flags" "$before"
	done
done <packages.list >"$work/headers"

# Reads its headers, each alone, and where that is no C, once more after what has to be included before.
# RESULTS: package, status, functions as they are, with suggestions, refused.
read_headers() {
	local package header flags before log status
	while IFS=$'\t' read -r package header flags before; do
		log=$FOLDER/$(tr / _ <<<"${header#/usr/include/}")
		for before in "" "$before"; do
			status=0
			# shellcheck disable=SC2086
			timeout 30 "$VMRPCGEN" --explain "$header" -- $flags $before >"$log.out" 2>"$log.err" || status=$?
			[ "$status" -ne 0 ] || break
		done
		case $status in
		0) ;;
		1) grep -q ': error: ' "$log.err" || echo "$header: no reason" >>"$RESULTS.wrong" ;;
		124) echo "$header: still reading after 30 s" >>"$RESULTS.wrong" ;;
		*) echo "$header: exit status $status" >>"$RESULTS.wrong" ;;
		esac
		awk -v "package=$package" -v "status=$status" -v "header=$header" -v "wrong=$RESULTS.wrong" '
			function count() {
				if (!in_function) return
				if (!asked) fine++
				else if (unsuggested || asked > suggested) refused++
				else helped++
			}
			/^[^ ].*:[0-9]+: / { count(); in_function = 1; asked = suggested = unsuggested = 0 }
			/^[^ ].*:[0-9]+: fields of |^    inline: |^    a variable: / { in_function = 0 }
			/^    .* refused   fields of .*; see below$/ { suggested++ } # there
			/^    .* refused   / {
				asked++
				if ($0 !~ / refused   *[^ ].* [^ ]/) print header ": no reason: " $0 >>wrong
			}
			/^    .* inferred  .*; but / { asked++ }
			/^    +write: .*[^ ]/ { suggested++ }
			/^[^ ].* functions; of their / { count(); in_function = 0; whole = 1 }
			END {
				if (status == 0 && !whole) print header ": says nothing" >>wrong
				print package, status, fine + 0, helped + 0, refused + 0
			}' "$log.out" >>"$RESULTS"
	done
}
export -f read_headers
export FOLDER=${1:-$work/said} VMRPCGEN VMRPC_SOURCE
mkdir -p "$FOLDER"
jobs=2
pids=()
for ((i = 0; i < jobs; i++)); do
	awk -v "i=$i" -v "n=$jobs" 'NR % n == i' "$work/headers" |
		RESULTS=$work/results.$i bash -euo pipefail -c read_headers &
	pids+=($!)
done
for pid in "${pids[@]}"; do
	wait "$pid"
done

cat "$work"/results.? | awk '
	{ headers[$1]++; not_c[$1] += $2 != 0; fine[$1] += $3; helped[$1] += $4; refused[$1] += $5 }
	END {
		for (name in headers)
			print name, headers[name], not_c[name], fine[name], helped[name], refused[name]
	}' | sort >"$work/table"
awk 'BEGIN { line("package", "headers", "no C", "no word", "suggested", "refused") }
	function line(name, a, b, c, d, e) { printf "%-22s %8s %8s %9s %9s %9s\n", name, a, b, c, d, e }
	{ line($1, $2, $3, $4, $5, $6); all += $2; not_c += $3; fine += $4; helped += $5; refused += $6 }
	END {
		printf "%d headers of %d packages, %d of them no C by themselves: %d functions, %d carried without a word, " \
			"%d with the words that are suggested, %d refused\n", all, NR, not_c, fine + helped + refused, fine,
			helped, refused
		exit !(NR >= 45 && fine > 1000 && helped > 1000 && not_c < all / 5)
	}' "$work/table" || { echo "too little was read" >&2; exit 1; }
if compgen -G "$work/results.*.wrong" >/dev/null; then
	cat "$work"/results.*.wrong >&2
	exit 1
fi
