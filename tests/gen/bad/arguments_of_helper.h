#include <vmrpc/annotate.h>
static inline int helper(int a) { return a; }
int f(int *p VMRPC_OUT VMRPC_COUNT(helper(n, n)), int n);
