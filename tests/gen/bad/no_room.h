#include <vmrpc/annotate.h>
void f(char *s VMRPC_OUT VMRPC_STRING);
