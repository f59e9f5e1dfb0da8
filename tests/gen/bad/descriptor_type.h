#include <vmrpc/annotate.h>
int f(double fd VMRPC_FD);
