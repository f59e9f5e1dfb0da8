#include <vmrpc/annotate.h>
struct s { const char *text VMRPC_STRING; };
int f(struct s s);
