#include <vmrpc/annotate.h>
int f(int n) VMRPC_ID(3);
int g(int n) VMRPC_ID(3);
