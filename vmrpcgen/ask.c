/* What can't be known is asked: when a pointer is in doubt, and which words are the likeliest to settle it. */
#include <string.h>

#include "infer.h"

#define N(array) (sizeof(array) / sizeof *(array))

struct passing *new_passing(enum passing_kind kind, enum origin origin, const char *because)
{
	struct passing *passing = allocate(sizeof *passing);

	*passing = (struct passing){.kind = kind, .origin = origin, .because = because};
	return passing;
}

struct passing *refuse(const char *write, const char *because)
{
	struct passing *passing = new_passing(PASS_REFUSED, REFUSED, because);

	passing->write = write;
	return passing;
}

static bool looks_like(const char *name, const char *const *hints, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (strstr(name, hints[i]))
			return true;
	return false;
}

static bool looks_like_count(const struct value *value)
{
	static const char *const hints[] = {"len",   "size",	"count",  "num",     "cap",   "max",  "nbyte",
					    "nmemb", "cnt",	"Len",	  "Size",    "Count", "Cnt",  "Num",
					    "items", "elems",	"total",  "samples", "nvec",  "niov", "nelem",
					    "nbufs", "entries", "frames", "bytes",   "words"};

	return is_integer(value->type) && (strcmp(value->name, "n") == 0 || starts_with(value->name, "n_") ||
					   looks_like(value->name, hints, N(hints)));
}

/* "nrects", "num_rects", "rect_count" are about "rects". */
static bool is_named_after(const char *count, const char *array)
{
	size_t length = strlen(array);

	if (length > 3 && array[length - 1] == 's')
		length--;
	return length >= 2 && strstr(count, copy_of(array, length)) && strcmp(count, array) != 0;
}

/* The parameter beside it that looks like its length; NULL without. */
static const char *count_beside(const struct context *context)
{
	const struct signature *within = context->within;

	for (unsigned i = 0; within && i < within->n_params; i++) {
		const struct value *const *params = (const struct value *const *)within->params;

		if (params[i] != context->value)
			continue;
		if (i + 1 < within->n_params && looks_like_count(params[i + 1]))
			return params[i + 1]->name;
		/* before it stands its own, or that of another pointer */
		if (i > 0 && looks_like_count(params[i - 1]) &&
		    (i == 1 || !bare_type(params[i - 2]->type)->target ||
		     is_named_after(params[i - 1]->name, params[i]->name)))
			return params[i - 1]->name;
	}
	for (unsigned i = 0; within && context->role == PARAMETER && i < within->n_params; i++)
		if (is_integer(within->params[i]->type) &&
		    is_named_after(within->params[i]->name, context->value->name))
			return within->params[i]->name;
	return NULL;
}

static bool has_callback(const struct context *context)
{
	for (unsigned i = 0; context->within && i < context->within->n_params; i++) {
		struct type *type = bare_type(context->within->params[i]->type);

		if (type->kind == TYPE_POINTER && bare_type(type->target)->kind == TYPE_FUNCTION)
			return true;
	}
	return false;
}

/* "options", "entries": perhaps an array that ends with an element of zeros. */
static bool is_plural(const char *name)
{
	static const char *const hints[] = {"list", "array", "table", "vec"}, *const single[] = {"ss", "us", "is", "as",
												 "os"};
	size_t length = strlen(name);

	if (looks_like(name, hints, N(hints)))
		return true;
	for (unsigned i = 0; i < N(single); i++)
		if (ends_with(name, single[i]))
			return false;
	return length > 3 && name[length - 1] == 's';
}

static const char *lifetime_to_suggest(struct type *target)
{
	return target->is_const ? "VMRPC_BORROWED" : "VMRPC_CALLER_FREES(free)";
}

/* The likeliest words; the reader decides. */
static const char *words_to_write(struct type *target, const struct context *context)
{
	static const char *const out_names[] = {"out", "ret", "res", "Out", "dst", "dest"};
	static const char *const user_names[] = {"user", "arg", "opaque", "closure", "ctx", "cookie", "priv", "baton"};
	struct type *bare = bare_type(target);
	const char *count = count_beside(context), *n = count ? count : "n";
	const char *direction = context->role == FIELD || context->role == RESULT || target->is_const ? ""
				: looks_like(context->value->name, out_names, N(out_names))	      ? "VMRPC_OUT "
				: is_scalar(bare) && !is_character(target) && !count		      ? "VMRPC_OUT "
												      : "VMRPC_INOUT ";

	if (context->role == RESULT) {
		if (is_character(target))
			return format("VMRPC_STRING %s", lifetime_to_suggest(target));
		if (bare->kind == TYPE_VOID)
			return format("VMRPC_SIZE(n) %s", lifetime_to_suggest(target));
		if (bare->kind == TYPE_POINTER)
			return format("VMRPC_COUNT(n) VMRPC_EACH(...) %s", lifetime_to_suggest(target));
		return lifetime_to_suggest(target);
	}
	if (is_character(target)) {
		if (bare->name && strcmp(bare->name, "char") != 0)
			return format("%sVMRPC_SIZE(%s)", direction, n);
		if (target->is_const)
			return count ? format("VMRPC_COUNT(%s)", n) : "VMRPC_STRING";
		return count ? format("VMRPC_STRING_OUT(%s)", n) : format("%sVMRPC_STRING", direction);
	}
	if (bare->kind == TYPE_VOID)
		return !target->is_const && !count &&
				       (has_callback(context) ||
					looks_like(context->value->name, user_names, N(user_names)))
			       ? "VMRPC_USERDATA"
			       : format("%sVMRPC_SIZE(%s)", direction, n);
	if (bare->kind == TYPE_RECORD && bare->record->made_by && !count)
		return "VMRPC_HANDLE";
	if (bare->kind == TYPE_POINTER) {
		struct type *inner = bare->target, *record = bare_type(inner);

		if (record->kind == TYPE_RECORD && !record->record->is_complete && !count && !target->is_const)
			return "VMRPC_OUT";
		if (record->kind == TYPE_RECORD && record->record->made_by && !count && !target->is_const)
			return "VMRPC_OUT VMRPC_EACH(VMRPC_HANDLE)";
		if (is_character(inner))
			return format("%sVMRPC_EACH(VMRPC_STRING%s)",
				      starts_with(direction, "VMRPC_I") ? "VMRPC_OUT " : direction,
				      target->is_const || inner->is_const ? "" : " VMRPC_CALLER_FREES(free)");
		return format("%sVMRPC_EACH(...)", *direction ? "VMRPC_OUT " : "");
	}
	if (bare->kind == TYPE_RECORD && same(bare->record->name, "struct sockaddr"))
		return format("%sVMRPC_SIZE(%s)", direction, n);
	if (count)
		return format("%sVMRPC_COUNT(%s)", direction, n);
	if (!*direction && is_scalar(bare))
		return target->name && strcmp(target->name, "wchar_t") == 0 ? "VMRPC_STRING" : "VMRPC_COUNT(n)";
	if (!*direction &&
	    (bare_type(context->value->type)->kind == TYPE_OPEN_ARRAY || is_plural(context->value->name)))
		return "VMRPC_TERMINATED";
	return *direction ? copy_of(direction, strlen(direction) - 1) : "VMRPC_COUNT(1)";
}

