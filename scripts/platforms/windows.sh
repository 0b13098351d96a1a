# shellcheck shell=bash disable=SC2154
# Windows 10 and later: amd64 and 386 with mingw-w64, arm64 with zig.
#
# A DLL is a folder of cmd with an exports.def: the folder as a C archive (its C files are shims, its //export functions
# stay inside), linked to a DLL that exports just what stands in exports.def.
platform windows-amd64 build_windows amd64
platform windows-386 build_windows 386
platform windows-arm64 build_windows arm64
contents "Windows" <<'TXT'
  signpath.exe                 the program for people
  notation-signpath.exe        the plug-in of notation
  SignPath.Cryptoki.dll        the PKCS #11 module
  SignPath.Ksp.dll             the key storage provider (CNG)
  SignPath.Csp.dll             the provider for the older CryptoAPI
TXT

# build_windows GOARCH
build_windows() {
	local arch=$1 out=$dist/windows-$1 cc work
	need_packages python3-minimal
	case $arch in
	amd64) need_packages gcc-mingw-w64-x86-64-win32; cc=x86_64-w64-mingw32-gcc-win32 ;;
	386) need_packages gcc-mingw-w64-i686-win32; cc=i686-w64-mingw32-gcc-win32 ;;
	arm64) need_zig; cc="$zig cc -target aarch64-windows-gnu" ;;
	esac
	mkdir -p "$out"
	work=$(mktemp -d)
	windows_exe signpath "SignPath"
	windows_exe notation-signpath "SignPath plug-in of notation"
	windows_dll cryptoki SignPath.Cryptoki.dll "SignPath Cryptoki (PKCS #11)"
	windows_dll ksp SignPath.Ksp.dll "SignPath key storage provider (CNG)"
	windows_dll csp SignPath.Csp.dll "SignPath cryptographic service provider (CryptoAPI)"
	rm -rf "$work"
}

# windows_exe COMMAND DESCRIPTION: cmd/COMMAND as COMMAND.exe, without cgo
windows_exe() {
	step "windows-$arch: $1.exe"
	CGO_ENABLED=0 GOOS=windows GOARCH=$arch go build -trimpath -buildmode=pie -ldflags="-s -w $stamp" -o "$work/$1.exe" "./cmd/$1"
	python3 scripts/platforms/pe.py add "$work/$1.exe" "$version" "$1.exe" "$2"
	install -m 755 "$work/$1.exe" "$out/"
	check_windows "$out/$1.exe" "$1.exe"
}

# windows_dll FOLDER FILE DESCRIPTION: cmd/FOLDER as FILE, if it is there
windows_dll() {
	local defs=cmd/$1/exports.def sources=() headers=cmd/$1
	[ -e "$defs" ] || return 0
	step "windows-$arch: $2"
	# A C file outside of the Go package, because the folder is built for other systems too
	[ ! -e "cmd/$1/shim/shim_windows.c" ] || sources=("cmd/$1/shim/shim_windows.c")
	python3 scripts/platforms/pe.py resource "$arch" "$version" "$2" "$3" "$work/$1.o"
	# The hash is for Go's cache, which does not see the headers of another folder.
	# shellcheck disable=SC2086 # $cc is a command with arguments
	CGO_CFLAGS="-O2 -g0 -DSP_HEADERS=$(find "$headers" -name '*.h' | LC_ALL=C sort | xargs -r cat | sha256sum | cut -c1-16)" \
		CGO_ENABLED=1 GOOS=windows GOARCH=$arch CC=$cc go build -trimpath -buildmode=c-archive -ldflags="-s -w $stamp" -o "$work/$1.a" "./cmd/$1"
	# shellcheck disable=SC2046,SC2086
	$cc -O2 -g0 -s -Wall -Wextra -Werror -shared -I"cmd/$1" -I"cmd/$1/shim" \
		-DSP_VERSION_MAJOR="${version%%.*}" -DSP_VERSION_MINOR="$(v=${version#*.}; echo "${v%%.*}")" \
		-o "$out/$2" "${sources[@]}" -Wl,--whole-archive "$work/$1.a" -Wl,--no-whole-archive "$work/$1.o" "$defs" $(windows_flags)
	rm -f "$out"/*.lib "$out"/*.pdb # what zig's linker puts beside it
	python3 scripts/platforms/pe.py untime "$out/$2"
	check_windows "$out/$2" "$2" "$defs"
}

# windows_flags: for the linker
windows_flags() {
	printf '%s ' -Wl,--dynamicbase -Wl,--nxcompat
	case $arch in # zig's linker is another one; GNU's makes a base address of the output's path if it gets none
	amd64) printf '%s ' -static-libgcc -Wl,--image-base,0x180000000 -Wl,--no-insert-timestamp -Wl,--high-entropy-va -lsynchronization -lntdll ;;
	386) printf '%s ' -static-libgcc -Wl,--image-base,0x10000000 -Wl,--no-insert-timestamp -Wl,--enable-stdcall-fixup -lsynchronization -lntdll ;;
	arm64) printf '%s ' -Wl,--high-entropy-va -lapi-ms-win-core-synch-l1-2-0 -lntdll ;;
	esac
}

# check_windows FILE NAME [EXPORTS.def]
check_windows() {
	local said
	said=$(python3 scripts/platforms/pe.py check "$1" "$2" "$version" "${@:3}") || die "$said"
}
