#include <vmrpc/annotate.h>
VMRPC_TYPE(int, VMRPC_SKIP);
int f(int n);
