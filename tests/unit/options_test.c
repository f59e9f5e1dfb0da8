/* Addresses and their options: what each may say, and what is answered to what it may not. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"
#include "options.h"
#include "test.h"

static struct vmrpc__address address;

static int parse(const char *text)
{
	vmrpc__address_clear(&address);
	return vmrpc__address_parse(&address, text, "calc");
}

static const struct vmrpc__options *options(const char *text)
{
	char full[512];

	snprintf(full, sizeof full, "local:calc?%s", text);
	if (parse(full) < 0)
		TEST_FAIL("%s: %s", full, vmrpc_error_message());
	return &address.options;
}

/* Must be refused with these words. */
static void refuse(const char *text, const char *words)
{
	char full[512];
	int r;

	snprintf(full, sizeof full, "local:calc?%s", text);
	r = parse(full);
	if (r != -EINVAL)
		TEST_FAIL("%s is %d, not -EINVAL", full, r);
	if (!strstr(vmrpc_error_message(), words))
		TEST_FAIL("%s: \"%s\" does not say \"%s\"", full, vmrpc_error_message(), words);
}

TEST(addresses_have_parts)
{
	CHECK_EQ(parse("local:calc"), 0);
	CHECK_STR(address.text, "local:calc");
	CHECK_STR(address.where, "calc");
	CHECK_STR(address.backend->name, "local");
	CHECK_EQ(parse("local:/run/a:b?"), 0);
	CHECK_STR(address.where, "/run/a:b");
	CHECK_EQ(parse("local:?lock=no"), 0); /* an empty place is the backend's business */
	CHECK_STR(address.where, "");
	CHECK_EQ(parse("local:calc?&lock=yes&&trust=no&"), 0);
	CHECK_EQ(address.options.lock, true);
	CHECK_EQ(address.options.trust, 0);
	CHECK_EQ(parse("local:calc?lock=no?"), -EINVAL);
}

TEST(addresses_without_parts)
{
	CHECK_EQ(parse(""), -EINVAL);
	CHECK(strstr(vmrpc_error_message(), "local:calc"));
	CHECK_EQ(parse("calc"), -EINVAL);
	CHECK(strstr(vmrpc_error_message(), "'calc' is no address"));
	CHECK_EQ(parse("calc?a=local:b"), -EINVAL);
	CHECK_EQ(parse("Local:calc"), -EPROTONOSUPPORT);
	CHECK(strstr(vmrpc_error_message(), "'Local'"));
	CHECK(strstr(vmrpc_error_message(), "local:"));
	CHECK_EQ(parse("locals:calc"), -EPROTONOSUPPORT);
	CHECK_EQ(parse("loca:calc"), -EPROTONOSUPPORT);
	CHECK_EQ(parse(":calc"), -EPROTONOSUPPORT);
}

TEST(a_failure_leaves_the_output_alone)
{
	CHECK_EQ(parse("local:calc?heap=1M"), 0);
	CHECK(vmrpc__address_parse(&address, "local:calc?heap=2M&nothing=1", "calc") < 0);
	CHECK_EQ(address.options.heap, 1 << 20);
	CHECK_STR(address.text, "local:calc?heap=1M");
}

TEST(nothing_is_said_by_default)
{
	const struct vmrpc__options *o = options("");

	CHECK_EQ(o->heap, 0);
	CHECK_EQ(o->stack, 0);
	CHECK_EQ(o->channels, 0);
	CHECK_EQ(o->trust, -1);
	CHECK_EQ(o->timeout_ms, -1);
	CHECK_EQ(o->spin_us, -1);
	CHECK(!o->lock && !o->map_any && !o->stack_shared && !o->wipe && !o->guard && !o->isolate_fork);
	CHECK(!o->allow_any);
	CHECK_EQ(o->n_allow, 0);
}

TEST(sizes)
{
	CHECK_EQ(options("heap=1")->heap, 1);
	CHECK_EQ(options("heap=65536")->heap, 65536);
	CHECK_EQ(options("heap=3K")->heap, 3 << 10);
	CHECK_EQ(options("heap=3k")->heap, 3 << 10);
	CHECK_EQ(options("heap=5M")->heap, 5 << 20);
	CHECK_EQ(options("heap=2G")->heap, INT64_C(2) << 30);
	CHECK_EQ(options("heap=64G")->heap, INT64_C(64) << 30);
	refuse("heap=65G", "heap=65G is too large: at most 64G");
	refuse("heap=1T", "at most 64G");
	refuse("heap=0", "heap= takes a size such as 64M");
	refuse("heap=", "heap= takes");
	refuse("heap", "heap= takes");
	refuse("heap=-1", "heap= takes");
	refuse("heap=+1", "heap= takes");
	refuse("heap= 1", "heap= takes");
	refuse("heap=1 ", "heap= takes");
	refuse("heap=1MB", "heap= takes");
	refuse("heap=1.5M", "heap= takes");
	refuse("heap=0x10", "heap= takes");
	refuse("heap=M", "heap= takes");
	refuse("heap=18446744073709551616", "heap= takes"); /* 2^64 */
	refuse("heap=18446744073709551615K", "heap= takes");
	refuse("heap=16777217T", "heap= takes"); /* would be 1T */
}

TEST(stacks)
{
	CHECK_EQ(options("stack=64K")->stack, 64 << 10);
	CHECK_EQ(options("stack=64M")->stack, 64 << 20);
	CHECK(options("stack=shared")->stack_shared);
	CHECK_EQ(address.options.stack, 0);
	CHECK(options("stack=1M&stack=shared")->stack_shared); /* both, in either order */
	CHECK_EQ(address.options.stack, 1 << 20);
	CHECK(options("stack=shared&stack=1M")->stack_shared);
	refuse("stack=63K", "too small: at least 64K");
	refuse("stack=65M", "too large: at most 64M");
	refuse("stack=", "stack= takes");
	refuse("stack=Shared", "stack= takes");
}

