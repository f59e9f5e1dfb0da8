#include <vmrpc/annotate.h>
void f(int n) VMRPC_ASYNC VMRPC_ERRNO;
