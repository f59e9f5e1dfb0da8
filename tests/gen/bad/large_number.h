#include <vmrpc/annotate.h>
int f(int *p VMRPC_OUT VMRPC_COUNT(99999999999999999999));
