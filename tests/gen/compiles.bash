# What was generated compiles without a warning: as C11, and its header as C++17, by gcc and by clang.
# Environment: VMRPC_SOURCE.
set -euo pipefail
export LC_ALL=C
cd "$VMRPC_SOURCE/tests/gen"

warnings=(-Wall -Wextra -Wshadow -Werror -Wno-psabi)
found=
failed=0
compile() {
	"$@" "${warnings[@]}" -fsyntax-only -I../../include -Igood -Igolden || { echo "$*" >&2; failed=1; }
}
for pair in gcc:g++ clang:clang++; do
	command -v "${pair%:*}" >/dev/null || { echo "skipped: no ${pair%:*}"; continue; }
	found=1
	for name in scalars structs calls library pointers; do
		compile "${pair%:*}" -std=c11 -Wstrict-prototypes -Wmissing-prototypes -Wvla "golden/$name.client.c"
		compile "${pair%:*}" -std=c11 -Wstrict-prototypes -Wmissing-prototypes -Wvla "golden/$name.server.c"
		command -v "${pair#*:}" >/dev/null || { echo "skipped: no ${pair#*:}"; continue; }
		compile "${pair#*:}" -std=c++17 -x c++ -include "golden/$name.rpc.h" /dev/null
	done
done
[ -n "$found" ] || exit 77
exit $failed
