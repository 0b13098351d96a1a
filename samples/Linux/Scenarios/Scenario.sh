# Shared by the scenarios: checks, input files, certificates. Source it, do not run it.
# shellcheck shell=bash
# It wants ProjectSlug, SigningPolicySlug, LibSignPathCryptokiPath and the provider's settings
# (SIGNPATH_CONFIG_FILE, or SIGNPATH_ORGANIZATION_ID and SIGNPATH_API_TOKEN): see ../README.md.
set -euo pipefail

# Missing SENTENCE HINT: ends the scenario with code 3
Missing() { printf 'error: %s\nhint: %s\n' "$1" "$2" >&2; exit 3; }
[ -n "${ProjectSlug:-}" ] && [ -n "${SigningPolicySlug:-}" ] || Missing "ProjectSlug and SigningPolicySlug are not set" "set both, or use RunScenario.sh"
[ -n "${LibSignPathCryptokiPath:-}" ] || Missing "LibSignPathCryptokiPath is not set" "it is the path of libSignPath.Cryptoki.so"
OutputDirectory=${OutputDirectory:-$(mktemp -d)}
mkdir -p "$OutputDirectory"

# The key's id is the text project/policy; pkcs11-tool wants the bytes as hexadecimal digits.
KeyId=$(printf '%s/%s' "$ProjectSlug" "$SigningPolicySlug" | od -An -v -tx1 | tr -d ' \n')
# One key in sight makes tools safe that ignore names, and quick with many policies.
export SIGNPATH_PROJECT_SLUG=$ProjectSlug SIGNPATH_SIGNING_POLICY_SLUG=$SigningPolicySlug

Step() { printf '==> %s\n' "$*"; }
# Uses COMMAND...: shows the version that it prints
Uses() { Step "uses $("$@" 2>&1 | grep -m 1 '[0-9]' || true)"; }
# Need PROGRAM DEBIAN-PACKAGE RED-HAT-PACKAGE
Need() { command -v "$1" >/dev/null || Missing "$1 is not installed" "Debian, Ubuntu: apt-get install $2. Red Hat: dnf install $3"; }

# ReadCertificates writes certificate.pem (leaf), issuers.pem (the others), chain.pem (all) and
# root.pem (what verifiers trust) to the output folder: from CertificateFile, or from the module.
ReadCertificates() {
	local dir=$OutputDirectory/certificates id subject
	rm -rf "$dir"
	mkdir -p "$dir"
	if [ -n "${CertificateFile:-}" ]; then
		if grep -q 'BEGIN CERTIFICATE' "$CertificateFile"; then cp "$CertificateFile" "$dir/chain.pem"
		else openssl x509 -inform DER -in "$CertificateFile" -out "$dir/chain.pem"; fi
	else
		Need pkcs11-tool opensc opensc
		# The list goes from issuer to issuer: the certificate whose subject is the last one's issuer.
		# OpenSC before 0.23 opens read/write sessions for all it does.
		export SIGNPATH_CRYPTOKI_DO_NOT_FAIL_ON_READ_WRITE_SESSIONS=true
		pkcs11-tool --module "$LibSignPathCryptokiPath" --login --pin CONFIG --list-objects --type cert >"$dir/list.txt" 2>"$dir/errors.txt" || { cat "$dir/errors.txt" >&2; return 1; }
		sed -n 's/^ *ID: *//p' "$dir/list.txt" | sort -u | while read -r id; do
			pkcs11-tool --module "$LibSignPathCryptokiPath" --login --pin CONFIG --read-object --type cert --id "$id" --output-file "$dir/$id.der" >"$dir/errors.txt" 2>&1 || { cat "$dir/errors.txt" >&2; return 1; }
			openssl x509 -inform DER -in "$dir/$id.der" -out "$dir/$id.pem"
		done
		[ -e "$dir/$KeyId.pem" ] || Missing "the module shows no certificate of $ProjectSlug/$SigningPolicySlug" "is the user Submitter there, and are both slugs right? See the log"
		local next=$dir/$KeyId.pem f
		while [ -n "$next" ]; do
			cat "$next" >>"$dir/chain.pem"
			subject=$(openssl x509 -in "$next" -noout -issuer_hash)
			[ "$subject" != "$(openssl x509 -in "$next" -noout -subject_hash)" ] || break
			next=''
			for f in "$dir"/[0-9a-f]*.pem; do [ "$(openssl x509 -in "$f" -noout -subject_hash)" != "$subject" ] || next=$f; done
		done
	fi
	# Each certificate by itself: openssl refuses a leaf that it gets twice.
	awk -v dir="$dir" '/BEGIN CERTIFICATE/ { n++ } n == 1 { print > (dir "/certificate.pem") } n > 1 { print > (dir "/issuers.pem") } n { text[n] = text[n] $0 "\n" } END { printf "%s", text[n] > (dir "/last.pem") }' "$dir/chain.pem"
	[ -e "$dir/issuers.pem" ] || : >"$dir/issuers.pem"
	Certificate=$dir/certificate.pem Issuers=$dir/issuers.pem Chain=$dir/chain.pem PublicKey=$dir/public.pem
	Root=${RootCertificateFile:-$dir/last.pem}
	openssl x509 -in "$Certificate" -pubkey -noout >"$PublicKey"
	case $(openssl x509 -in "$Certificate" -noout -text | sed -n 's/^ *Public Key Algorithm: *//p') in
	*rsa* | *RSA*) KeyType=RSA ;;
	*id-ecPublicKey*) KeyType=EC ;;
	*) KeyType=other ;;
	esac
	export Certificate Issuers Chain PublicKey Root KeyType
}

