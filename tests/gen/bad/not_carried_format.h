#include <vmrpc/annotate.h>
int f(int n, ...) VMRPC_VA_FORMAT(1);
