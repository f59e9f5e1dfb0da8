#include <vmrpc/annotate.h>
int f(char **p VMRPC_OUT VMRPC_EACH(STRING));
