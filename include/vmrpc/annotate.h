/* The words that tell vmrpcgen what a header can't say in C. For every compiler they vanish: a header that uses them
 * means the same with vmrpc and without. docs/annotations.md explains each with an example.
 *
 * Three words of the language come with and without an argument: HANDLE, USERDATA and CONSUMES. The preprocessor
 * can't offer that: a macro either takes parentheses or it does not, and nothing that may follow a declarator would
 * hide a "(name)" left behind. So on a declaration, the one with an argument has a longer name:
 *
 *	VMRPC_HANDLE	 VMRPC_HANDLE_NAMED(name)
 *	VMRPC_USERDATA	 VMRPC_USERDATA_OF(callback)
 *	VMRPC_CONSUMES	 VMRPC_CONSUMES_WITH(fn)
 *
 * Inside the parentheses of another word, VMRPC_EACH(VMRPC_HANDLE(name)) or VMRPC_FIELD(struct s, f,
 * VMRPC_USERDATA(done)), vmrpcgen itself reads them, and both spellings are fine. */
#ifndef VMRPC_ANNOTATE_H
#define VMRPC_ANNOTATE_H

#ifdef VMRPC_GENERATOR /* vmrpcgen is reading: each word is one string on the declaration it follows */

#define VMRPC__NOTE(text)    __attribute__((annotate("vmrpc:" text)))
#define VMRPC__PASTE(a, b)   a##b
#define VMRPC__NAME(kind, n) VMRPC__PASTE(vmrpc__##kind##_, n)
/* Carries a word about something declared elsewhere. type is expanded by the preprocessor, the rest is not. */
#define VMRPC__ABOUT(kind, type, text) typedef type VMRPC__NAME(kind, __COUNTER__) VMRPC__NOTE(text)

/* On a line of their own. */
#define VMRPC_SERVICE(name, major, minor) VMRPC__ABOUT(service, int, "SERVICE(" #name ", " #major ", " #minor ")")
#define VMRPC_FIELD(type, ...)		  VMRPC__ABOUT(field, type, "FIELD(" #__VA_ARGS__ ")")
#define VMRPC_TYPE(type, ...)		  VMRPC__ABOUT(type, type, "TYPE(" #__VA_ARGS__ ")")
#define VMRPC_DEFAULT_FAIL(type, ...)	  VMRPC__ABOUT(default_fail, type, "DEFAULT_FAIL(" #__VA_ARGS__ ")")

/* Direction of what a pointer points to. */
#define VMRPC_IN    VMRPC__NOTE("IN")
#define VMRPC_OUT   VMRPC__NOTE("OUT")
#define VMRPC_INOUT VMRPC__NOTE("INOUT")

/* Extent: how much it points to. */
#define VMRPC_COUNT(...)      VMRPC__NOTE("COUNT(" #__VA_ARGS__ ")")	  /* (n) elements */
#define VMRPC_SIZE(...)	      VMRPC__NOTE("SIZE(" #__VA_ARGS__ ")")	  /* (n) bytes */
#define VMRPC_STRING	      VMRPC__NOTE("STRING")			  /* elements up to and with a zero */
#define VMRPC_STRING_MAX(...) VMRPC__NOTE("STRING_MAX(" #__VA_ARGS__ ")") /* (n) a zero or n elements */
#define VMRPC_TERMINATED      VMRPC__NOTE("TERMINATED")		   /* an array that ends with a zero or NULL element */
#define VMRPC_END(...)	      VMRPC__NOTE("END(" #__VA_ARGS__ ")") /* (q) up to the pointer q */
#define VMRPC_RANGE(...)      VMRPC__NOTE("RANGE(" #__VA_ARGS__ ")") /* (from, to) only this window */

/* Extent of what the callee fills: cap is evaluated before the call, len after it. */
#define VMRPC_COUNT_OUT(...)  VMRPC__NOTE("COUNT_OUT(" #__VA_ARGS__ ")")  /* (len, cap) */
#define VMRPC_SIZE_OUT(...)   VMRPC__NOTE("SIZE_OUT(" #__VA_ARGS__ ")")	  /* (len, cap) */
#define VMRPC_STRING_OUT(...) VMRPC__NOTE("STRING_OUT(" #__VA_ARGS__ ")") /* (cap) */
#define VMRPC_SUCCESS(...)    VMRPC__NOTE("SUCCESS(" #__VA_ARGS__ ")")	  /* (condition) outs were written */

