/* vmrpcgen: from annotated headers to stubs. The stages in order: parse, merge, infer, check, carry, lay out, emit. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "stages.h"

#ifndef __has_feature
#define __has_feature(feature) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
/* It never frees, so what is left at its end is no news. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}
#endif

static const char usage[] =
	"usage: vmrpcgen [-o DIR] [--name NAME] [--sidecar FILE]... [--depfile FILE] [--explain] [--suggest]\n"
	"                HEADER... [-- CFLAGS...]\n"
	"\n"
	"Writes NAME.rpc.h, NAME.client.c and NAME.server.c: stubs for the functions that the headers declare.\n"
	"\n"
	"  -o DIR          where to; the current folder without\n"
	"  --name NAME     instead of the name in VMRPC_SERVICE\n"
	"  --sidecar FILE  a header that annotates declarations of the others\n"
	"  --depfile FILE  what the result depends on, for make and ninja\n"
	"  --explain       write nothing; say what will happen to each parameter, and why\n"
	"  --suggest       write nothing; print the annotations that are missing\n"
	"  -- CFLAGS       for the compiler that reads the headers: -I, -D, -std, ...\n"
	"\n"
	"usage: vmrpcgen --replaces LIBRARY [-o DIR] --name NAME OBJECT...\n"
	"\n"
	"Writes NAME.replacement.c and NAME.replacement.map, which make of the client's objects a shared library with\n"
	"the symbols and versions of LIBRARY. In CMake, vmrpc_generate(... REPLACES ...) does all of it.\n";

static void complain(const char *what, const char *word)
{
	fprintf(stderr, "vmrpcgen: %s%s\n%s", what, word, usage);
	exit(1);
}

static const char *absolute(const char *path)
{
	char here[4096];

	while (starts_with(path, "./"))
		path += 2;
	return *path == '/' ? path : format("%s/%s", getcwd(here, sizeof here) ? here : "", path);
}

/* The shortest way to name a header for a compiler with the same -I flags; never an absolute path, which would be
 * another one on the next machine. */
static const char *include_name(const char *real, const struct options *options)
{
	const char *best = base_name(real);
	size_t longest = strlen(real) - strlen(best);
	static const char *const common[] = {"/usr/local/include", "/usr/include"};
	size_t found = 0;

	for (unsigned i = 0; i < options->n_flags + 2; i++) {
		const char *folder = i < options->n_flags ? options->flags[i] : common[i - options->n_flags];
		size_t length;

		if (starts_with(folder, "-isystem") || starts_with(folder, "-iquote"))
			folder += folder[2] == 's' ? strlen("-isystem") : strlen("-iquote");
		else if (starts_with(folder, "-I"))
			folder += 2;
		else if (i < options->n_flags)
			continue;
		if (!*folder && i + 1 < options->n_flags)
			folder = options->flags[i + 1];
		if (!*folder)
			continue;
		folder = absolute(folder);
		length = strlen(folder);
		while (length > 1 && folder[length - 1] == '/')
			length--;
		if (length < longest && length > found && strncmp(real, folder, length) == 0 && real[length] == '/') {
			found = length;
			best = real + length + 1;
		}
	}
	return best;
}

static void add_header(struct service *service, const char *path, bool is_sidecar)
{
	struct header header = {.path = path, .real = absolute(path), .is_sidecar = is_sidecar};

	while (starts_with(header.path, "./"))
		header.path += 2;
	if (access(path, R_OK) < 0)
		error((struct location){.file = path}, NULL, "%s", strerror(errno));
	APPEND(service->headers, service->n_headers, header);
}

static const char *value_of_option(int argc, char **argv, int *i)
{
	if (*i + 1 >= argc)
		complain("what follows ", argv[*i]);
	return argv[++*i];
}

