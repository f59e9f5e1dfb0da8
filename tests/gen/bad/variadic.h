#include <vmrpc/annotate.h>
int f(const char *format VMRPC_STRING, ...);
