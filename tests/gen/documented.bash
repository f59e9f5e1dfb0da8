# Every example in docs/annotations.md is understood, and every annotation has one. Environment: VMRPC_SOURCE, VMRPCGEN.
set -euo pipefail
export LC_ALL=C
cd "$VMRPC_SOURCE"

work=$(mktemp -d "${TMPDIR:-/tmp}/vmrpc-gen.XXXXXX")
trap 'rm -rf "$work"' EXIT

# What the examples speak of.
cat >"$work/all.h" <<'END'
#include <stdarg.h>
#include <stddef.h>
#include <vmrpc/annotate.h>
VMRPC_SERVICE(documented, 1, 0);
struct point { double x, y; };
struct s;
struct t;
struct node { struct node *next; };
struct text { size_t n; char *at VMRPC_COUNT(n); };
struct stream { int a; } VMRPC_OBJECT;
enum { KIND_NUMBER };
typedef int cb(int a);
typedef int visit(void *user VMRPC_USERDATA, const struct point *p);
void s_close(struct s *s VMRPC_CLOSES VMRPC_HANDLE);
END
# The second column of the tables: declarations of f, each under a name of its own.
grep -oE '^\| [^|]*\| `[^`]* \*?f\(.*;` \|' docs/annotations.md | sed -E 's/^\|[^|]*\| `(.*)` \|$/\1/' |
	awk '{ if (sub(/ f\(/, " f" NR "(")) ; else sub(/\*f\(/, "*f" NR "("); print }' >>"$work/all.h"
[ "$(grep -cE '[ *]f[0-9]+\(' "$work/all.h")" -ge 40 ] || { echo "too few examples were found" >&2; exit 1; }
"$VMRPCGEN" --explain "$work/all.h" -- -Iinclude >"$work/explained" || exit 1
if grep ' refused  ' "$work/explained" >&2; then
	echo "the examples above do not say enough" >&2
	exit 1
fi

failed=0
for word in $(grep -oE 'define VMRPC_[A-Z_]+' include/vmrpc/annotate.h | sed 's/define //' | sort -u); do
	[[ $word = VMRPC_ANNOTATE_H || $word = VMRPC__* ]] || grep -q "$word" docs/annotations.md ||
		{ echo "docs/annotations.md does not mention $word" >&2; failed=1; }
done
exit $failed
