#include <vmrpc/annotate.h>
int f(const char *name);
