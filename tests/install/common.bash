# For the scripts of this folder. Their environment, set by CMakeLists.txt: CC CXX CMAKE NM, VMRPC_SOURCE,
# VMRPC_BUILD, VMRPC_VERSION.
set -euo pipefail
export LC_ALL=C
unset CFLAGS CXXFLAGS CPPFLAGS LDFLAGS DESTDIR

skip() {
	echo "skipped: $*"
	exit 77
}

fail() {
	echo "$*" >&2
	exit 1
}

[ -n "$CXX" ] || skip "no C++ compiler"

work=$(mktemp -d "${TMPDIR:-/tmp}/vmrpc-install.XXXXXX")
trap 'rm -rf "$work"' EXIT
export XDG_RUNTIME_DIR=$work # where nobody else's server is

# The functions that the public headers declare, one a line. Their names are on the line that VMRPC_PUBLIC begins.
declared_functions() {
	local names
	names=$(sed -nE '/^VMRPC_PUBLIC /{s/^[^(]*[ *](vmrpc_[a-z0-9_]+)\(.*/\1/; t out; s/^/not understood: /; :out; p}' \
		"$VMRPC_SOURCE"/include/vmrpc/*.h)
	! grep 'not understood' <<<"$names" >&2 || return 1
	sort -u <<<"$names"
}

# Installs what was built to $work/NAME, and prints where that is.
install_to() {
	"$CMAKE" --install "$VMRPC_BUILD" --prefix "$work/$1" >"$work/install.log" || {
		cat "$work/install.log" >&2
		return 1
	}
	echo "$work/$1"
}
