# The shared library exports the functions of the public headers and nothing else; the static one defines
# no global name outside vmrpc's own.
. "$(dirname "$0")/common.bash"

library=$VMRPC_BUILD/runtime/libvmrpc.so
declared_functions >"$work/declared"
"$NM" --dynamic --defined-only "$library" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort -u >"$work/exported"
diff -u "$work/declared" "$work/exported" || fail "exported (+) is not what is declared (-): see runtime/vmrpc.map"

"$NM" --extern-only --defined-only "$VMRPC_BUILD/runtime/libvmrpc.a" | awk 'NF == 3 { print $3 }' | sort -u >"$work/global"
if grep -vE '^vmrpc_|\.' "$work/global"; then # names with a dot are those of compilers and of <sys/sdt.h>
	fail "libvmrpc.a defines the names above, which do not begin with vmrpc_"
fi
comm -23 "$work/declared" "$work/global" | grep . && fail "libvmrpc.a lacks the functions above"

wanted=libvmrpc.so.${VMRPC_VERSION%%.*}
readelf --dynamic "$library" | grep -qF "Library soname: [$wanted]" || fail "the SONAME is not $wanted"
