#include <vmrpc/annotate.h>
int f(int n) VMRPC_ON_FAIL();
