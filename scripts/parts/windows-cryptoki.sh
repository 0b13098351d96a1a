# shellcheck shell=bash disable=SC2154
# SignPath.Cryptoki.dll, signpath.exe and notation-signpath.exe under Wine.
mingw="gcc-mingw-w64-x86-64-win32 python3-minimal wine64"
part windows-cryptoki default dist "SignPath.Cryptoki.dll and signpath.exe under Wine: a C program with packed structures, unloading, threads, ends of processes, errors, doctor, dev" "$mingw" "windows"
part windows-cryptoki-all more dist "the same, every case of the part standard, Go programs, and the build bit for bit a second time" "$mingw" "windows"

part_windows-cryptoki() { e2e windows-cryptoki ./e2e/windows/cryptoki .; }
part_windows-cryptoki-all() {
	local rc=0
	windows_go_hosts || return 1
	E2E_ALL=1 e2e windows-cryptoki-all ./e2e/windows/cryptoki . || rc=1
	E2E_STANDARD_WINDOWS=1 e2e windows-standard ./e2e/standard '^(TestModule|TestReadWriteSessions|TestLoginUser)$' || rc=1
	windows_again || rc=1
	return $rc
}

# windows_go_hosts: the Go programs of e2e/languages for Windows
windows_go_hosts() {
	export E2E_WINDOWS_GO_HOSTS=$cache/windows/go
	mkdir -p "$E2E_WINDOWS_GO_HOSTS"
	(cd e2e/languages/go && CGO_ENABLED=1 GOOS=windows GOARCH=amd64 CC=x86_64-w64-mingw32-gcc-win32 \
		go build -mod=readonly -trimpath -o "$E2E_WINDOWS_GO_HOSTS/" ./miekg ./crypto11)
}

# windows_again: built once more elsewhere, without Go's cache, it is the same to the bit
windows_again() {
	local again f rc=0
	again=$(mktemp -d)
	DIST=$again GOCACHE=$again/cache scripts/build windows-amd64 >"$out/build-windows-again.txt" 2>&1 || { cat "$out/build-windows-again.txt"; rc=1; }
	for f in dist/windows-amd64/*.exe dist/windows-amd64/*.dll; do
		if cmp "$f" "$again/windows-amd64/${f##*/}"; then line pass; else line fail; rc=1; fi
	done
	rm -rf "$again"
	return $rc
}
