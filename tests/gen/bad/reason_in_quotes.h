#include <vmrpc/annotate.h>
int f(const int *p VMRPC_UNCHECKED(fast));