/* Deeper levels. */
#define VMRPC_EACH(...) VMRPC__NOTE("EACH(" #__VA_ARGS__ ")") /* (words...) for what each element points to */
#define VMRPC_GRAPH	VMRPC__NOTE("GRAPH")		      /* pointers may alias or cycle */
#define VMRPC_ONLY(...) VMRPC__NOTE("ONLY(" #__VA_ARGS__ ")") /* (field, ...) of the struct */

/* Unions, and words that depend on another argument. */
#define VMRPC_SWITCH(...) VMRPC__NOTE("SWITCH(" #__VA_ARGS__ ")") /* (tag) on a union */
#define VMRPC_CASE(...)	  VMRPC__NOTE("CASE(" #__VA_ARGS__ ")")	  /* (value) on a member of it */
#define VMRPC_DEFAULT	  VMRPC__NOTE("DEFAULT")		  /* on a member of it */
#define VMRPC_WHEN(...)	  VMRPC__NOTE("WHEN(" #__VA_ARGS__ ")")	  /* (condition, words...) */

/* Null, and pointers that come back. */
#define VMRPC_NONNULL	VMRPC__NOTE("NONNULL")
#define VMRPC_INTO(...) VMRPC__NOTE("INTO(" #__VA_ARGS__ ")") /* (p) points into what p pointed to */

/* Objects of the caller whose address the library keeps. */
#define VMRPC_OBJECT	   VMRPC__NOTE("OBJECT")
#define VMRPC_OPENS	   VMRPC__NOTE("OPENS")
#define VMRPC_CLOSES	   VMRPC__NOTE("CLOSES")
#define VMRPC_SCRATCH(...) VMRPC__NOTE("SCRATCH(" #__VA_ARGS__ ")") /* (n) bytes that the callee may use */

