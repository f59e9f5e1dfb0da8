#include <vmrpc/annotate.h>
char *f(void);
