#include <vmrpc/annotate.h>
VMRPC_SERVICE(one, x, 0);
int f(int n);
