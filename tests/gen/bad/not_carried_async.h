#include <vmrpc/annotate.h>
struct list { int a; struct list *next; };
void f(const struct list *s VMRPC_COUNT(1)) VMRPC_ASYNC;
void g(const char *const *s VMRPC_COUNT(n) VMRPC_EACH(VMRPC_STRING), int n) VMRPC_ASYNC;
