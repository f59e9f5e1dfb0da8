# examples/calc is built against the installed package, by Ninja and by Make, and works. Changing its header, a header
# that it includes, or vmrpcgen makes the stubs anew; nothing else does. So it is where vmrpc is a part of the project,
# and when cross-compiling with a vmrpcgen of the host. It says what is missing. Environment: VMRPC_SOURCE, VMRPC_BUILD, CMAKE, CC, GENERATOR.
set -euo pipefail
export LC_ALL=C
unset CFLAGS CPPFLAGS LDFLAGS DESTDIR CMAKE_GENERATOR

work=$(mktemp -d "${TMPDIR:-/tmp}/vmrpc-gen.XXXXXX")
server=
trap 'rm -rf "$work"; [ -z "$server" ] || kill "$server" 2>/dev/null || true' EXIT
export XDG_RUNTIME_DIR=$work

fail() {
	echo "$GENERATOR: $*" >&2
	exit 1
}
quietly() {
	"$@" >"$work/log" 2>&1 || {
		cat "$work/log" >&2
		fail "failed: $*"
	}
}
command -v "$([ "$GENERATOR" = Ninja ] && echo ninja || echo make)" >/dev/null || {
	echo "skipped: no $GENERATOR"
	exit 77
}

quietly "$CMAKE" --install "$VMRPC_BUILD" --prefix "$work/prefix"
mv "$work/prefix" "$work/moved"
cp -r "$VMRPC_SOURCE/examples/calc" "$work/calc"
cd "$work/calc"
echo '#define CALC_INCLUDED 1' >included.h
sed -i 's/^struct point {/#include "included.h"\n&/' calc.h
quietly "$CMAKE" -G "$GENERATOR" -B build -DCMAKE_PREFIX_PATH="$work/moved" -DCMAKE_C_COMPILER="$CC" \
	-DCMAKE_FIND_USE_PACKAGE_REGISTRY=OFF -DCMAKE_COMPILE_WARNING_AS_ERROR=ON -DCMAKE_C_FLAGS="-Wall -Wextra"
quietly "$CMAKE" --build build

# It works.
build/app_local >local
build/calcd &
server=$!
VMRPC_CALC='local:calc?timeout=20s' build/app >remote
kill "$server"
wait "$server" || fail "the server ended with $?"
server=
diff -u local remote >&2 || fail "local (-) and remote (+) differ"
grep -q '= 5050$' remote || fail "the sum is wrong"

# What is made anew when: the stubs, or not.
folder=build
stamp() {
	stat -c %y "$folder/calc.rpc/calc.client.c"
}
expect() {
	local what=$1 wanted=$2 before after
	before=$(stamp)
	quietly "$CMAKE" --build "$folder" --target calc_generated
	after=$(stamp)
	[ "$before" = "$after" ] && got=same || got=new
	[ "$got" = "$wanted" ] || fail "$folder: after $what the stubs are the $got ones, not the $wanted"
}
touch calc.c app.c
expect "changing other sources" same
sleep 0.01
touch calc.h
expect "changing the header" new
touch included.h
expect "changing what the header includes" new
touch "$work/moved/bin/vmrpcgen"
expect "changing vmrpcgen" new
expect "nothing" same
sed 's/^/ /' included.h >renamed.h
rm included.h
sed -i 's/"included.h"/"renamed.h"/' calc.h
expect "renaming what the header includes" new
touch renamed.h
expect "changing what the header includes now" new
quietly "$CMAKE" --build build
results() {
	find build \( -name '*.o' -o -name '*.a' -o -name 'calc.*' -o -name app -o -name calcd \) -type f | sort |
		xargs stat -c '%n %y'
}
results >before
quietly "$CMAKE" --build build
results >after
diff before after >&2 || fail "building again, when nothing changed, makes something anew"
echo 'int calc_more(int a) VMRPC_ON_FAIL(0);' >more
sed -i '/^double calc_total/r more' calc.h
echo 'int calc_more(int a) { return a + 1; }' >>calc.c
expect "adding a function" new
grep -q calc_more_rpc build/calc.rpc/calc.rpc.h || fail "the new function is not there"

