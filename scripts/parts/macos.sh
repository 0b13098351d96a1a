# shellcheck shell=bash disable=SC2154
# The macOS app without a Mac: its Objective-C on GNUstep, and the built bundle looked at.
macos="gcc gobjc libasan8 libc6-dev libgnustep-base-dev libssl-dev llvm openssl"
part macos default dist "macOS: the CryptoTokenKit app built, looked at, and its Objective-C signing on GNUstep" "$macos"
part macos-all more dist "the same with every key; twice built, the same bytes; a second linker; rcodesign reads the signatures" "$macos lld cargo-web rustc-web pkg-config libpcsclite-dev"

# macos_build: the programs for GNUstep, and the app for macOS
macos_build() {
	e2e/macos/testdata/gnustep/build build/gnustep >"$out/gnustep.txt" 2>&1 || { tail -n 20 "$out/gnustep.txt"; return 1; }
	MACOS_PARTS=$1 scripts/build macos-universal >"$out/macos.txt" 2>&1 || { tail -n 20 "$out/macos.txt"; return 1; }
	export E2E_GNUSTEP=$root/build/gnustep E2E_MACOS=$root/dist/macos-universal
}

part_macos() { macos_build app && e2e macos ./e2e/macos .; }

part_macos-all() {
	macos_build app || return 1
	local failed=0
	E2E_ALL=1 e2e macos-all ./e2e/macos . || failed=1
	macos_again && macos_lld && macos_rcodesign && macos_developer_id || failed=1
	return $failed
}

# macos_again: a second build has the same bytes
macos_again() {
	if DIST=$out/macos-again MACOS_PARTS=app scripts/build macos-universal >>"$out/macos.txt" 2>&1; then
		diff -r dist/macos-universal/SignPathCryptoTokenKit.app "$out/macos-again/macos-universal/SignPathCryptoTokenKit.app" &&
			cmp dist/macos-universal/SignPathCryptoTokenKit.zip "$out/macos-again/macos-universal/SignPathCryptoTokenKit.zip" && line pass && return 0
	fi
	line fail
	echo "two builds of macos-universal differ"
	return 1
}

# macos_lld: LLVM's linker takes the same objects and stubs, so that zig's is not the only way
macos_lld() {
	DIST=$out/macos-lld MACOS_PARTS=lld scripts/build macos-universal >>"$out/macos.txt" 2>&1 && line pass && return 0
	line fail
	tail -n 20 "$out/macos.txt"
	return 1
}

# macos_rcodesign: another program understands our signatures: hashes, flags, entitlements
macos_rcodesign() {
	local app=dist/macos-universal/SignPathCryptoTokenKit.app/Contents f
	MACOS_PARTS=rcodesign scripts/build macos-universal >>"$out/macos.txt" 2>&1 || { line fail; tail -n 20 "$out/macos.txt"; return 1; }
	for f in "$app/MacOS/SignPathCryptoTokenKit" "$app/PlugIns/CryptoTokenKit.appex/Contents/MacOS/CryptoTokenKit"; do
		if python3 e2e/macos/testdata/rcodesign.py "$cache/rcodesign/bin/rcodesign" "$f"; then line pass; else line fail; return 1; fi
	done
}

# macos_developer_id: the same with a certificate, one of our own with the marks of Apple's; needs macos_rcodesign before
macos_developer_id() {
	local d=$out/macos-developer-id tool=$cache/rcodesign/bin/rcodesign f
	mkdir -p "$d"
	echo password >"$d/password"
	"$tool" generate-self-signed-certificate --profile developer-id-application --team-id ABCDE12345 --person-name Example --p12-file "$d/k.p12" --p12-password password >>"$out/macos.txt" 2>&1
	DIST=$d MACOS_PARTS="app notation" MACOS_P12=$d/k.p12 MACOS_P12_PASSWORD_FILE=$d/password MACOS_TIMESTAMP_URL=none scripts/build macos-universal >>"$out/macos.txt" 2>&1 ||
		{ line fail; tail -n 20 "$out/macos.txt"; return 1; }
	for f in SignPathCryptoTokenKit.app/Contents/{MacOS/SignPathCryptoTokenKit,PlugIns/CryptoTokenKit.appex/Contents/MacOS/CryptoTokenKit} notation-signpath; do
		if python3 e2e/macos/testdata/rcodesign.py "$tool" "$d/macos-universal/$f" signed; then line pass; else line fail; return 1; fi
	done
}
