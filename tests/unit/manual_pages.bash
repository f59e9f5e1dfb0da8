# The manual pages are well-formed, every public function has one, and headers, pages and definitions say the same
# of it, parameter names included. Environment: VMRPC_SOURCE, VMRPC_BUILD.
set -euo pipefail
export LC_ALL=C
cd "$VMRPC_SOURCE"
failed=0

complain() {
	echo "$*" >&2
	failed=1
}

if command -v mandoc >/dev/null; then
	for page in docs/man/*; do
		mandoc -T lint -W warning "$page" >&2 || complain "$page: not as it should be"
	done
else
	echo "skipped: no mandoc"
	exit 77
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/vmrpc-manual.XXXXXX")
trap 'rm -rf "$work"' EXIT

# "int vmrpc_x(struct vmrpc *conn, int y)" without its blanks, one prototype a line.
awk '
	sub(/^VMRPC_PUBLIC /, "") { text = "" ; inside = 1 }
	inside { text = text $0 }
	inside && sub(/;$/, "", text) { print text; inside = 0 }
' include/vmrpc/*.h | tr -d ' \t' | sort >"$work/headers"
[ -s "$work/headers" ] || complain "include/vmrpc declares nothing?"

awk '
	function argument() { sub(/^\.[A-Z][a-z] /, ""); gsub(/"/, ""); return $0 }
	/^\.Ft / { type = argument() }
	/^\.Fo / { text = type argument() "("; separator = "" }
	/^\.Fa / && text { text = text separator argument(); separator = "," }
	/^\.Fc/ { print text ")"; text = "" }
' docs/man/*.3 | tr -d ' \t' | sort >"$work/pages"
diff -u "$work/headers" "$work/pages" >&2 || complain "the synopses (+) are not what the headers declare (-)"

cat runtime/*.c runtime/backend/*.c | tr -d ' \t\n' >"$work/runtime"
while read -r prototype; do
	grep -qF "$prototype{" "$work/runtime" || complain "not defined as it is declared: $prototype"
	name=$(grep -oE 'vmrpc_[a-z0-9_]+\(' <<<"$prototype" | head -n 1)
	name=${name%(}
	[ -e "docs/man/$name.3" ] || [ -e "$VMRPC_BUILD/docs/man/$name.3" ] || complain "man 3 $name would find nothing"
	grep -qE "^\.Nm $name( ,)?\$" docs/man/*.3 || complain "$name is not in the NAME of any page"
done <"$work/headers"
exit $failed
