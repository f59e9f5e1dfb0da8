#include <vmrpc/annotate.h>
int f(char *buffer, int size);
