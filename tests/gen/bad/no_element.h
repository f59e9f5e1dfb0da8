#include <vmrpc/annotate.h>
int f(char **names);
