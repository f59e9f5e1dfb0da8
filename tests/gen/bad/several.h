#include <vmrpc/annotate.h>
int f(char *a, int *b);
int g(void *c);
int h(int n) VMRPC_ON_FAIL();
