#include <vmrpc/annotate.h>
_Noreturn void f(void);
