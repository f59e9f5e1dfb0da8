#include <vmrpc/annotate.h>
void f(int n) VMRPC_SKIP VMRPC_ASYNC;
