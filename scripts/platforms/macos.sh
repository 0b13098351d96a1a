# shellcheck shell=bash disable=SC2154
# macOS 12 and later, arm64 and x86_64 in one file, built anywhere with zig. No SDK of Apple: cmd/ctk/sdk holds the
# declarations and writes the linker's stubs.
#
# Variables: MACOS_APP_ID, MACOS_EXTENSION_ID, MACOS_CLASS_ID: other names than the documented ones.
# MACOS_P12 and MACOS_P12_PASSWORD_FILE: a Developer ID certificate to sign everything with, by rcodesign; else ad hoc.
# MACOS_TIMESTAMP_URL: another time stamp service than Apple's for that, or "none".
# MACOS_PARTS: what to build of "app signpath notation cryptoki" (default: all).
platform macos-universal build_macos
contents "macOS" <<'TXT'
  SignPathCryptoTokenKit.app   certificates in the keychain while it runs (CryptoTokenKit)
  SignPathCryptoTokenKit.zip   the same, to copy
  signpath                     the program for people
  notation-signpath            the plug-in of notation; also as notation-signpath.tar.gz
  libSignPath.Cryptoki.dylib   the PKCS #11 module, one file
TXT

macos_version=12.0
macos_app_id=${MACOS_APP_ID:-io.signpath.apps.SignPathCryptoTokenKit}
macos_extension_id=${MACOS_EXTENSION_ID:-io.signpath.apps.CryptoTokenKit}
macos_class_id=${MACOS_CLASS_ID:-io.signpath.apps.SignPathCryptoTokenKit.ctk}

build_macos() {
	local out=$dist/macos-universal work part
	need_zig
	mkdir -p "$out"
	work=$(mktemp -d)
	macos_sdk=$cache/macos-sdk # a fixed place: its path is a part of the keys of Go's and zig's caches
	go run ./cmd/ctk/sdk -out "$macos_sdk"
	go build -o "$work/bundle" ./cmd/ctk/bundle
	for part in ${MACOS_PARTS:-app signpath notation cryptoki}; do "macos_$part"; done
	rm -rf "$work"
}

# macos_cc GOARCH: the compiler's command
macos_cc() {
	local cpu=aarch64
	[ "$1" = arm64 ] || cpu=x86_64
	echo "$zig cc -target $cpu-macos.$macos_version -F$macos_sdk/System/Library/Frameworks -L$macos_sdk/usr/lib -I$root/cmd/ctk/sdk/include"
}

macos_app() {
	local arch cc
	for arch in arm64 amd64; do
		step "macos-universal: SignPathCryptoTokenKit.app, $arch"
		cc=$(macos_cc "$arch")
		mkdir -p "$work/$arch"
		macos_core "$arch"
		# The names of the output files stand in the linker's own signature.
		# shellcheck disable=SC2086 # $cc is a command with arguments
		$cc -O2 -g0 -Wall -Wextra -Werror -Icmd/ctk/core -DSP_CLASS_ID="\"$macos_class_id\"" -o "$work/$arch/SignPathCryptoTokenKit" \
			cmd/ctk/app/*.m "$work/$arch/core.a" -framework AppKit -framework CryptoTokenKit -framework Security -framework CoreFoundation -framework Foundation -lobjc -lresolv -Wl,-x -Wl,-S -Wl,-headerpad,0x200
		# shellcheck disable=SC2086
		$cc -O2 -g0 -Wall -Wextra -Werror -o "$work/$arch/CryptoTokenKit" cmd/ctk/extension/*.m cmd/ctk/extension/*.c \
			-framework CryptoTokenKit -framework Security -framework Foundation -lobjc -Wl,-x -Wl,-S -Wl,-headerpad,0x200 # room for the signature's load command
	done
	"$work/bundle" -out "$out" -version "$version" -app-id "$macos_app_id" -extension-id "$macos_extension_id" -class-id "$macos_class_id" \
		-app "$work/arm64/SignPathCryptoTokenKit,$work/amd64/SignPathCryptoTokenKit" -extension "$work/arm64/CryptoTokenKit,$work/amd64/CryptoTokenKit"
	macos_sign "$out/SignPathCryptoTokenKit.app" --code-signature-flags 'Contents/PlugIns/CryptoTokenKit.appex:runtime' \
		-e 'Contents/PlugIns/CryptoTokenKit.appex:cmd/ctk/bundle/templates/extension.entitlements'
	"$work/bundle" -zip "$out/SignPathCryptoTokenKit.zip" -out "$out"
}

# macos_core GOARCH: the Go half of the app as an archive. Its timestamps and member names are the linker's business only.
macos_core() {
	CGO_CFLAGS="-O2 -g0 -DSP_HEADERS=$(cat cmd/ctk/core/*.h | sha256sum | cut -c1-16)" CGO_ENABLED=1 CC=$(macos_cc "$1") GOOS=darwin GOARCH=$1 \
		go build -trimpath -buildmode=c-archive -ldflags="-s -w -buildid= $stamp" -o "$work/$1/core.a" ./cmd/ctk/core
}

# macos_sign FILE [FLAG…]: with a Developer ID if there is one, inside out, with hardened runtime and time stamp
macos_sign() {
	local file=$1 signed=$work/signed/${1##*/}
	shift
	[ -n "${MACOS_P12:-}" ] || return 0
	need_rcodesign
	step "macos-universal: signing ${file##*/} with $MACOS_P12"
	mkdir -p "$work/signed"
	"$rcodesign" sign --p12-file "$MACOS_P12" --p12-password-file "${MACOS_P12_PASSWORD_FILE:?the file with the password of MACOS_P12}" \
		${MACOS_TIMESTAMP_URL:+--timestamp-url "$MACOS_TIMESTAMP_URL"} --code-signature-flags runtime "$@" "$file" "$signed"
	rm -rf "$file"
	mv "$signed" "$file"
	chmod 755 "$file"
}

