#include <vmrpc/annotate.h>
#include <stdarg.h>
int f(va_list args);
