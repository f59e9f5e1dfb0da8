#include <vmrpc/annotate.h>
void f(int n) VMRPC_ON_FAIL(-1);