/* What the callee keeps or frees. */
#define VMRPC_RETAINED(...) \
	VMRPC__NOTE("RETAINED(" #__VA_ARGS__ ")") /* (owner) or (owner, IN), (owner, OUT), (owner, INOUT) */
#define VMRPC_CONSUMES		 VMRPC__NOTE("CONSUMES")
#define VMRPC_CONSUMES_WITH(...) VMRPC__NOTE("CONSUMES_WITH(" #__VA_ARGS__ ")") /* (fn) */
#define VMRPC_OWNED(...)	 VMRPC__NOTE("OWNED(" #__VA_ARGS__ ")")		/* (fn) on a type */
#define VMRPC_DISPOSED_BY(...)	 VMRPC__NOTE("DISPOSED_BY(" #__VA_ARGS__ ")")	/* (callback) */

/* Handles. */
#define VMRPC_HANDLE		VMRPC__NOTE("HANDLE")
#define VMRPC_HANDLE_NAMED(...) VMRPC__NOTE("HANDLE_NAMED(" #__VA_ARGS__ ")") /* (name) */
#define VMRPC_CLOSES_IF(...)	VMRPC__NOTE("CLOSES_IF(" #__VA_ARGS__ ")")    /* (condition) */
#define VMRPC_CLOSE_WITH(...)	VMRPC__NOTE("CLOSE_WITH(" #__VA_ARGS__ ")")   /* (fn) */
#define VMRPC_LIVES_WITH(...)	VMRPC__NOTE("LIVES_WITH(" #__VA_ARGS__ ")")   /* (handle) */

/* Callbacks. */
#define VMRPC_USERDATA	       VMRPC__NOTE("USERDATA")
#define VMRPC_USERDATA_OF(...) VMRPC__NOTE("USERDATA_OF(" #__VA_ARGS__ ")") /* (callback) */
#define VMRPC_RESULT(...)      VMRPC__NOTE("RESULT(" #__VA_ARGS__ ")") /* (words...) of what the callback returns */
#define VMRPC_MAY_LONGJMP      VMRPC__NOTE("MAY_LONGJMP")

/* Results. */
#define VMRPC_CALLER_FREES(...) VMRPC__NOTE("CALLER_FREES(" #__VA_ARGS__ ")") /* (fn) */
#define VMRPC_BORROWED		VMRPC__NOTE("BORROWED")			      /* until the next call */
#define VMRPC_STATIC		VMRPC__NOTE("STATIC")			      /* for ever */

/* Sharing. */
#define VMRPC_SHARED	     VMRPC__NOTE("SHARED")			/* the address itself travels */
#define VMRPC_COPY	     VMRPC__NOTE("COPY")			/* always a snapshot */
#define VMRPC_UNCHECKED(...) VMRPC__NOTE("UNCHECKED(" #__VA_ARGS__ ")") /* ("why") */

/* The call. */
#define VMRPC_ASYNC	      VMRPC__NOTE("ASYNC")
#define VMRPC_FLUSH	      VMRPC__NOTE("FLUSH")
#define VMRPC_ERRNO	      VMRPC__NOTE("ERRNO")
#define VMRPC_TIMEOUT_MS(...) VMRPC__NOTE("TIMEOUT_MS(" #__VA_ARGS__ ")") /* (n) */
#define VMRPC_ON_FAIL(...)    VMRPC__NOTE("ON_FAIL(" #__VA_ARGS__ ")")	  /* (value), or () for a void function */
#define VMRPC_IDEMPOTENT      VMRPC__NOTE("IDEMPOTENT")
#define VMRPC_SHARED_STACK    VMRPC__NOTE("SHARED_STACK")
#define VMRPC_ID(...)	      VMRPC__NOTE("ID(" #__VA_ARGS__ ")") /* (n) */
#define VMRPC_FD	      VMRPC__NOTE("FD")
#define VMRPC_VA_FORMAT(...)  VMRPC__NOTE("VA_FORMAT(" #__VA_ARGS__ ")") /* (i) */

/* By hand: the stub only fails, or the callee sees zero. */
#define VMRPC_SKIP VMRPC__NOTE("SKIP")

#else /* every other reader */

/* Something that may carry its semicolon, as often as one likes, in every dialect of C and C++. */
#define VMRPC__NOTHING struct vmrpc__nothing

#define VMRPC_SERVICE(name, major, minor) VMRPC__NOTHING
#define VMRPC_FIELD(type, ...)		  VMRPC__NOTHING
#define VMRPC_TYPE(type, ...)		  VMRPC__NOTHING
#define VMRPC_DEFAULT_FAIL(type, ...)	  VMRPC__NOTHING

#define VMRPC_IN
#define VMRPC_OUT
#define VMRPC_INOUT
#define VMRPC_COUNT(...)
#define VMRPC_SIZE(...)
#define VMRPC_STRING
#define VMRPC_STRING_MAX(...)
#define VMRPC_TERMINATED
#define VMRPC_END(...)
#define VMRPC_RANGE(...)
#define VMRPC_COUNT_OUT(...)
#define VMRPC_SIZE_OUT(...)
#define VMRPC_STRING_OUT(...)
#define VMRPC_SUCCESS(...)
#define VMRPC_EACH(...)
#define VMRPC_GRAPH
#define VMRPC_ONLY(...)
#define VMRPC_SWITCH(...)
#define VMRPC_CASE(...)
#define VMRPC_DEFAULT
#define VMRPC_WHEN(...)
#define VMRPC_NONNULL
#define VMRPC_INTO(...)
#define VMRPC_OBJECT
#define VMRPC_OPENS
#define VMRPC_CLOSES
#define VMRPC_SCRATCH(...)
#define VMRPC_RETAINED(...)
#define VMRPC_CONSUMES
#define VMRPC_CONSUMES_WITH(...)
#define VMRPC_OWNED(...)
#define VMRPC_DISPOSED_BY(...)
#define VMRPC_HANDLE
#define VMRPC_HANDLE_NAMED(...)
#define VMRPC_CLOSES_IF(...)
#define VMRPC_CLOSE_WITH(...)
#define VMRPC_LIVES_WITH(...)
#define VMRPC_USERDATA
#define VMRPC_USERDATA_OF(...)
#define VMRPC_RESULT(...)
#define VMRPC_MAY_LONGJMP
#define VMRPC_CALLER_FREES(...)
#define VMRPC_BORROWED
#define VMRPC_STATIC
#define VMRPC_SHARED
#define VMRPC_COPY
#define VMRPC_UNCHECKED(...)
#define VMRPC_ASYNC
#define VMRPC_FLUSH
#define VMRPC_ERRNO
#define VMRPC_TIMEOUT_MS(...)
#define VMRPC_ON_FAIL(...)
#define VMRPC_IDEMPOTENT
#define VMRPC_SHARED_STACK
#define VMRPC_ID(...)
#define VMRPC_FD
#define VMRPC_VA_FORMAT(...)
#define VMRPC_SKIP

#endif
#endif
