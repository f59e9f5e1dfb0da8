# Every public header compiles alone, without a warning, in C and in C++.
. "$(dirname "$0")/common.bash"

failed=0
compile() {
	"$@" -Wall -Wextra -Wpedantic -Werror -fsyntax-only "-I$VMRPC_SOURCE/include" "$work/alone.c" || {
		echo "<vmrpc/$(basename "$header")>: $*" >&2
		failed=1
	}
}

for header in "$VMRPC_SOURCE"/include/vmrpc/*.h; do
	# twice, to see the guard; and something of our own, because an empty file is a pedantic warning
	printf '#include <vmrpc/%s>\n' "$(basename "$header")" "$(basename "$header")" >"$work/alone.c"
	echo 'extern int something;' >>"$work/alone.c"
	compile "$CC" -std=c11 -x c
	compile "$CXX" -std=c++17 -x c++
done
exit $failed
