# For ./check, ./demo and bench/run: installs what is missing from Debian, and says so.

# need PACKAGE:PROOF... where PROOF is a command, or a file (or pattern of one), that shows that the package is there.
need() {
	local word apt_log missing=() as_root=()
	for word; do
		case ${word#*:} in
		/*) compgen -G "${word#*:}" >/dev/null || missing+=("${word%%:*}") ;;
		*) command -v "${word#*:}" >/dev/null || missing+=("${word%%:*}") ;;
		esac
	done
	[ ${#missing[@]} -gt 0 ] || return 0

	if ! command -v apt-get >/dev/null; then
		echo "missing, by their Debian names: ${missing[*]}; please install what your system calls them" >&2
		return 1
	fi
	if [ "$(id -u)" -ne 0 ]; then
		as_root=(sudo)
		command -v sudo >/dev/null || {
			echo "missing packages; as root, run: apt-get install ${missing[*]}" >&2
			return 1
		}
	fi
	echo "installing ${missing[*]}"
	apt_log=$(mktemp)
	if ! apt_get install "${missing[@]}"; then # perhaps only the lists are old, or none
		apt_get update && apt_get install "${missing[@]}" || {
			cat "$apt_log" >&2
			rm -f "$apt_log"
			echo "could not install ${missing[*]}" >&2
			return 1
		}
	fi
	rm -f "$apt_log"
}

apt_get() {
	"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq --no-install-recommends "$@" >"$apt_log" 2>&1 </dev/null
}

# What every build needs.
build_packages=(cmake:cmake ninja-build:ninja gcc:gcc libc6-dev:/usr/include/stdio.h
	'libclang-dev:/usr/lib/llvm-*/include/clang-c/Index.h')
