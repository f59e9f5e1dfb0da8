#include <vmrpc/annotate.h>
typedef int number;
