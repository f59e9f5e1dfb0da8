#include <vmrpc/annotate.h>
int f(const void *p, unsigned long size);
