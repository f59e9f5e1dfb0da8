# REPLACES, against the installed package, by Ninja and by Make: the original may be a library of the same project, a
# file or an imported target, and all three give the same replacement, which is made anew when the original changes.
# What can't be replaced is said. Environment: VMRPC_SOURCE, VMRPC_BUILD, CMAKE, CC, GENERATOR.
set -euo pipefail
export LC_ALL=C
unset CFLAGS CPPFLAGS LDFLAGS DESTDIR CMAKE_GENERATOR

work=$(mktemp -d "${TMPDIR:-/tmp}/vmrpc-gen.XXXXXX")
trap 'rm -rf "$work"' EXIT

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
cp -r "$VMRPC_SOURCE/tests/gen/measure" "$work/measure"
cd "$work/measure"
configure() {
	"$CMAKE" -G "$GENERATOR" -B "$1" -DCMAKE_PREFIX_PATH="$work/prefix" -DCMAKE_C_COMPILER="$CC" \
		-DCMAKE_FIND_USE_PACKAGE_REGISTRY=OFF -DCMAKE_COMPILE_WARNING_AS_ERROR=ON -DCMAKE_C_FLAGS="-Wall -Wextra" \
		-DCMAKE_C_VISIBILITY_PRESET=hidden "${@:2}"
}
sed -i 's/^add_library(measure SHARED.*/&\nset_target_properties(measure PROPERTIES C_VISIBILITY_PRESET default)/' CMakeLists.txt
quietly configure build
quietly "$CMAKE" --build build
VMRPC_MEASURE_FOLDER=$PWD/build VMRPC_EMULATOR='' bash "$VMRPC_SOURCE/tests/gen/replaces.bash" ||
	fail "what was built against the package does not work"

# Files and imported targets; a link that is meant for linkers is as good as the file.
for original in "$PWD/build/libmeasure.so" build/libmeasure.so.3 imported; do
	quietly configure other -DORIGINAL="$original" -DIMPORTED_FILE="$PWD/build/libmeasure.so.3.1"
	quietly "$CMAKE" --build other --target measure_replacement
	for file in c map; do
		cmp "build/measure.rpc/measure.replacement.$file" "other/measure.rpc/measure.replacement.$file" ||
			fail "$original gives another measure.replacement.$file than the target"
	done
	[ -e other/measure_replacement/libmeasure.so.3 ] || fail "$original: the file has another name"
	rm -rf other
done

# What is made anew when.
stamp() {
	stat -c %y build/measure.rpc/measure.replacement.c
}
expect() {
	local what=$1 wanted=$2 before got
	before=$(stamp)
	quietly "$CMAKE" --build build
	[ "$before" = "$(stamp)" ] && got=same || got=new
	[ "$got" = "$wanted" ] || fail "after $what the replacement is the $got one, not the $wanted"
}
expect "nothing" same
touch program.c measured.c
expect "changing other sources" same
touch measure.c
expect "changing the original" new
touch measure.h
expect "changing the header" new
touch "$work/prefix/bin/vmrpcgen"
expect "changing vmrpcgen" new
expect "nothing" same
echo 'int measure_more(void); int measure_more(void) { return 1; }' >>measure.c
expect "adding to the original" new
nm -D build/measure_replacement/libmeasure.so.3 | grep -q ' T measure_more$' || fail "the new function is not there"

# A function, a version and a variable by hand.
cat >hand.c <<'HAND'
int measure_more(void);
int measure_more(void) { return 2; }
double measure_half__MEASURE_1(double a);
double measure_half__MEASURE_1(double a) { return a; }
int measure_unit = 5;
HAND
sed -i 's/REPLACES/CLIENT_SOURCES hand.c &/' CMakeLists.txt
quietly "$CMAKE" --build build
grep -q 'measure_more\|half@\|variables' "$work/log" && fail "what is there by hand is said to be missing"
nm -D build/measure_replacement/libmeasure.so.3 | grep -q ' D measure_unit@@MEASURE_2$' || fail "the variable is lost"

# What can't be done is said.
said() {
	local words=$1 folder=$work/wrong
	shift
	if configure "$folder" "$@" >"$work/log" 2>&1 &&
		"$CMAKE" --build "$folder" --target measure_replacement >"$work/log" 2>&1; then
		fail "accepted: $*"
	fi
	tr -s ' \n' ' ' <"$work/log" | grep -qF "$words" || { cat "$work/log" >&2; fail "not said: $words"; }
	rm -rf "$folder"
}
said 'that target is of type STATIC_LIBRARY' -DORIGINAL=measure_client
said 'that is no target, and there is no file' -DORIGINAL=nowhere
said 'that target does not say where its file is' -DORIGINAL=imported
echo 'INPUT(libmeasure.so.3)' >script.so
said 'script.so is no shared library with a SONAME' -DORIGINAL="$PWD/script.so"
"$CC" -shared -fPIC -Iinclude -I"$VMRPC_SOURCE/include" measure.c -o nameless.so \
	-Wl,--version-script=measure.map
said 'nameless.so is no shared library with a SONAME' -DORIGINAL="$PWD/nameless.so"
sed -i 's/^set_target_properties(measure PROPERTIES/& NO_SONAME ON/' CMakeLists.txt
said 'libmeasure.so: error: it has no SONAME'

# vmrpcgen itself, on files that are not what they should be.
object=$(find build -name 'measure.client.c.o')
refused() {
	local words=$1 file=$2 status=0
	"$work/prefix/bin/vmrpcgen" --replaces "$file" -o "$work/out" --name "${3:-measure}" "${4:-$object}" \
		2>"$work/log" || status=$?
	[ "$status" = 1 ] && grep -qF "$words" "$work/log" || { cat "$work/log" >&2; fail "$file: $status, not: $words"; }
}
refused 'No such file or directory' nowhere
refused 'this is a script for linkers' script.so
refused 'this is a static library' build/libmeasure_client.a
refused 'this is no ELF file' measure.c
refused 'this is no shared library' "$object"
refused "not those of the client of 'other'" build/libmeasure.so.3 other
refused 'this is no object file' build/libmeasure.so.3 measure build/libmeasure.so.3
for size in 20 70 1000 3000 6000 9000 12000; do
	head -c "$size" build/libmeasure.so.3 >cut.so
	[ "$(stat -c %s cut.so)" = "$size" ] || continue
	refused 'cut.so: error: ' cut.so
done
