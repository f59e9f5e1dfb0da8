#include <vmrpc/annotate.h>
VMRPC_SERVICE(library, 3, 1);
VMRPC_FIELD(engine, opaque, VMRPC_SKIP);
VMRPC_FIELD(struct engine_s, deep.depth, VMRPC_HANDLE(level));
VMRPC_FIELD(engine, int (*start)(voidp who VMRPC_USERDATA, const char *text VMRPC_STRING), VMRPC_RETAINED(self));
int engine_open(int size, int mode) VMRPC_ON_FAIL(-size);
int engine_stop(int how) VMRPC_ON_FAIL(how);
int engine_speed(engine e) VMRPC_SKIP;
int engine_only_here(int x);
VMRPC_DEFAULT_FAIL(int, -5);
