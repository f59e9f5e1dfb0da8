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

# The README's: the header, the caller, and of the server what its comment says.
mkdir "$work/readme"
awk -v "folder=$work/readme" '
	/^```/ { inside = !inside && /^```c$/; n += inside; next }
	inside { print >folder "/block" n }' "$VMRPC_SOURCE/README.md"
mv "$work/readme/block1" "$work/readme/calc.h"
grep -q VMRPC_SERVICE "$work/readme/calc.h" || fail "README.md has no example any more"
printf '#include <stdio.h>\n#include "calc.h"\nint main(void)\n{\n%s\n}\n' "$(<"$work/readme/block2")" >"$work/readme/app.c"
cat >"$work/readme/calcd.c" <<'END'
#include "calc.rpc.h"
int main(void) { return -vmrpc_serve(&calc_service, NULL); }
END

cd "$work"
warnings=(-std=c11 -Wall -Wextra -Werror)
"$CC" "${warnings[@]}" calcd.c calc.c "${flags[@]}" -lm -o calcd
"$CC" "${warnings[@]}" app.c calc_client.c "${flags[@]}" -o app
if [ -x "$VMRPC_BUILD/vmrpcgen/vmrpcgen" ]; then
	read -ra includes < <(pkg-config --cflags vmrpc)
	"$VMRPC_BUILD/vmrpcgen/vmrpcgen" -o readme readme/calc.h -- "${includes[@]}"
	"$CC" "${warnings[@]}" readme/calcd.c calc.c readme/calc.server.c -iquote readme "${flags[@]}" -lm -o readme/calcd
	"$CC" "${warnings[@]}" readme/app.c readme/calc.client.c -iquote readme "${flags[@]}" -o readme/app
fi

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
[ ! -x readme/app ] || VMRPC_CALC='local:calc?timeout=10s' with readme/app '1 1' readme/calcd
