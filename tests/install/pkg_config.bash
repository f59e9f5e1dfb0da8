# pkg-config finds an installed vmrpc and links either library in C and C++.
. "$(dirname "$0")/common.bash"

command -v pkg-config >/dev/null || skip "no pkg-config"

prefix=$(install_to prefix)
pc=$(find "$prefix" -name vmrpc.pc)
export PKG_CONFIG_LIBDIR=${pc%/*} PKG_CONFIG_PATH=
[ "$(pkg-config --modversion vmrpc)" = "$VMRPC_VERSION" ] || fail "vmrpc.pc has another version"
library=$(find "$prefix" -name libvmrpc.so)
library=${library%/*}

consumer=$VMRPC_SOURCE/tests/install/consumer/consumer
read -ra cflags < <(pkg-config --cflags vmrpc)
read -ra libs < <(pkg-config --libs vmrpc)
read -ra static_libs < <(pkg-config --static --libs vmrpc)

"$CC" -std=c11 -Wall -Wextra -Wpedantic -Werror "${cflags[@]}" "$consumer.c" "${libs[@]}" -o "$work/shared"
"$CXX" -std=c++17 -Wall -Wextra -Wpedantic -Werror "${cflags[@]}" "$consumer.cpp" "${libs[@]}" -o "$work/shared_cxx"
for program in shared shared_cxx; do
	LD_LIBRARY_PATH=$library "$work/$program" || fail "$program failed"
done

# with no shared library in sight, the same words link the static one
rm "$library"/libvmrpc.so*
"$CC" -std=c11 "${cflags[@]}" "$consumer.c" "${static_libs[@]}" -o "$work/static"
"$work/static" || fail "static failed"