static void read_arguments(int argc, char **argv, struct options *options, struct service *service)
{
	const char **sidecars = NULL, **files = NULL;
	unsigned n_sidecars = 0, n_files = 0;
	int i;

	for (i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		const char *word = argv[i];

		if (strcmp(word, "-o") == 0)
			options->output = value_of_option(argc, argv, &i);
		else if (strcmp(word, "--name") == 0)
			options->name = value_of_option(argc, argv, &i);
		else if (strcmp(word, "--sidecar") == 0)
			APPEND(sidecars, n_sidecars, value_of_option(argc, argv, &i));
		else if (strcmp(word, "--depfile") == 0)
			options->depfile = value_of_option(argc, argv, &i);
		else if (strcmp(word, "--explain") == 0)
			options->explain = true;
		else if (strcmp(word, "--suggest") == 0)
			options->suggest = true;
		else if (strcmp(word, "--replaces") == 0)
			options->replaces = value_of_option(argc, argv, &i);
		else if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
			fputs(usage, stdout);
			exit(0);
		} else if (strcmp(word, "--version") == 0) {
			puts("vmrpcgen " VMRPC_VERSION);
			exit(0);
		} else if (*word == '-')
			complain("what is ", word);
		else
			APPEND(files, n_files, word);
	}
	for (i++; i < argc; i++)
		APPEND(options->flags, options->n_flags, argv[i]);
	if (options->name && !is_identifier(options->name))
		complain("a service's name must be a C identifier, not ", options->name);
	if (options->replaces) {
		options->objects = files;
		options->n_objects = n_files;
		if (!options->name || !n_files)
			complain("--replaces needs --name and objects", "");
		return;
	}
	for (unsigned j = 0; j < n_files; j++)
		add_header(service, files[j], false);
	if (!service->n_headers)
		complain("which header?", "");
	for (unsigned j = 0; j < n_sidecars; j++)
		add_header(service, sidecars[j], true);
	for (unsigned j = 0; j < service->n_headers; j++)
		service->headers[j].include = include_name(service->headers[j].real, options);
}

/* annotate.h as it was installed or unpacked with this program, where the flags lead to no other. */
static void add_own_headers(struct options *options)
{
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);

	if (n < 0)
		return;
	path[n] = 0;
	*strrchr(path, '/') = 0;
	APPEND(options->flags, options->n_flags, "-idirafter");
	APPEND(options->flags, options->n_flags, format("%s/../include", path));
}

static void name_service(struct service *service, const struct options *options)
{
	char *name;

	if (options->name)
		service->name = options->name;
	if (service->name)
		return;
	name = copy_of(base_name(service->headers[0].path), strcspn(base_name(service->headers[0].path), "."));
	for (char *c = name; *c; c++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_", *c))
			*c = '_';
	service->name = is_identifier(name) ? name : format("_%s", name);
}

/* Whole or not at all. */
void write_file(const char *path, const struct text *text)
{
	char *temporary = format("%s.new", path);
	FILE *file = fopen(temporary, "w");

	if (!file || fwrite(text->string, 1, text->length, file) != text->length || fclose(file) != 0 ||
	    rename(temporary, path) < 0) {
		error((struct location){.file = path}, NULL, "%s", strerror(errno));
		unlink(temporary);
	}
}

static void make_folder(const char *path)
{
	if (strcmp(path, ".") != 0 && mkdir(path, 0777) < 0 && errno != EEXIST)
		error((struct location){.file = path}, NULL, "%s", strerror(errno));
}

static void write_all(const struct service *service, const struct options *options)
{
	static const struct {
		const char *suffix;
		void (*emit)(struct text *out, const struct service *service);
	} outputs[] = {{"rpc.h", emit_header}, {"client.c", emit_client}, {"server.c", emit_server}};

	make_folder(options->output);
	if (count_errors())
		return;
	for (unsigned i = 0; i < 3; i++) {
		struct text out = {0};

		outputs[i].emit(&out, service);
		write_file(format("%s/%s.%s", options->output, service->name, outputs[i].suffix), &out);
	}
	if (options->depfile) {
		struct text out = {0};

		emit_depfile(&out, service, options);
		write_file(options->depfile, &out);
	}
}

static void understand(struct service *service, const struct options *options)
{
	if (!parse(service, options))
		return;
	gather_directives(service);
	if (!parse_again(service, options))
		return;
	merge(service);
	name_service(service, options);
	use_attributes(service);
	infer(service);
	gather(service);
	if (parse_again(service, options))
		check(service, !options->explain && !options->suggest);
}

int main(int argc, char **argv)
{
	struct options options = {.output = "."};
	struct service service = {0};

	read_arguments(argc, argv, &options, &service);
	if (options.replaces) {
		make_folder(options.output);
		if (count_errors() == 0)
			replace(&options);
		return report(stderr) ? 1 : 0;
	}
	add_own_headers(&options);
	if (count_errors() == 0)
		understand(&service, &options);
	if (count_errors() == 0 && (options.explain || options.suggest)) {
		if (options.explain)
			explain(stdout, &service);
		if (options.suggest)
			suggest(stdout, &service);
	} else if (count_errors() == 0) {
		carry(&service);
		if (count_errors() == 0)
			lay_out(&service);
		if (count_errors() == 0)
			write_all(&service, &options);
	}
	return report(stderr) ? 1 : 0;
}
