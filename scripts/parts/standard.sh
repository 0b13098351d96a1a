# shellcheck shell=bash disable=SC2154
# The module against PKCS #11 to the letter.
part standard default dist "PKCS #11 2.40 and 3.0/3.1 to the letter, SoftHSM as the baseline; OpenSC's p11test; sanitizers" "gcc libc6-dev libcmocka-dev libssl-dev opensc opensc-pkcs11 softhsm2"
part standard-all more dist "the same with every key, thread sanitizer, race detector and address sanitizer for longer" "gcc libc6-dev libcmocka-dev libssl-dev opensc opensc-pkcs11 softhsm2"

part_standard() { p11test && E2E_P11TEST=$cache/p11test/p11test e2e standard ./e2e/standard .; }
part_standard-all() {
	local rc=0
	p11test && E2E_ALL=1 E2E_P11TEST=$cache/p11test/p11test e2e standard-all ./e2e/standard . || rc=1
	STANDARD_ALL=1 CGO_ENABLED=1 gotest standard-race -race -count=1 -run '^TestThreads' ./cmd/cryptoki/linked || rc=1
	CGO_ENABLED=1 gotest standard-asan -asan -count=1 ./cmd/cryptoki/linked || rc=1
	return $rc
}

# p11test: OpenSC's own test program, from Debian's source package of the version that was tried
p11test() {
	local version=0.23.0 sha256=a08b475834e3c3b0efd9bfc46adfcc3440d3975c2fb3ab2ef29342b879d41370 d=$cache/p11test src
	[ "$(cat "$d/.complete" 2>/dev/null)" != "$sha256" ] || return 0
	rm -rf "$d"
	mkdir -p "$d/lists/partial" "$d/sources"
	# sources of this machine's distribution, without a change to its lists
	if [ -e /etc/apt/sources.list.d/debian.sources ]; then sed 's/^Types: *deb$/Types: deb-src/' /etc/apt/sources.list.d/debian.sources >"$d/sources/src.sources"
	else sed -n 's/^deb /deb-src /p' /etc/apt/sources.list >"$d/sources/src.list"; fi
	local apt=(apt-get -q -o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$d/sources" -o "Dir::State::lists=$d/lists" -o Dir::Cache::srcpkgcache= -o Dir::Cache::pkgcache=)
	as_root "${apt[@]}" update >"$out/p11test.txt" 2>&1 &&
		(cd "$d" && as_root "${apt[@]}" source --download-only opensc) >>"$out/p11test.txt" 2>&1 || { tail -n 5 "$out/p11test.txt"; return 1; }
	src=$d/opensc_$version.orig.tar.gz
	echo "$sha256  $src" | sha256sum --quiet -c || { echo "OpenSC's source is not the file that was pinned"; return 1; }
	tar -xzf "$src" -C "$d"
	printf '#define ENABLE_OPENSSL 1\n#define PACKAGE_VERSION "%s"\n' "$version" >"$d/config.h"
	gcc -w -O1 -DHAVE_CONFIG_H -I"$d" -I"$d/OpenSC-$version/src" "$d/OpenSC-$version"/src/tests/p11test/*.c -o "$d/p11test" -lcmocka -lcrypto -ldl || return 1
	echo "$sha256" >"$d/.complete"
}