const char *name_of(const struct context *context)
{
	return context->role == RESULT	  ? "the result"
	       : context->role == ELEMENT ? format("what '%s' points to", context->value->name)
					  : format("'%s'", context->value->name);
}

struct passing *ask(struct type *type, struct type *target, const struct context *context, const char *what)
{
	const char *words = words_to_write(target, context);
	const char *because = format("%s is '%s', and nothing says %s", name_of(context), type_text(type), what);

	if (context->role == ELEMENT)
		return refuse(format("%s VMRPC_EACH(%s)", declaration(context->value->type, context->value->name),
				     is_character(target) ? "VMRPC_STRING" : words),
			      because);
	if (context->role == RESULT)
		return refuse(format("%s", words), because);
	return refuse(format("%s %s", declaration(context->value->type, context->value->name), words), because);
}

bool is_surely_more(struct type *type, struct type *target, const struct context *context)
{
	struct type *bare = bare_type(target);

	return bare_type(type)->kind == TYPE_OPEN_ARRAY || count_beside(context) ||
	       (bare->kind == TYPE_RECORD && same(bare->record->name, "struct sockaddr"));
}

struct passing *doubt(struct type *type, struct type *target, const struct context *context)
{
	struct type *bare = bare_type(target);
	const char *count = count_beside(context);

	if (is_scalar(bare) || bare_type(type)->kind == TYPE_OPEN_ARRAY)
		return ask(type, target, context, "how many there are");
	if (count && context->role == PARAMETER && !same(bare->record ? bare->record->name : NULL, "struct sockaddr"))
		return ask(type, target, context, format("whether there is one, or as many as '%s' says", count));
	if (bare->kind == TYPE_RECORD && same(bare->record->name, "struct sockaddr"))
		return ask(type, target, context, "how large it is: addresses differ");
	if (is_plural(context->value->name) && context->role == PARAMETER)
		return ask(type, target, context, "whether there is one, or an array that ends somewhere");
	if (bare->kind == TYPE_RECORD && bare->record->made_by && context->role == PARAMETER)
		return refuse(format("%s VMRPC_HANDLE", declaration(context->value->type, context->value->name)),
			      format("%s is '%s', and nothing says whether it is a value, or one of the objects that "
				     "'%s' makes",
				     name_of(context), type_text(type), bare->record->made_by));
	return NULL;
}

/* Structs that everybody knows are no handles: a header that only names them leaves their contents to who includes it.
 */
const char *header_of(const struct record *record)
{
	static const char *const known[][2] = {
		{"addrinfo", "netdb.h"},
		{"dirent", "dirent.h"},
		{"group", "grp.h"},
		{"hostent", "netdb.h"},
		{"in6_addr", "netinet/in.h"},
		{"in_addr", "netinet/in.h"},
		{"iovec", "sys/uio.h"},
		{"itimerspec", "time.h"},
		{"itimerval", "sys/time.h"},
		{"msghdr", "sys/socket.h"},
		{"passwd", "pwd.h"},
		{"pollfd", "poll.h"},
		{"rlimit", "sys/resource.h"},
		{"rusage", "sys/resource.h"},
		{"servent", "netdb.h"},
		{"sigaction", "signal.h"},
		{"sockaddr", "sys/socket.h"},
		{"sockaddr_in", "netinet/in.h"},
		{"sockaddr_in6", "netinet/in.h"},
		{"sockaddr_storage", "sys/socket.h"},
		{"sockaddr_un", "sys/un.h"},
		{"stat", "sys/stat.h"},
		{"statfs", "sys/statfs.h"},
		{"statvfs", "sys/statvfs.h"},
		{"termios", "termios.h"},
		{"timespec", "time.h"},
		{"timeval", "sys/time.h"},
		{"timezone", "sys/time.h"},
		{"tm", "time.h"},
		{"ucred", "sys/socket.h"},
		{"utimbuf", "utime.h"},
		{"utsname", "sys/utsname.h"},
		{"winsize", "sys/ioctl.h"},
	};

	for (unsigned i = 0; record->name && i < sizeof known / sizeof *known; i++)
		if (starts_with(record->name, "struct ") && strcmp(record->name + strlen("struct "), known[i][0]) == 0)
			return known[i][1];
	return NULL;
}
