# shellcheck shell=bash disable=SC2154
# Linux: amd64 and arm64, with zig for glibc 2.28.
platform linux-amd64 build_linux amd64 x86_64
platform linux-arm64 build_linux arm64 aarch64
contents "Linux" <<'TXT'
  signpath                     the program for people, static
  signpath-hsm                 works with PKCS #11 tokens for signpath server, glibc 2.28 or newer
  notation-signpath            the plug-in of notation, static; also as notation-signpath.tar.gz
  libSignPath.Cryptoki.so      the PKCS #11 module, glibc 2.28 or newer; works alone
  libSignPath.Cryptoki.core.so put it beside the module to save 5 ms per process (optional)
TXT

# build_linux GOARCH ZIGARCH
build_linux() {
	local goarch=$1 target=$2-linux-gnu.2.28 out=$dist/linux-$1
	need_packages binutils
	need_zig
	local cc="$zig cc -target $target"
	mkdir -p "$out"
	step "linux-$goarch: signpath"
	CGO_ENABLED=0 GOOS=linux GOARCH=$goarch go build -trimpath -ldflags="-s -w $stamp" -o "$out/signpath" ./cmd/signpath
	step "linux-$goarch: signpath-hsm"
	CGO_ENABLED=1 GOOS=linux GOARCH=$goarch CC=$cc go build -trimpath -tags netgo,osusergo -ldflags="-s -w $stamp" -o "$out/signpath-hsm" ./cmd/signpath-hsm
	check_portable "$out/signpath-hsm"
	step "linux-$goarch: notation-signpath"
	CGO_ENABLED=0 GOOS=linux GOARCH=$goarch go build -trimpath -ldflags="-s -w $stamp" -o "$out/notation-signpath" ./cmd/notation-signpath
	chmod 755 "$out/notation-signpath"
	tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C "$out" -cf - notation-signpath | gzip -n9 >"$out/notation-signpath.tar.gz"
	step "linux-$goarch: libSignPath.Cryptoki.so"
	local core=$out/libSignPath.Cryptoki.core.so so=$out/libSignPath.Cryptoki.so
	# The hash is for Go's cache, which does not see the headers of another folder.
	CGO_CFLAGS="-O2 -g -DSP_HEADERS=$(cat cmd/cryptoki/shim/*.h | sha256sum | cut -c1-16)" \
		CGO_ENABLED=1 GOOS=linux GOARCH=$goarch CC=$cc go build -trimpath -buildmode=c-shared \
		-ldflags="-s -w $stamp -extldflags '-Wl,-z,nodelete'" -o "$core" ./cmd/cryptoki
	rm -f "${core%.so}.h" # the core has one entry, declared in shim/port.h
	# The hash is for zig's cache, which does not see that .incbin reads the core.
	# shellcheck disable=SC2086 # $cc is a command with arguments
	$cc -O2 -g0 -Wall -Wextra -Werror -fPIC -shared -fvisibility=hidden -s \
		-DSP_CORE_FILE="\"$core\"" -DSP_CORE_HASH="\"$(sha256sum "$core" | cut -d' ' -f1)\"" -DSP_VERSION_MAJOR="${version%%.*}" -DSP_VERSION_MINOR="$(v=${version#*.}; echo "${v%%.*}")" \
		cmd/cryptoki/shim/shim.c -o "$so" -Wl,-z,nodelete -Wl,-z,relro,-z,now -Wl,--version-script=cmd/cryptoki/shim/exports.map -ldl -lpthread
	check_module "$so" "$core"
	check_carried "$so" "$core"
}

# check_carried MODULE CORE: the module has this very core inside.
check_carried() {
	python3 - "$1" "$2" <<-'PY' || die "$1 carries another core than $2"
		import sys
		module, core = (open(f, "rb").read() for f in sys.argv[1:])
		sys.exit(core not in module)
	PY
}

# check_module MODULE CORE: exports and needed symbol versions are what old distributions can load.
check_module() {
	local n
	n=$(readelf --wide --dyn-syms "$1" | awk '$5=="GLOBAL" && $7!="UND" && $8 ~ /^C_/' | wc -l)
	[ "$n" = 92 ] || die "$1 exports $n functions, not the 92 of PKCS #11 3.0"
	n=$(readelf --wide --dyn-syms "$1" | awk '$5=="GLOBAL" && $7!="UND" && $8 !~ /^C_/' | wc -l)
	[ "$n" = 0 ] || die "$1 exports more than the functions of PKCS #11"
	n=$(readelf --wide --dyn-syms "$2" | awk '$7=="UND" && $8 ~ /^(mmap|mmap64|mremap)(@|$)/' | wc -l)
	[ "$n" = 0 ] || die "$2 gets memory past cmd/cryptoki/dontdump_linux.c, which would stand in core files of the host"
	check_portable "$1" "$2"
}

# check_portable FILE...: needs no newer glibc than 2.28, and no other library.
check_portable() {
	local bad
	bad=$(readelf --wide -V "$@" | grep -oE 'GLIBC_2\.(29|[3-9][0-9])' | sort -u | tr '\n' ' ' || true)
	[ -z "$bad" ] || die "$* needs symbols newer than glibc 2.28: $bad"
	bad=$(readelf --wide -d "$@" | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p' | grep -vE '^(libc|libdl|libpthread|libresolv|ld-linux.*)\.so' || true)
	[ -z "$bad" ] || die "$* needs libraries that a host may not have: $bad"
}

