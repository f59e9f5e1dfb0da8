# A CMake project finds an installed vmrpc, also one that was moved, and links either library in C and C++.
. "$(dirname "$0")/common.bash"

prefix=$(install_to first)
mv "$prefix" "$work/moved"
prefix=$work/moved

quietly() {
	"$@" >"$work/log" 2>&1 || {
		cat "$work/log" >&2
		fail "failed: $*"
	}
}

quietly "$CMAKE" -S "$VMRPC_SOURCE/tests/install/consumer" -B "$work/build" \
	-DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_FIND_USE_PACKAGE_REGISTRY=OFF \
	-DCMAKE_C_COMPILER="$CC" -DCMAKE_CXX_COMPILER="$CXX" -DWANTED_VERSION="${VMRPC_VERSION%.*}"
grep -qF "vmrpc_DIR:PATH=$prefix/" "$work/build/CMakeCache.txt" || fail "found some other vmrpc"
quietly "$CMAKE" --build "$work/build"
for program in shared static shared_cxx static_cxx; do
	"$work/build/$program" || fail "$program failed"
done
readelf --dynamic "$work/build/shared" | grep -q 'NEEDED.*libvmrpc' || fail "'shared' does not need libvmrpc.so"
! readelf --dynamic "$work/build/static" | grep -q 'NEEDED.*libvmrpc' || fail "'static' needs libvmrpc.so"

# the next minor version may differ in anything as long as the major version is 0
if "$CMAKE" -S "$VMRPC_SOURCE/tests/install/consumer" -B "$work/later" -DCMAKE_PREFIX_PATH="$prefix" \
	-DCMAKE_FIND_USE_PACKAGE_REGISTRY=OFF -DCMAKE_C_COMPILER="$CC" -DCMAKE_CXX_COMPILER="$CXX" \
	-DWANTED_VERSION=0.99 >/dev/null 2>&1; then
	fail "version 0.99 was asked for and $VMRPC_VERSION accepted"
fi
