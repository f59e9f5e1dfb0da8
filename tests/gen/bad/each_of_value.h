#include <vmrpc/annotate.h>
int f(int n VMRPC_EACH(VMRPC_STRING));
