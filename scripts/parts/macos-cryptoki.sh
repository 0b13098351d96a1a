# shellcheck shell=bash disable=SC2154
# The PKCS #11 module for macOS without a Mac, and what codesign and productsign ask of a key.
part macos-cryptoki default dist "macOS: the PKCS #11 module built and looked at; the macOS half of its shim runs here, with the tests of the standard" "gcc libc6-dev opensc llvm binutils python3 openssh-client openssl"
part macos-cryptoki-all more dist "the module for macOS twice, the same bytes; a second linker; packages" "binutils lld llvm python3"
part macos-sign-all more dist "a program and installer packages for macOS signed through the module by relic, read by rcodesign and OpenSSL" "gcc libc6-dev openssl cargo-web rustc-web pkg-config libpcsclite-dev"

part_macos-cryptoki() {
	local failed=0
	need_zig
	MACOS_PARTS="notation cryptoki" scripts/build macos-universal >"$out/macos-cryptoki-build.txt" 2>&1 || { tail -n 20 "$out/macos-cryptoki-build.txt"; return 1; }
	mkdir -p build/asdarwin
	e2e/macos/testdata/asdarwin.sh gcc "$root/build/asdarwin/libSignPath.Cryptoki.so" >"$out/asdarwin.txt" 2>&1 || { tail -n 20 "$out/asdarwin.txt"; return 1; }
	cp "dist/$platform"/signpath* build/asdarwin/
	E2E_MACOS=$root/dist/macos-universal E2E_ASDARWIN=$root/build/asdarwin/libSignPath.Cryptoki.so E2E_LIBSYSTEM=$cache/zig/ziglang/lib/libc/darwin/libSystem.tbd \
		e2e macos-cryptoki ./e2e/macosmodule . || failed=1
	E2E_DIST=$root/build/asdarwin E2E_FORK=refused e2e macos-standard ./e2e/standard '^TestModule$' || failed=1
	return $failed
}

part_macos-cryptoki-all() {
	local d f parts="signpath notation cryptoki"
	for d in first second; do
		DIST=$out/macos-$d MACOS_PARTS=$parts scripts/build macos-universal >>"$out/macos-cryptoki-all.txt" 2>&1 || { line fail; tail -n 20 "$out/macos-cryptoki-all.txt"; return 1; }
		DIST=$out/macos-$d scripts/package macos-universal >>"$out/macos-cryptoki-all.txt" 2>&1 || { line fail; tail -n 20 "$out/macos-cryptoki-all.txt"; return 1; }
	done
	if diff -r "$out/macos-first" "$out/macos-second"; then line pass; else line fail; echo "two builds of macos-universal differ"; return 1; fi
	f=$out/macos-first/packages/macos-universal
	if (cd "$f" && sha256sum --quiet -c SHA256SUMS) && tar -tzf "$f/libSignPath.Cryptoki.tar.gz" | grep -qx ./libSignPath.Cryptoki.dylib &&
		grep -q '<name>golang.org/x/sys</name>' "$f/libSignPath.Cryptoki.bom.xml"; then line pass; else line fail; echo "the packages are not complete"; return 1; fi
	MACOS_PARTS=cryptoki_lld scripts/build macos-universal >>"$out/macos-cryptoki-all.txt" 2>&1 && line pass && return 0
	line fail
	tail -n 20 "$out/macos-cryptoki-all.txt"
	return 1
}

# relic and rcodesign take minutes to build; both stay in .cache
part_macos-sign-all() {
	local a cc
	need_zig
	MACOS_PARTS=rcodesign scripts/build macos-universal >"$out/rcodesign.txt" 2>&1 || { tail -n 20 "$out/rcodesign.txt"; return 1; }
	export E2E_RCODESIGN=$cache/rcodesign/bin/rcodesign E2E_MACHO=$root/build/macho
	CGO_ENABLED=1 go_tool E2E_RELIC relic e2e/macossign/tools github.com/sassoftware/relic/v7 || return 1
	mkdir -p build/macho
	for a in arm64:aarch64 amd64:x86_64; do
		cc=("$zig" cc -target "${a#*:}-macos.12.0" -O1 "-Wl,-headerpad,0x200")
		"${cc[@]}" -o "build/macho/hello-${a%:*}" e2e/macossign/testdata/hello.c || return 1
	done
	E2E_ALL=1 e2e macos-sign-all ./e2e/macossign .
}