TEST(channels)
{
	CHECK_EQ(options("channels=1")->channels, 1);
	CHECK_EQ(options("channels=4096")->channels, 4096);
	CHECK_EQ(options("channels=4K")->channels, 4096);
	refuse("channels=0", "1 to 4096");
	refuse("channels=4097", "1 to 4096");
	refuse("channels=many", "1 to 4096");
}

TEST(times)
{
	CHECK_EQ(options("timeout=0")->timeout_ms, 0);
	CHECK_EQ(options("timeout=500")->timeout_ms, 500);
	CHECK_EQ(options("timeout=500ms")->timeout_ms, 500);
	CHECK_EQ(options("timeout=2s")->timeout_ms, 2000);
	refuse("timeout=2us", "timeout= takes");
	refuse("timeout=-1", "timeout= takes");
	refuse("timeout=", "timeout= takes");
	refuse("timeout=s", "timeout= takes");
	refuse("timeout=1h", "timeout= takes");
	refuse("timeout=1 s", "timeout= takes");
	refuse("timeout=18446744073709551616", "timeout= takes");
	refuse("timeout=18446744073709551615s", "timeout= takes");
	refuse("timeout=9223372036854775807", "timeout= takes");
	CHECK_EQ(options("spin=0")->spin_us, 0);
	CHECK_EQ(options("spin=50")->spin_us, 50);
	CHECK_EQ(options("spin=50us")->spin_us, 50);
	CHECK_EQ(options("spin=3ms")->spin_us, 3000);
	CHECK_EQ(options("spin=10s")->spin_us, 10000000);
	refuse("spin=11s", "up to 10s");
	refuse("spin=forever", "spin= takes");
}

TEST(switches)
{
	CHECK_EQ(options("trust=yes")->trust, 1);
	CHECK_EQ(options("trust=no")->trust, 0);
	CHECK(options("lock=yes")->lock);
	CHECK(!options("lock=no")->lock);
	CHECK(options("wipe=yes")->wipe);
	CHECK(options("guard=yes")->guard);
	CHECK(options("map=any")->map_any);
	CHECK(!options("map=same")->map_any);
	CHECK(!options("map=any&map=same")->map_any); /* the last one counts */
	CHECK(options("isolate=fork")->isolate_fork);
	CHECK(!options("isolate=thread")->isolate_fork);
	refuse("trust=1", "yes or no");
	refuse("trust=YES", "yes or no");
	refuse("lock=", "yes or no");
	refuse("lock", "yes or no");
	refuse("wipe=on", "yes or no");
	refuse("guard=true", "yes or no");
	refuse("map=other", "same or any");
	refuse("isolate=process", "fork or thread");
}

TEST(users)
{
	const struct vmrpc__options *o;

	CHECK(options("allow=any")->allow_any);
	o = options("allow=1000");
	CHECK_EQ(o->n_allow, 1);
	CHECK_EQ(o->allow[0], 1000);
	o = options("allow=1,root,3&allow=4");
	CHECK_EQ(o->n_allow, 4);
	CHECK_EQ(o->allow[0], 1);
	CHECK_EQ(o->allow[1], 0);
	CHECK_EQ(o->allow[2], 3);
	CHECK_EQ(o->allow[3], 4);
	CHECK_EQ(options("allow=1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16")->n_allow, 16);
	refuse("allow=1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17", "at most 16 users");
	refuse("allow=surely-nobody-is-called-this", "there is no user 'surely-nobody-is-called-this'");
	refuse("allow=", "allow=");
	refuse("allow=1,,2", "allow=");
	refuse("allow=1K", "allow=");	      /* a number, not a size */
	refuse("allow=4294967295", "allow="); /* -1 is nobody's */
}

TEST(unknown_options_name_those_there_are)
{
	refuse("hepa=1M",
	       "there is no option 'hepa'; there are: heap, stack, channels, trust, timeout, spin, lock, map, "
	       "wipe, guard, isolate, allow");
	refuse("heap2=1M", "'heap2'");
	refuse("hea=1M", "'hea'");
	refuse("=1M", "''");
	refuse("Heap=1M", "'Heap'");
}

TEST(the_environment_has_a_say)
{
	unsetenv("VMRPC_CALC");
	CHECK_EQ(parse(NULL), 0);
	CHECK_STR(address.text, "local:calc");
	setenv("VMRPC_CALC", "local:elsewhere?timeout=1s", 1);
	CHECK_EQ(parse(NULL), 0);
	CHECK_STR(address.where, "elsewhere");
	CHECK_EQ(address.options.timeout_ms, 1000);
	CHECK_EQ(parse("local:here"), 0); /* an address given comes first */
	CHECK_STR(address.where, "here");
	/* Letters in capitals, all else an underscore. */
	setenv("VMRPC_MY_LIB_2", "local:mine", 1);
	vmrpc__address_clear(&address);
	CHECK_EQ(vmrpc__address_parse(&address, NULL, "my-lib.2"), 0);
	CHECK_STR(address.where, "mine");
}

TEST(clearing_is_harmless)
{
	struct vmrpc__address empty = {0};

	vmrpc__address_clear(&empty);
	CHECK_EQ(parse("local:calc"), 0);
	vmrpc__address_clear(&address);
	vmrpc__address_clear(&address);
}

TEST_MAIN()
