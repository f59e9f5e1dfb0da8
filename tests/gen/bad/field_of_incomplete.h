#include <vmrpc/annotate.h>
VMRPC_FIELD(struct s, b, VMRPC_SKIP);
int f(int n);
