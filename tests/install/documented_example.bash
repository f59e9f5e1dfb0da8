# The example of vmrpc_stub_call(3), taken from the installed page, builds and does what it says. So does the
# one of README.md.
. "$(dirname "$0")/common.bash"

command -v pkg-config >/dev/null || skip "no pkg-config"

prefix=$(install_to prefix)
pc=$(find "$prefix" -name vmrpc.pc)
export PKG_CONFIG_LIBDIR=${pc%/*} PKG_CONFIG_PATH=
read -ra flags < <(pkg-config --cflags --libs vmrpc)
library=$(find "$prefix" -name libvmrpc.so)
export LD_LIBRARY_PATH=${library%/*}

# Each file of the page follows a line that names it.
page=$(find "$prefix" -name vmrpc_stub_call.3)
awk -v "folder=$work" '
	/^\.\\" file: / { name = $3 }
	/^\.Ed/ { file = "" }
	file { gsub(/\\e/, "\\"); print > file }
	/^\.Bd -literal/ && name { file = folder "/" name; name = "" }
' "$page"
cat >"$work/calc.c" <<'END'
#include <math.h>
#include "calc.h"

double calc_hypot(double a, double b)
{
	return hypot(a, b);
}

int calc_centroid(const struct point *in, size_t n, struct point *out)
{
	struct point sum = {0, 0};

	if (n == 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		sum.x += in[i].x;
		sum.y += in[i].y;
	}
	*out = (struct point){sum.x / (double)n, sum.y / (double)n};
	return 0;
}
END

# The README shows a library's function, a server and a client, in one block.
awk '/^```/ { inside = !inside && /^```c$/; next } inside' "$VMRPC_SOURCE/README.md" >"$work/readme.c"
grep -q vmrpc_stub_call "$work/readme.c" || fail "README.md has no example any more"

cd "$work"
warnings=(-std=c11 -Wall -Wextra -Werror)
"$CC" "${warnings[@]}" calcd.c calc.c "${flags[@]}" -lm -o calcd
"$CC" "${warnings[@]}" app.c calc_client.c "${flags[@]}" -o app
"$CC" "${warnings[@]}" -DSERVER readme.c "${flags[@]}" -o readme_server
"$CC" "${warnings[@]}" readme.c "${flags[@]}" -o readme_client

# with SERVER CLIENT WANTED: the client prints what is wanted, the server ends well.
with() {
	local server said
	run "./$1" &
	server=$!
	said=$(run "./$2") || said="$2 failed: $said"
	kill "$server"
	wait "$server" || fail "$1 ended with $?"
	[ "$said" = "$3" ] || fail "$2 printed '$said', not '$3'"
}
with calcd app '5, then 1 2'
VMRPC_CALC='local:calc?timeout=10s' with readme_server readme_client '2 + 3 = 5'
