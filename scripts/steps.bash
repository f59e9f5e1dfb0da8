# For ./check and ./demo: long steps that are quiet when all is well and show that they are alive.

# step TITLE LOG PROGRAM...: runs it with its output in LOG. On a terminal one line shows how far it is;
# elsewhere a line appears now and then. Returns what the command returned.
step() {
	local title=$1 log=$2 start=$SECONDS said=$SECONDS pid status=0
	shift 2
	setsid "$@" >"$log" 2>&1 </dev/null &
	pid=$!
	# a step that is interrupted takes its command along, and all that this has started
	trap 'kill -- "-$pid" 2>/dev/null; exit 130' INT TERM
	while kill -0 "$pid" 2>/dev/null; do
		if [ -t 1 ]; then
			printf '\r\033[K%s %s' "$title" "$(progress "$log")"
		elif [ $((SECONDS - said)) -ge 30 ]; then
			said=$SECONDS
			echo "$title: $((SECONDS - start)) s $(progress "$log")"
		fi
		sleep 0.2
	done
	wait "$pid" || status=$?
	trap - INT TERM
	[ ! -t 1 ] || printf '\r\033[K'
	return "$status"
}

# How far a log of ninja or ctest has come: "17/40", or nothing.
progress() {
	sed -nE 's/^ *\[?([0-9]+\/[0-9]+)(\]| Test ).*/\1/p' "$1" | tail -n 1
}
