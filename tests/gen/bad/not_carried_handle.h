#include <vmrpc/annotate.h>
int f(short number VMRPC_HANDLE);
