#include <vmrpc/annotate.h>
int f(void *p VMRPC_OUT VMRPC_COUNT(2));
