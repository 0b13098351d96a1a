# shellcheck shell=bash disable=SC2154
# Packages for Windows Installer: made by packaging/windows/msi, signed by osslsigncode.
# scripts/package sources this.

# package_windows ARCH OUT: dist/windows-ARCH as packages in OUT
package_windows() {
	local arch=$1 out=$2 from=$work/windows-$1 more='' line f
	need_packages msitools gcab python3-minimal zip
	[ "$arch" = 386 ] || more=386 # the DLLs of 32-bit programs
	for f in $arch $more; do
		[ -e "$dist/windows-$f/SignPath.Ksp.dll" ] && [ -e "$dist/windows-$f/SignPath.Csp.dll" ] || die "dist/windows-$f is not complete" "scripts/build windows-$f"
	done
	windows_staged "$arch"
	[ -z "$more" ] || windows_staged "$more" SignPath.Ksp.dll SignPath.Csp.dll
	packaging/windows/action/build "$arch" "$work/action-$arch.dll"
	[ -x "$work/msi" ] || CGO_ENABLED=0 go build -trimpath -o "$work/msi" ./packaging/windows/msi
	for line in providers ksp; do
		f=$("$work/msi" -line "$line" -arch "$arch" -dist "$work" -action "$work/action-$arch.dll" -epoch "$SOURCE_DATE_EPOCH" -out "$out")
		sign_windows "$f" -add-msi-dse
	done
	for f in SignPath.Ksp.dll SignPath.Csp.dll SignPath.Cryptoki.dll signpath.exe; do go version -m "$from/$f"; done |
		python3 scripts/bom.py --version "$version" --epoch "$SOURCE_DATE_EPOCH" --name SignPathCryptoProviders >"$out/SignPathCryptoProviders.bom.xml"
	windows_zip "$from" "$out/SignPath.Cryptoki.zip"
}

# windows_staged ARCH [FILE...]: copies into $work/windows-ARCH, signed if that is wanted;
# once, because each package holds the same files
windows_staged() {
	local arch=$1 files=("${@:2}") f
	[ ${#files[@]} -gt 0 ] || files=(SignPath.Ksp.dll SignPath.Csp.dll SignPath.Cryptoki.dll signpath.exe)
	mkdir -p "$work/windows-$arch"
	for f in "${files[@]}"; do
		[ ! -e "$work/windows-$arch/$f" ] || continue
		install -m 755 "$dist/windows-$arch/$f" "$work/windows-$arch/$f"
		sign_windows "$work/windows-$arch/$f"
	done
}

# windows_zip FOLDER FILE: the PKCS #11 module to copy, with the samples, as the documented archive
windows_zip() {
	local tree=$work/zip
	rm -rf "$tree"
	mkdir -p "$tree/docs" "$tree/Samples"
	install -m 755 "$1/SignPath.Cryptoki.dll" "$1/signpath.exe" "$tree/"
	install -m 644 CHANGELOG.md "$tree/"
	install -m 644 LICENSE "$tree/LICENSE.txt"
	install -m 644 docs/*.md "$tree/docs/"
	tar -C samples/Windows --exclude=./Output -c . | tar -C "$tree/Samples" -x
	install -m 644 packaging/windows/verify.ps1 "$tree/"
	find "$tree" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
	rm -f "$2"
	(cd "$tree" && find . -type f -printf '%P\n' | LC_ALL=C sort | TZ=UTC zip -q -X -9 "$2" -@)
}

# sign_windows FILE [OPTION...]: Authenticode, in place; does nothing without --sign-key
sign_windows() {
	[ -n "$sign_key" ] || return 0
	need_packages osslsigncode libengine-pkcs11-openssl
	local stamp=()
	[ -z "$timestamp" ] || stamp=(-ts "$timestamp")
	osslsigncode sign -pkcs11module "$sign_module" -key "$sign_key" -certs "$sign_certs" -h sha256 -n "SignPath Crypto Providers" "${stamp[@]}" "${@:2}" \
		-in "$1" -out "$1.signed" >"$work/osslsigncode.txt" 2>&1 || { sed 's/^/    /' "$work/osslsigncode.txt" >&2; die "osslsigncode could not sign ${1##*/}" "the log of the module says why: \$SIGNPATH_LOG_FILE_DIRECTORY, or /tmp/SignPathLogs"; }
	chmod --reference="$1" "$1.signed"
	mv "$1.signed" "$1"
}
