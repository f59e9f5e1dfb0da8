#include <vmrpc/annotate.h>
int f(int n VMRPC_COUNT(2));
