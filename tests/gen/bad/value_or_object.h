#include <vmrpc/annotate.h>
struct item { int n; };
int item_new(struct item **ret_item) VMRPC_SKIP;
struct part { int n; };
struct part *part_new(void) VMRPC_SKIP;
struct copy { int n; };
int copy_get(struct copy **ret_copy VMRPC_OUT VMRPC_EACH(VMRPC_CALLER_FREES(free))) VMRPC_SKIP;
int f(const struct item *i, const struct part *p, const struct copy *c);
int g(const struct item *i VMRPC_IN, const struct part *p VMRPC_HANDLE);
int h(struct item *i); /* the others are only warned of */
