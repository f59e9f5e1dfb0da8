#include <vmrpc/annotate.h>
int f(int number VMRPC_HANDLE);
