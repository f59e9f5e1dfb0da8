#include <vmrpc/annotate.h>
typedef int four __attribute__((vector_size(16)));
int f(four v);
