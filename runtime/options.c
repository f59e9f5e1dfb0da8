/* Parsing addresses and their options. Every refusal names the option, what was given and what is possible. */
#include "options.h"

#include <ctype.h>
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

struct option {
	const char *name;
	const char *takes;
	int (*parse)(struct vmrpc__options *options, const char *value);
};

/* 64, 64K, 64M, 1G; false when it is none or overflows. */
static bool parse_size(const char *value, uint64_t *ret_size)
{
	uint64_t size = 0;
	unsigned shift = 0;

	if (!isdigit((unsigned char)*value))
		return false;
	for (; isdigit((unsigned char)*value); value++)
		if (__builtin_mul_overflow(size, (uint64_t)10, &size) ||
		    __builtin_add_overflow(size, (uint64_t)(*value - '0'), &size))
			return false;
	switch (*value) {
	case 'K':
	case 'k':
		shift = 10;
		break;
	case 'M':
	case 'm':
		shift = 20;
		break;
	case 'G':
	case 'g':
		shift = 30;
		break;
	case 'T':
	case 't':
		shift = 40;
		break;
	}
	if (shift)
		value++;
	if (*value || (size << shift) >> shift != size)
		return false;
	*ret_size = size << shift;
	return true;
}

/* In units of so many microseconds; a unit may be given: 500, 500ms, 2s. */
static bool parse_time(const char *value, uint64_t unit, int64_t limit, int64_t *ret_time)
{
	char *end;
	unsigned long long number;
	uint64_t factor = 1;

	if (!isdigit((unsigned char)*value))
		return false;
	errno = 0;
	number = strtoull(value, &end, 10);
	if (errno)
		return false;
	if (strcmp(end, "us") == 0 && unit == 1)
		factor = 1;
	else if (strcmp(end, "ms") == 0)
		factor = 1000 / unit;
	else if (strcmp(end, "s") == 0)
		factor = 1000000 / unit;
	else if (*end)
		return false;
	if (__builtin_mul_overflow(number, factor, &number) || number > (uint64_t)limit)
		return false;
	*ret_time = (int64_t)number;
	return true;
}

static bool parse_bool(const char *value, bool *ret_bool)
{
	if (strcmp(value, "yes") == 0)
		*ret_bool = true;
	else if (strcmp(value, "no") == 0)
		*ret_bool = false;
	else
		return false;
	return true;
}

static int parse_heap(struct vmrpc__options *options, const char *value)
{
	uint64_t size;

	if (!parse_size(value, &size) || size == 0)
		return -EINVAL;
	if (size > VMRPC__HEAP_LIMIT)
		return vmrpc__fail(EINVAL, "heap=%s is too large: at most %zuG", value, VMRPC__HEAP_LIMIT >> 30);
	options->heap = size;
	return 0;
}

static int parse_stack(struct vmrpc__options *options, const char *value)
{
	uint64_t size;

	if (strcmp(value, "shared") == 0) {
		options->stack_shared = true;
		return 0;
	}
	if (!parse_size(value, &size))
		return -EINVAL;
	if (size < VMRPC__STACK_MIN)
		return vmrpc__fail(EINVAL, "stack=%s is too small: at least %zuK", value, VMRPC__STACK_MIN >> 10);
	if (size > VMRPC__STACK_LIMIT)
		return vmrpc__fail(EINVAL, "stack=%s is too large: at most %zuM", value, VMRPC__STACK_LIMIT >> 20);
	options->stack = size;
	return 0;
}

static int parse_channels(struct vmrpc__options *options, const char *value)
{
	uint64_t n;

	if (!parse_size(value, &n) || n == 0 || n > VMRPC__CHANNELS_LIMIT)
		return -EINVAL;
	options->channels = (uint32_t)n;
	return 0;
}

static int parse_trust(struct vmrpc__options *options, const char *value)
{
	bool trust;

	if (!parse_bool(value, &trust))
		return -EINVAL;
	options->trust = trust;
	return 0;
}

static int parse_timeout(struct vmrpc__options *options, const char *value)
{
	return parse_time(value, 1000, INT64_C(1000) * 60 * 60 * 24 * 365, &options->timeout_ms) ? 0 : -EINVAL;
}

static int parse_spin(struct vmrpc__options *options, const char *value)
{
	return parse_time(value, 1, 10 * 1000 * 1000, &options->spin_us) ? 0 : -EINVAL;
}

static int parse_lock(struct vmrpc__options *options, const char *value)
{
	return parse_bool(value, &options->lock) ? 0 : -EINVAL;
}

static int parse_map(struct vmrpc__options *options, const char *value)
{
	options->map_any = strcmp(value, "any") == 0;
	return options->map_any || strcmp(value, "same") == 0 ? 0 : -EINVAL;
}

static int parse_wipe(struct vmrpc__options *options, const char *value)
{
	return parse_bool(value, &options->wipe) ? 0 : -EINVAL;
}

static int parse_guard(struct vmrpc__options *options, const char *value)
{
	return parse_bool(value, &options->guard) ? 0 : -EINVAL;
}

