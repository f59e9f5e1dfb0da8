#include <vmrpc/annotate.h>
int f(const char *const *p VMRPC_STRING);
