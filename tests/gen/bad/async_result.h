#include <vmrpc/annotate.h>
int f(int n) VMRPC_ASYNC;
