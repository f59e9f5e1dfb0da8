# What vmrpcgen writes and says is what the goldens hold: generated code, --explain, --suggest, and every diagnostic
# with its line and column. Once more from another folder, into another folder, it is the same byte for byte.
# Environment: VMRPC_SOURCE, VMRPCGEN.
set -euo pipefail
export LC_ALL=C
cd "$VMRPC_SOURCE/tests/gen"
. ./goldens.bash

work=$(mktemp -d "${TMPDIR:-/tmp}/vmrpc-gen.XXXXXX")
trap 'rm -rf "$work"' EXIT
make_goldens "$VMRPCGEN" "$work/new"
diff -ru golden "$work/new" >&2 || {
	echo "not what the goldens say; if it should be: tests/gen/regenerate.bash $VMRPCGEN" >&2
	exit 1
}

# Every diagnostic says where it is and has exit status 1; nothing is written.
for file in golden/bad/*; do
	grep -qE '^bad/[a-z_]+\.h(:[0-9]+:[0-9]+)?: error: ' "$file" || { echo "$file has no error" >&2; exit 1; }
done

cp -r good "$work/elsewhere"
cd "$work/elsewhere"
"$VMRPCGEN" -o "$work/again" "$work/elsewhere/structs.h" -- -I"$VMRPC_SOURCE/include"
cmp structs.h "$VMRPC_SOURCE/tests/gen/good/structs.h"
for file in rpc.h client.c server.c; do
	cmp "$work/again/structs.$file" "$VMRPC_SOURCE/tests/gen/golden/structs.$file" || {
		echo "another folder makes another structs.$file" >&2
		exit 1
	}
done

# A header may be a link, even where something includes it by its other name.
ln -s linked.h link.h
printf '%s\n' '#ifndef LINKED_H' '#define LINKED_H' '#include "other.h"' 'int linked(int a);' '#endif' >linked.h
echo '#include "linked.h"' >other.h
"$VMRPCGEN" --explain link.h | grep -qx 'link.h:4: int linked(int a)' || { echo "a link is not read" >&2; exit 1; }

# options
"$VMRPCGEN" --help | grep -q depfile
! "$VMRPCGEN" 2>/dev/null
! "$VMRPCGEN" --nonsense good/calls.h 2>/dev/null
! "$VMRPCGEN" nowhere.h 2>"$work/error"
grep -q '^nowhere.h: error: No such file or directory$' "$work/error"
"$VMRPCGEN" -o "$work/named" --name other --depfile "$work/other.d" calls.h -- -I"$VMRPC_SOURCE/include"
grep -q 'other_service' "$work/named/other.rpc.h"
grep -q "^$work/named/other.rpc.h:" "$work/other.d"
grep -q 'annotate.h' "$work/other.d" && grep -q '/calls.h' "$work/other.d"
