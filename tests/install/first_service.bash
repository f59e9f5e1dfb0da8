# docs/first-service.md, followed to the letter: its files are written, its commands run in one shell, and what they print
# is what the page says.
. "$(dirname "$0")/common.bash"

[ -x "$VMRPC_BUILD/vmrpcgen/vmrpcgen" ] || skip "there is no vmrpcgen"
prefix=$(install_to prefix)
export CMAKE_PREFIX_PATH=$prefix PATH=$prefix/bin:${CMAKE%/*}:$PATH
unset CMAKE_GENERATOR

# "<!-- file: NAME -->", "<!-- run -->" or "<!-- quiet -->" stands before a block; a text block holds what the run before
# it prints.
mkdir "$work/reader"
echo 'trap '"'"'kill $(jobs -p) 2>/dev/null || true'"'"' EXIT' >"$work/reader/commands" # a server must not outlive a failure
awk -v "folder=$work/reader" '
	/^<!-- file: / { to = folder "/" $3; files++ }
	/^<!-- (run|quiet) -->/ { to = script = folder "/commands"; quiet = /quiet/ }
	/^```text/ { to = folder "/wanted" }
	/^```./ && to {
		inside = 1
		if (to == script) print "{" >>to
		next
	}
	/^```/ && inside {
		if (to == script) print "} >>" (quiet ? "log" : "printed") " 2>&1" >>to
		inside = 0
		to = ""
		next
	}
	inside { print >>to }
	/^```./ { print "line " NR ": a block of which nothing says what it is" >"/dev/stderr"; wrong = 1 }
	END { exit wrong || files < 5 }
' "$VMRPC_SOURCE/docs/first-service.md" || fail "docs/first-service.md is not as expected"

cd "$work/reader"
CFLAGS='-Wall -Wextra -Werror' CC=$CC bash -e commands || {
	cat log printed >&2 || true
	fail "a command of docs/first-service.md failed"
}
diff -u wanted printed >&2 || fail "docs/first-service.md says (-) something else than what is printed (+)"
