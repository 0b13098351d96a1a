# Shared by the scripts beside this file; source it, do not run it.
# shellcheck shell=bash disable=SC2034 # what the scripts use
set -euo pipefail
umask 022
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=$root/.cache # tools and images that scripts fetch; safe to delete
cd "$root"

# A machine without a home folder (a container, a chroot) still needs one for Go.
if [ ! -d "${HOME:-/nonexistent}" ]; then mkdir -p "$cache/home"; export HOME=$cache/home; fi
export GOFLAGS=${GOFLAGS:--buildvcs=false} GOTOOLCHAIN=local
for d in /usr/local/go/bin /usr/lib/go/bin; do command -v go >/dev/null || PATH=$PATH:$d; done

say()  { printf '%s\n' "$*"; }
step() { printf '==> %s\n' "$*"; }
die()  { printf '%s: error: %s\n' "${0##*/}" "$1" >&2; [ $# -lt 2 ] || printf 'hint: %s\n' "$2" >&2; exit 1; }

as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"
	elif command -v sudo >/dev/null; then sudo "$@"
	else die "root rights are needed to run: $*" "run this script as root, or install sudo"
	fi
}

# need_packages PACKAGE...: installs what is missing of Debian's packages.
need_packages() {
	local p missing=()
	for p in "$@"; do dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing+=("$p"); done
	[ ${#missing[@]} -gt 0 ] || return 0
	command -v apt-get >/dev/null || die "these packages are missing: ${missing[*]}" "install them with your distribution's package manager"
	step "installing Debian packages: ${missing[*]}"
	mkdir -p "$cache"
	{ as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q &&
		as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"; } >"$cache/apt.log" 2>&1 ||
		{ tail -n 20 "$cache/apt.log" >&2; die "installing ${missing[*]} failed" "the whole output is in $cache/apt.log"; }
}

need_go() {
	command -v go >/dev/null || die "Go is not installed" "install Go 1.26 or newer and put its bin folder on PATH"
	local v; v=$(go env GOVERSION); v=${v#go}
	[ "$(printf '1.26\n%s\n' "$v" | sort -V | head -n 1)" = 1.26 ] || die "Go $v is too old" "install Go 1.26 or newer"
}

# need_zig: the pinned zig from the Python package index, into the cache.
need_zig() {
	if [ ! -e "$cache/zig/.complete" ] || ! cmp -s scripts/requirements-build.txt "$cache/zig/.complete"; then
		need_packages ca-certificates
		python3 -m pip --version >/dev/null 2>&1 || need_packages python3-pip
		step "fetching zig ($(sed -n 's/^ziglang==\([^ ]*\).*/\1/p' scripts/requirements-build.txt)), the compiler for modules that run on every distribution"
		rm -rf "$cache/zig"
		python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps --require-hashes \
			--target "$cache/zig" -r scripts/requirements-build.txt || die "zig could not be fetched"
		cp scripts/requirements-build.txt "$cache/zig/.complete"
	fi
	zig=$cache/zig/ziglang/zig
	export ZIG_GLOBAL_CACHE_DIR=$cache/zig-cache ZIG_LOCAL_CACHE_DIR=$cache/zig-cache
}

# windows_samples: a program and a library for Windows in build/samples, to be signed
windows_samples() {
	need_zig
	local cc=("$zig" cc -target x86_64-windows-gnu -O1 -s -nostdlib -Wall -Wextra -Werror '-Wl,--entry=start')
	mkdir -p build/samples
	"${cc[@]}" e2e/rig/testdata/hello.c -o build/samples/hello.exe -lkernel32 &&
		"${cc[@]}" -shared e2e/rig/testdata/answer.c -o build/samples/answer.dll
}

# seconds since the script began
elapsed() { printf '%d s' "$SECONDS"; }
