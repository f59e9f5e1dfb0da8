#include <vmrpc/annotate.h>
#include <stdio.h>
int f(FILE *file);