# A mistake stops the build and is shown; mended, all is well.
sed -i 's/^int calc_more(int a)/int calc_more(int *a)/' calc.h
if "$CMAKE" --build build --target calc_generated >"$work/log" 2>&1; then
	fail "a header with a mistake was accepted"
fi
grep -q "calc.h:[0-9]*:[0-9]*: error: 'a' is 'int \*'" "$work/log" || fail "the mistake is not shown"
sed -i 's/^int calc_more(int \*a)/int calc_more(int a)/' calc.h
quietly "$CMAKE" --build build

# What can't be done is said.
said() {
	local words=$1 lines=$2
	mkdir -p "$work/wrong"
	cp calc.h "$work/wrong"
	printf '%s\n' 'cmake_minimum_required(VERSION 3.25)' 'project(wrong LANGUAGES C)' \
		'find_package(vmrpc CONFIG REQUIRED)' "$lines" >"$work/wrong/CMakeLists.txt"
	if "$CMAKE" -S "$work/wrong" -B "$work/wrong/build" -DCMAKE_PREFIX_PATH="$work/moved" >"$work/log" 2>&1; then
		fail "accepted: $lines"
	fi
	tr -s ' \n' ' ' <"$work/log" | grep -qF "$words" || { cat "$work/log" >&2; fail "not said: $words"; }
}
said "HEADERS are missing" 'vmrpc_generate(calc)'
said "what is 'SOURCE;x.c'" 'vmrpc_generate(calc SOURCE x.c HEADERS calc.h)'

# vmrpc as a part of the project: its vmrpcgen is built first, and when its own source changes, the stubs are made anew.
mkdir larger "$work/source"
cp -r "$VMRPC_SOURCE"/{CMakeLists.txt,cmake-modules,docs,include,runtime,vmrpcgen} "$work/source"
cat >larger/CMakeLists.txt <<END
cmake_minimum_required(VERSION 3.25)
project(larger LANGUAGES C)
add_subdirectory("$work/source" vmrpc EXCLUDE_FROM_ALL)
vmrpc_generate(calc HEADERS ../calc.h CLIENT_SOURCES hand.c CFLAGS -DLARGER)
get_target_property(sources calc_client SOURCES)
get_target_property(options calc_client COMPILE_OPTIONS)
message(STATUS "client: \${sources} \${options}")
END
echo 'int larger_hand(void); int larger_hand(void) { return 1; }' >larger/hand.c
larger() {
	folder=larger/$1
	quietly "$CMAKE" -G "$GENERATOR" -S larger -B "$folder" -DCMAKE_BUILD_TYPE=Debug "${@:2}"
	grep -q 'client: .*hand.c.*-DLARGER' "$work/log" || fail "CLIENT_SOURCES or CFLAGS are lost"
	quietly "$CMAKE" --build "$folder" --target calc_generated --parallel 2
	[ -s "$folder/calc.rpc/calc.rpc.h" ] || fail "nothing was generated in $folder"
	expect "nothing" same
	touch renamed.h
	expect "changing what the header includes" new
	expect "nothing" same
}
larger own -DCMAKE_C_COMPILER="$CC"
touch "$work/source/runtime/call.c"
expect "changing the runtime" same
touch "$work/source/vmrpcgen/text.c"
expect "changing vmrpcgen's source" new
expect "nothing" same

# Cross-compiling, with the vmrpcgen of the host.
if ! command -v aarch64-linux-gnu-gcc >/dev/null; then
	echo "skipped: no cross compiler"
	exit 0
fi
toolchain=$VMRPC_SOURCE/cmake-modules/aarch64-linux-gnu.cmake
larger cross -DCMAKE_TOOLCHAIN_FILE="$toolchain" -DVMRPC_VMRPCGEN="$work/moved/bin/vmrpcgen"
touch "$work/moved/bin/vmrpcgen"
expect "changing vmrpcgen" new
expect "nothing" same
if ! command -v vmrpcgen >/dev/null; then
	! "$CMAKE" -G "$GENERATOR" -S larger -B larger/none -DCMAKE_TOOLCHAIN_FILE="$toolchain" >"$work/log" 2>&1 ||
		fail "cross-compiling without a vmrpcgen was accepted"
	grep -q 'set VMRPC_VMRPCGEN' "$work/log" || { cat "$work/log" >&2; fail "it is not said how to cross-compile"; }
fi
