#include <vmrpc/annotate.h>
struct list { int a; struct list *next; };
int f(const struct list *s);
