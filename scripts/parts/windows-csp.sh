# shellcheck shell=bash disable=SC2154
csp="gcc-mingw-w64-x86-64-win32 python3-minimal wine64"
part windows-csp default dist "SignPathCSP under Wine: C programs, CMS, the calls of certutil, .NET and signtool, errors, threads, wild handles" "$csp" "windows"
part windows-csp-all more dist "the same with every key, every status and 10,000 signatures" "$csp" "windows"
part windows-386 more dist "the 32-bit providers and PKCS #11 module in a 32-bit Wine (a Debian root for i386)" "gcc-mingw-w64-i686-win32 openssl xmlsec1 $csp" "i386=wine32"

# windows_built ARCH: the build for Windows, once in a run
windows_built() {
	[ ! -e "$out/windows-$1.built" ] || return 0
	scripts/build "windows-$1" >"$out/build-windows-$1.txt" 2>&1 || { cat "$out/build-windows-$1.txt"; return 1; }
	touch "$out/windows-$1.built"
}

part_windows-csp() { e2e windows-csp ./e2e/windows/csp .; }
part_windows-csp-all() { E2E_ALL=1 gotest windows-csp-all -count=1 -timeout 60m ./e2e/windows/csp; }
part_windows-386() {
	windows_built 386 &&
		E2E_I386=$cache/roots/i386 gotest windows-386 -count=1 -p 1 -timeout 40m ./e2e/windows/csp ./e2e/windows/ksp ./e2e/windows/cryptoki
}
