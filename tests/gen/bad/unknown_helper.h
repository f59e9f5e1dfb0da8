#include <vmrpc/annotate.h>
int helper(int);
int f(int *p VMRPC_OUT VMRPC_COUNT(missing(n)), int n);
