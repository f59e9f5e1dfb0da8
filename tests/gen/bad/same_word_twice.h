#include <vmrpc/annotate.h>
int f(int *p VMRPC_OUT VMRPC_COUNT(2) VMRPC_COUNT(3));
