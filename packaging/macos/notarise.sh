#!/usr/bin/env bash
# Has Apple notarise what was signed with a Developer ID, and staples the ticket. Runs on any system with rcodesign
# (cargo install apple-codesign --locked); it needs an account with Apple, so no test runs it.
set -euo pipefail

usage() {
	cat <<'TXT'
usage: notarise.sh --key FILE APP|DYLIB|PROGRAM|PKG|DMG…

  --key FILE   the App Store Connect API key, as rcodesign keeps it, readable by you alone. Made once of what Apple gives:
                 rcodesign encode-app-store-connect-api-key -o FILE ISSUER-ID KEY-ID AuthKey_KEY-ID.p8

An app, a .pkg and a .dmg get their ticket stapled. A library and signpath, notation-signpath cannot carry one: they are sent
in a ZIP archive, and a Mac that opens one for the first time asks Apple. Each file must be signed with a Developer ID
certificate, with a time stamp and (programs, libraries) the hardened runtime: MACOS_P12=… MACOS_P12_PASSWORD_FILE=… scripts/build macos-universal.
With RCODESIGN another rcodesign is used.
TXT
}

key='' files=()
while [ $# -gt 0 ]; do
	case $1 in
	-h | --help) usage; exit 0 ;;
	--key) [ $# -ge 2 ] || { usage >&2; exit 2; }; key=$2; shift ;;
	-*) usage >&2; exit 2 ;;
	*) files+=("$1") ;;
	esac
	shift
done
if [ -z "$key" ] || [ ${#files[@]} = 0 ]; then
	usage >&2
	exit 2
fi
rcodesign=${RCODESIGN:-rcodesign}
die() { printf 'notarise.sh: error: %s\n' "$1" >&2; exit 1; }
command -v "$rcodesign" >/dev/null || die "rcodesign is not installed: cargo install apple-codesign --locked"
[ -f "$key" ] || die "$key is not there"
[ -z "$(find "$key" -perm /077)" ] || die "$key can be read by others: chmod 600 $key"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for f in "${files[@]}"; do
	[ -e "$f" ] || die "$f is not there"
	case $f in
	*.app | *.app/ | *.pkg | *.dmg) "$rcodesign" notary-submit --api-key-file "$key" --staple "$f" ;;
	*.dylib | signpath | */signpath | notation-signpath | */notation-signpath)
		rm -f "$work/library.zip"
		python3 -m zipfile -c "$work/library.zip" "$f"
		"$rcodesign" notary-submit --api-key-file "$key" --wait "$work/library.zip"
		;;
	*) die "$f is none of .app, .dylib, .pkg, .dmg, signpath, notation-signpath" ;;
	esac
done
