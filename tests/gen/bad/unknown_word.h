#include <vmrpc/annotate.h>
int f(int *p VMRPC_CUONT(2));
