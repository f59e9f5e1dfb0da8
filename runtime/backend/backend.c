/* The backends there are. */
#include "backend.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../internal.h"

static const struct vmrpc__backend *const backends[] = {
	&vmrpc__backend_local,
};

const struct vmrpc__backend *vmrpc__backend_find(const char *name, size_t length)
{
	char known[256] = "";
	size_t used = 0;

	for (size_t i = 0; i < sizeof backends / sizeof backends[0]; i++) {
		const struct vmrpc__backend *backend = backends[i];

		if (strlen(backend->name) == length && memcmp(backend->name, name, length) == 0)
			return backend;
		used += (size_t)snprintf(known + used, sizeof known - used, "%s%s:%s", i ? ", " : "", backend->name,
					 backend->where);
	}
	errno = -vmrpc__fail(EPROTONOSUPPORT, "there is no backend called '%.*s'; there are: %s", (int)length, name,
			     known);
	return NULL;
}
