/* What the generated files depend on, for make and ninja. */
#include "stages.h"

static const char *escaped(const char *path)
{
	struct text text = {0};

	add(&text, "%s", "");
	for (; *path; path++)
		add(&text, "%s%c", *path == ' ' || *path == '#' ? "\\" : *path == '$' ? "$" : "", *path);
	return text.string;
}

void emit_depfile(struct text *out, const struct service *service, const struct options *options)
{
	add(out, "%s/%s.rpc.h:", escaped(options->output), service->name);
	for (unsigned i = 0; i < service->n_dependencies; i++)
		add(out, " \\\n  %s", escaped(service->dependencies[i]));
	add(out, "\n");
}