# Input NAME MAKE: a copy of File with its own ending, or what the function MAKE writes; sets $Input
Input() {
	if [ -n "${File:-}" ]; then
		Input=$OutputDirectory/$(basename "$File")
		cp "$File" "$Input"
	else
		Input=$OutputDirectory/$1
		rm -f "$Input"
		"$2" "$Input"
	fi
}
MakeText() { printf 'a file to sign, of %s\n' "$(date -u +%FT%TZ)" >"$1"; }

# le SIZE NUMBER: little-endian bytes
le() { local i n=$2; for ((i = 0; i < $1; i++)); do printf "\\x$(printf %02x $((n & 255)))"; n=$((n >> 8)); done; }
zeros() { head -c "$1" /dev/zero; }

# MakeWindowsProgram FILE: the smallest program for 64-bit Windows; it ends with code 42.
MakeWindowsProgram() {
	{
		printf 'MZ'; zeros 58; le 4 64                                   # header of the old kind, then where the new one is
		printf 'PE\0\0'; le 2 0x8664; le 2 1; le 4 0; le 4 0; le 4 0; le 2 240; le 2 0x22 # x86-64, one section
		le 2 0x20b; le 2 0; le 4 512; le 4 0; le 4 0; le 4 0x1000; le 4 0x1000 # PE32+: sizes, entry point, code
		le 8 0x140000000; le 4 0x1000; le 4 512                         # address, alignment in memory and in the file
		le 2 6; le 2 0; le 2 0; le 2 0; le 2 6; le 2 0; le 4 0           # versions
		le 4 0x2000; le 4 512; le 4 0; le 2 3; le 2 0x8100               # sizes, checksum, console
		le 8 0x100000; le 8 0x1000; le 8 0x100000; le 8 0x1000; le 4 0; le 4 16; zeros 128 # stack, heap, 16 directories
		printf '.text\0\0\0'; le 4 6; le 4 0x1000; le 4 512; le 4 512; zeros 12; le 4 0x60000020 # the section
		zeros 136                                                        # up to byte 512
		printf '\xb8\x2a\0\0\0\xc3'; zeros 506                           # mov eax, 42; ret
	} >"$1"
}

# MakePdf FILE: one page with one line of text
MakePdf() {
	local at=() text='BT /F1 24 Tf 72 720 Td (a page to sign) Tj ET' object n=0
	printf '%%PDF-1.7\n' >"$1"
	for object in '<< /Type /Catalog /Pages 2 0 R >>' '<< /Type /Pages /Kids [3 0 R] /Count 1 >>' \
		'<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>' \
		"<< /Length ${#text} >>"$'\n'"stream"$'\n'"$text"$'\n'"endstream" '<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>'; do
		at+=("$(stat -c %s "$1")")
		printf '%d 0 obj\n%s\nendobj\n' $((++n)) "$object" >>"$1"
	done
	local xref; xref=$(stat -c %s "$1")
	{
		printf 'xref\n0 %d\n0000000000 65535 f \n' $((n + 1))
		printf '%010d 00000 n \n' "${at[@]}"
		printf 'trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n' $((n + 1)) "$xref"
	} >>"$1"
}

# MakeDeb FILE: a small Debian package
MakeDeb() {
	Need dpkg-deb dpkg dpkg
	local tree=$OutputDirectory/tree
	rm -rf "$tree"
	mkdir -p "$tree/DEBIAN" "$tree/usr/share/hello"
	MakeText "$tree/usr/share/hello/hello"
	printf 'Package: hello\nVersion: 1.0\nArchitecture: all\nMaintainer: Example <packages@example.com>\nDescription: a package to sign\n' >"$tree/DEBIAN/control"
	dpkg-deb --root-owner-group -Zxz --build "$tree" "$1"
}

# MakeVerifier sets $Verifier: a GnuPG home that knows the public key $GPG_KEY_ID and nothing else
MakeVerifier() {
	Verifier=$(mktemp -d "$GNUPGHOME/verifier.XXXXXX") # goes with the other one
	gpg --batch --armor --export "$GPG_KEY_ID" >"$OutputDirectory/public-key.asc"
	gpg --homedir "$Verifier" --batch --quiet --import "$OutputDirectory/public-key.asc"
}
