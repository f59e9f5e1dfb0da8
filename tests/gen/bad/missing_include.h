#include <vmrpc/annotate.h>
#include "nowhere.h"
int f(int n);
