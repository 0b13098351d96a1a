# shellcheck shell=bash disable=SC2154
# What users of macOS download: archives to copy. No .dmg and no .pkg: there is no sound tool that makes them here, and
# nothing needs to be put into a place of its own. scripts/package sources this.

# package_macos: dist/macos-universal as packages in $out
package_macos() {
	local from=$dist/macos-universal tree=$work/macos f programs=(signpath libSignPath.Cryptoki.dylib)
	for f in "${programs[@]}"; do [ -e "$from/$f" ] || die "dist/macos-universal is not complete" "scripts/build macos-universal"; done
	mkdir -p "$tree/docs"
	install -m 755 "$from/libSignPath.Cryptoki.dylib" "$from/signpath" packaging/macos/verify.sh "$tree/"
	install -m 644 LICENSE CHANGELOG.md "$tree/"
	install -m 644 docs/*.md "$tree/docs/"
	find "$tree" -type d -exec chmod 755 {} +
	archive "$tree" "$out/libSignPath.Cryptoki.tar.gz"
	[ ! -e "$from/notation-signpath.tar.gz" ] || { cp "$from/notation-signpath.tar.gz" "$out/" && programs+=(notation-signpath); }
	[ ! -e "$from/SignPathCryptoTokenKit.zip" ] || { cp "$from/SignPathCryptoTokenKit.zip" "$out/" && programs+=(SignPathCryptoTokenKit.app/Contents/MacOS/SignPathCryptoTokenKit); }
	for f in "${programs[@]}"; do go version -m "$from/$f"; done |
		python3 scripts/bom.py --version "$version" --epoch "$SOURCE_DATE_EPOCH" >"$out/libSignPath.Cryptoki.bom.xml"
}
