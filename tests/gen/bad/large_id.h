#include <vmrpc/annotate.h>
int f(int n) VMRPC_ID(70000);
