#include <vmrpc/annotate.h>
VMRPC_SERVICE(one, 1, 0);
VMRPC_SERVICE(two, 1, 0);
int f(int n);
