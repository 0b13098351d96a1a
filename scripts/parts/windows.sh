# shellcheck shell=bash disable=SC2154
# Microsoft's signtool.exe under Wine. Its packages are fetched, never kept in the repository.
signtool="wine64 gcc-mingw-w64-x86-64-win32 osslsigncode wixl gcab openssl python3-pip"
part windows default dist "signtool.exe signs through SignPathKSP and SignPathCSP under Wine: PE, MSI, CAB, time stamps, errors" "$signtool" "windows samples"
part windows-signtool-all more dist "the same with every key, digest and kind of file, from the certificate store too, and relic as a second verifier" "$signtool gcc libc6-dev" "windows samples"

part_windows() {
	gotest windows-rig -count=1 -timeout 15m ./e2e/windows/rig && signtool_packages &&
		gotest windows -count=1 -timeout 40m -skip '^TestRelic' ./e2e/windows/signtool
}
part_windows-signtool-all() {
	signtool_packages && go_tool E2E_RELIC relic e2e/macossign/tools github.com/sassoftware/relic/v7 -tags clientonly &&
		E2E_ALL=1 e2e windows-signtool-all ./e2e/windows/signtool .
}

signtool_packages() {
	npm_packages "$cache/windows/npm" e2e/windows/signtool/packages --ignore-scripts || return 1
	export E2E_SIGNTOOL=$cache/windows/npm/node_modules
}

part windows-settings default dist "Windows' settings and certificate stores under Wine: protected tokens, proxies, client certificates, logs, signpath certificates" "wine64 gcc-mingw-w64-x86-64-win32 gcc-mingw-w64-i686-win32 openssl" "windows"
part windows-settings-all more dist "the same, the KSP by store link, LocalMachine, and the unit tests of these packages on Windows" "wine64 gcc-mingw-w64-x86-64-win32 gcc-mingw-w64-i686-win32 openssl" "windows"

part_windows-settings() {
	gotest windows-settings -count=1 -timeout 15m -run '^(TestProtectedToken|TestInternetOptions|TestClientCertificateByThumbprint|TestCSPLink)$' ./e2e/windows/settings ./e2e/windows/store
}
part_windows-settings-all() { E2E_ALL=1 e2e windows-settings-all ./e2e/windows/settings . && E2E_ALL=1 e2e windows-store-all ./e2e/windows/store .; }