# macos_go COMMAND IDENTIFIER: cmd/COMMAND without cgo: Go calls libSystem and Security by itself, so TLS asks macOS's keychain
macos_go() {
	local arch thin=()
	for arch in arm64 amd64; do
		step "macos-universal: $1, $arch"
		mkdir -p "$work/$arch"
		CGO_ENABLED=0 GOOS=darwin GOARCH=$arch go build -trimpath -ldflags="-s -w -buildid= $stamp" -o "$work/$arch/$1" "./cmd/$1"
		thin+=("$work/$arch/$1")
	done
	"$work/bundle" -join "$out/$1" -id "$2" "${thin[@]}"
	macos_sign "$out/$1" --binary-identifier "$2"
}

macos_signpath() { macos_go signpath io.signpath.signpath; }

macos_notation() {
	macos_go notation-signpath io.signpath.notation-signpath
	tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C "$out" -cf - notation-signpath | gzip -n9 >"$out/notation-signpath.tar.gz"
}

# macos_cryptoki_objects GOARCH: the Go half of the PKCS #11 module as objects whose runtime waits for the first C_Initialize
macos_cryptoki_objects() {
	mkdir -p "$work/$1"
	CGO_CFLAGS="-O2 -g0 -fvisibility=hidden -DSP_HEADERS=$(cat cmd/cryptoki/shim/*.h | sha256sum | cut -c1-16)" CGO_ENABLED=1 CC=$(macos_cc "$1") GOOS=darwin GOARCH=$1 \
		go build -trimpath -buildmode=c-archive -ldflags="-s -w -buildid= $stamp" -o "$work/$1/cryptoki.a" ./cmd/cryptoki
	rm -rf "$work/$1/cryptoki"
	python3 scripts/platforms/macho.py objects "$work/$1/cryptoki.a" "$work/$1/cryptoki" >"$work/$1/cryptoki.list" || die "the archive of the core cannot be linked"
	mapfile -t objects <"$work/$1/cryptoki.list"
}

# The flags of both linkers' compilers for the shim
macos_shim_flags() { echo "-O2 -g0 -Wall -Wextra -Werror -fPIC -fvisibility=hidden -DSP_VERSION_MAJOR=${version%%.*} -DSP_VERSION_MINOR=$(v=${version#*.}; echo "${v%%.*}")"; }

macos_cryptoki() {
	local arch cc objects thin=() name=libSignPath.Cryptoki.dylib
	need_packages binutils
	for arch in arm64 amd64; do
		step "macos-universal: $name, $arch"
		cc=$(macos_cc "$arch")
		macos_cryptoki_objects "$arch"
		# shellcheck disable=SC2046,SC2086 # commands with arguments
		$cc $(macos_shim_flags) -shared -o "$work/$arch/$name" cmd/cryptoki/shim/shim.c "${objects[@]}" -framework CoreFoundation -framework Security -lresolv \
			-Wl,-install_name,@rpath/$name -Wl,-x -Wl,-S -Wl,-headerpad,0x200 # room for the signature's load command
		python3 scripts/platforms/macho.py check "$work/$arch/$name" "@rpath/$name" cmd/cryptoki/exports.def || die "$name is not as it should be"
		thin+=("$work/$arch/$name")
	done
	"$work/bundle" -join "$out/$name" -id io.signpath.Cryptoki "${thin[@]}"
	macos_sign "$out/$name" --binary-identifier io.signpath.Cryptoki
}

