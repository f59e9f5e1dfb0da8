#include <vmrpc/annotate.h>
int f(int *p VMRPC_SHARED VMRPC_COPY);
