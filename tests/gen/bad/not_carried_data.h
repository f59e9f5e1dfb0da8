#include <vmrpc/annotate.h>
struct list { int a; struct list *next VMRPC_WHEN(a, VMRPC_INOUT); };
int f(const struct list *s VMRPC_COUNT(1));
struct tagless { union { int n; char *text VMRPC_STRING; } as; };
int g(struct tagless *t VMRPC_INOUT);
struct point { double x, y; };
int h(struct point *p VMRPC_INOUT VMRPC_ONLY(x));