# macos_cryptoki_lld: links the module once more, with LLVM's linker; the result is checked and thrown away
macos_cryptoki_lld() {
	local arch cc cpu lld objects name=libSignPath.Cryptoki.dylib
	need_packages lld binutils
	lld=$(find /usr/lib/llvm-*/bin -name ld64.lld | sort -V | tail -n 1) # Debian has no link to it without a version
	[ -n "$lld" ] || die "there is no ld64.lld below /usr/lib/llvm-*/bin"
	mkdir -p "$work/sdk"
	cp -r "$macos_sdk/." "$work/sdk"
	sed 's/arm64e/arm64/g' "$cache/zig/ziglang/lib/libc/darwin/libSystem.tbd" >"$work/sdk/usr/lib/libSystem.tbd" # LLVM 14 takes one name per architecture
	for arch in arm64 amd64; do
		step "macos-universal: $name, second linker, $arch"
		cc=$(macos_cc "$arch")
		cpu=$arch
		[ "$arch" = arm64 ] || cpu=x86_64
		macos_cryptoki_objects "$arch"
		# shellcheck disable=SC2046,SC2086
		$cc $(macos_shim_flags) -c -o "$work/$arch/shim.o" cmd/cryptoki/shim/shim.c
		"$lld" -dylib -arch "$cpu" -platform_version macos "$macos_version" "$macos_version" -syslibroot "$work/sdk" -install_name "@rpath/$name" -o "$work/$arch/$name" \
			"$work/$arch/shim.o" "${objects[@]}" -framework CoreFoundation -framework Security -lresolv -lSystem
		python3 scripts/platforms/macho.py check "$work/$arch/$name" "@rpath/$name" cmd/cryptoki/exports.def || die "$name is not as it should be"
	done
}

rcodesign_version=0.29.0
# need_rcodesign: built from crates.io once, some minutes; Debian's rustc-web is new enough, Debian's rustc is not
need_rcodesign() {
	rcodesign=$cache/rcodesign/bin/rcodesign
	[ "$("$rcodesign" --version 2>/dev/null)" != "rcodesign $rcodesign_version" ] || return 0
	command -v cargo >/dev/null || need_packages cargo-web rustc-web gcc libc6-dev pkg-config libpcsclite-dev
	step "building rcodesign $rcodesign_version, which takes some minutes"
	cargo install apple-codesign --version "$rcodesign_version" --locked -j 2 --root "$cache/rcodesign" --target-dir "$cache/rcodesign/target" >"$cache/rcodesign.log" 2>&1 ||
		{ tail -n 20 "$cache/rcodesign.log" >&2; die "rcodesign could not be built" "the whole output is in $cache/rcodesign.log"; }
	rm -rf "$cache/rcodesign/target"
}

macos_rcodesign() { need_rcodesign; }

# macos_lld: links the app and the extension once more, with LLVM's linker; the result is thrown away
macos_lld() {
	local arch cc name cpu lld
	need_packages lld llvm
	lld=$(find /usr/lib/llvm-*/bin -name ld64.lld | sort -V | tail -n 1) # Debian has no link to it without a version
	[ -n "$lld" ] || die "there is no ld64.lld below /usr/lib/llvm-*/bin"
	for arch in arm64 amd64; do
		step "macos-universal: second linker, $arch"
		cc=$(macos_cc "$arch")
		cpu=$arch
		[ "$arch" = arm64 ] || cpu=x86_64
		mkdir -p "$work/$arch/lld" "$work/sdk"
		cp -r "$macos_sdk/." "$work/sdk"
		sed 's/arm64e/arm64/g' "$root/.cache/zig/ziglang/lib/libc/darwin/libSystem.tbd" >"$work/sdk/usr/lib/libSystem.tbd" # LLVM 14 takes one name per architecture
		macos_core "$arch"
		llvm-ranlib "$work/$arch/core.a"
		for name in cmd/ctk/app/*.m cmd/ctk/extension/*.m cmd/ctk/extension/*.c; do
			# shellcheck disable=SC2086 # $cc is a command with arguments
			$cc -O2 -g0 -Icmd/ctk/core -DSP_CLASS_ID="\"$macos_class_id\"" -c "$name" -o "$work/$arch/lld/$(basename "$(dirname "$name")")-$(basename "$name").o"
		done
		local link=("$lld" -arch "$cpu" -platform_version macos "$macos_version" "$macos_version" -syslibroot "$work/sdk" -framework CryptoTokenKit -framework Security -framework Foundation -lobjc -lSystem)
		"${link[@]}" -framework AppKit -framework CoreFoundation -lresolv -o "$work/$arch/lld/app" "$work/$arch"/lld/app-*.o "$work/$arch/core.a"
		"${link[@]}" -o "$work/$arch/lld/extension" "$work/$arch"/lld/extension-*.o
	done
}
