#include <vmrpc/annotate.h>
int f(int *p VMRPC_IN VMRPC_OUT);
