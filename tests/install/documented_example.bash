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

# The README's is server and client in one.
awk '/^```/ { inside = !inside && /^```c$/; next } inside' "$VMRPC_SOURCE/README.md" >"$work/readme.c"
grep -q vmrpc_stub_call "$work/readme.c" || fail "README.md has no example any more"

cd "$work"
warnings=(-std=c11 -Wall -Wextra -Werror)
"$CC" "${warnings[@]}" calcd.c calc.c "${flags[@]}" -lm -o calcd
"$CC" "${warnings[@]}" app.c calc_client.c "${flags[@]}" -o app
"$CC" "${warnings[@]}" readme.c "${flags[@]}" -o readme

# with CLIENT WANTED SERVER...: the client prints what is wanted, the server ends well.
with() {
	local client=$1 wanted=$2 server said
	shift 2
	"$@" &
	server=$!
	said=$("$client" 2>&1) || said="$client failed: $said"
	kill "$server"
	wait "$server" || fail "$1 ended with $?"
	[ "$said" = "$wanted" ] || fail "$client printed '$said', not '$wanted'"
}
with ./app '5, then 1 2' ./calcd
VMRPC_CALC='local:calc?timeout=10s' with ./readme '2 + 3 = 5' ./readme serve