static int parse_isolate(struct vmrpc__options *options, const char *value)
{
	options->isolate_fork = strcmp(value, "fork") == 0;
	return options->isolate_fork || strcmp(value, "thread") == 0 ? 0 : -EINVAL;
}

static int parse_allow(struct vmrpc__options *options, const char *value)
{
	char *copy, *rest, *word;
	int r = 0;

	if (strcmp(value, "any") == 0) {
		options->allow_any = true;
		return 0;
	}
	copy = strdup(value);
	if (!copy)
		return vmrpc__fail(ENOMEM, "no memory to read an address");
	for (rest = copy; r == 0 && (word = strsep(&rest, ","));) {
		uint64_t uid;
		struct passwd *user;

		if (options->n_allow == VMRPC__ALLOW_MAX)
			r = vmrpc__fail(EINVAL, "allow= takes at most %d users", VMRPC__ALLOW_MAX);
		else if (word[strspn(word, "0123456789")] == 0 && parse_size(word, &uid) && uid < UINT32_MAX)
			options->allow[options->n_allow++] = (uid_t)uid;
		else if ((user = getpwnam(word)))
			options->allow[options->n_allow++] = user->pw_uid;
		else
			r = vmrpc__fail(EINVAL, "allow=%s: there is no user '%s'", value, word);
	}
	free(copy);
	return r;
}

static const struct option all_options[] = {
	{"heap", "a size such as 64M", parse_heap},
	{"stack", "a size such as 256K, or shared", parse_stack},
	{"channels", "a number from 1 to 4096", parse_channels},
	{"trust", "yes or no", parse_trust},
	{"timeout", "milliseconds, or a time such as 2s", parse_timeout},
	{"spin", "microseconds, or a time such as 1ms, up to 10s", parse_spin},
	{"lock", "yes or no", parse_lock},
	{"map", "same or any", parse_map},
	{"wipe", "yes or no", parse_wipe},
	{"guard", "yes or no", parse_guard},
	{"isolate", "fork or thread", parse_isolate},
	{"allow", "any, or users separated by commas", parse_allow},
};

#define N_OPTIONS (sizeof all_options / sizeof all_options[0])

static int parse_option(struct vmrpc__options *options, const char *text, const char *word)
{
	const char *equals = strchr(word, '=');
	size_t length = equals ? (size_t)(equals - word) : strlen(word);
	char known[256] = "";
	size_t used = 0;

	for (size_t i = 0; i < N_OPTIONS; i++) {
		const struct option *option = &all_options[i];
		int r;

		used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", option->name);
		if (strlen(option->name) != length || memcmp(option->name, word, length) != 0)
			continue;
		vmrpc__error_reset();
		r = equals ? option->parse(options, equals + 1) : -EINVAL;
		if (r < 0 && !*vmrpc_error_message())
			vmrpc__fail(EINVAL, "address '%s': '%s' does not say what it should: %s= takes %s", text, word,
				    option->name, option->takes);
		return r;
	}
	return vmrpc__fail(EINVAL, "address '%s': there is no option '%.*s'; there are: %s", text, (int)length, word,
			   known);
}

/* The address in VMRPC_<SERVICE>, or NULL. */
static const char *address_from_environment(const char *service)
{
	char name[VMRPC__NAME_MAX + 8] = "VMRPC_";
	size_t length = strlen(name);

	for (; *service && length < sizeof name - 1; service++)
		name[length++] = isalnum((unsigned char)*service) ? (char)toupper((unsigned char)*service) : '_';
	name[length] = 0;
	return secure_getenv(name);
}

int vmrpc__address_parse(struct vmrpc__address *ret_address, const char *text, const char *service)
{
	struct vmrpc__address address = {.options = {.trust = -1, .timeout_ms = -1, .spin_us = -1}};
	char by_name[VMRPC__NAME_MAX + 8];
	const char *colon, *question;
	char *options = NULL, *rest, *word;
	int r = 0;

	if (!text)
		text = address_from_environment(service);
	if (!text) {
		snprintf(by_name, sizeof by_name, "local:%s", service);
		text = by_name;
	}
	colon = strchr(text, ':');
	question = strchr(text, '?');
	if (!colon || (question && question < colon))
		return vmrpc__fail(EINVAL, "'%s' is no address: one looks like local:%s or local:%s?timeout=2s", text,
				   service, service);
	address.backend = vmrpc__backend_find(text, (size_t)(colon - text));
	if (!address.backend)
		return -errno;

	address.text = strdup(text);
	address.where = question ? strndup(colon + 1, (size_t)(question - colon - 1)) : strdup(colon + 1);
	options = strdup(question ? question + 1 : "");
	if (!address.text || !address.where || !options)
		r = vmrpc__fail(ENOMEM, "no memory to read an address");
	for (rest = options; r == 0 && rest && (word = strsep(&rest, "&"));)
		if (*word)
			r = parse_option(&address.options, text, word);
	free(options);
	if (r < 0) {
		vmrpc__address_clear(&address);
		return r;
	}
	*ret_address = address;
	return 0;
}

void vmrpc__address_clear(struct vmrpc__address *address)
{
	free(address->text);
	free(address->where);
	address->text = address->where = NULL;
}
