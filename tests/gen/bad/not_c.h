#include <vmrpc/annotate.h>
int f(int n;
int g(missing x);
