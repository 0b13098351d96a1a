#!/bin/bash
# testcertificates.sh SIGNPATH DIR: gives the development service in DIR (signpath dev --dir DIR, running) two certificates
# with the extensions of Apple's Developer ID authorities, by an authority of this script's own: the signing policies
# "application" and "installer" of the project "hash-signing". DIR/apple/root.pem is what a test machine has to trust.
set -eu
[ $# = 2 ] || { sed -n '2,4s/^# //p' "$0" >&2; exit 2; }
signpath=$1 dir=$2/apple
mkdir -p "$dir"
admin() { "$signpath" admin --data "$dir/../data" "$@"; }
# Markers of Apple's: Developer ID authority, application, installer; and what an installer's key is for.
authority=1.2.840.113635.100.6.2.6 application=1.2.840.113635.100.6.1.13 installer=1.2.840.113635.100.6.1.14 installing=1.2.840.113635.100.4.13
printf 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n%s=DER:0500\n' $authority >"$dir/ca.ext"
printf 'basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=critical,codeSigning\n%s=critical,DER:0500\n' $application >"$dir/application.ext"
printf 'basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=critical,%s\n%s=critical,DER:0500\n' $installing $installer >"$dir/installer.ext"
openssl req -x509 -newkey rsa:2048 -nodes -keyout "$dir/root.key" -subj "/CN=Example Root CA" -days 30 -out "$dir/root.pem" 2>"$dir/openssl.log"
openssl req -newkey rsa:2048 -nodes -keyout "$dir/ca.key" -subj "/CN=Example Developer ID CA" -out "$dir/ca.csr" 2>>"$dir/openssl.log"
openssl x509 -req -in "$dir/ca.csr" -CA "$dir/root.pem" -CAkey "$dir/root.key" -set_serial 2 -days 30 -extfile "$dir/ca.ext" -out "$dir/ca.pem" 2>>"$dir/openssl.log"
serial=3
for slug in application installer; do
	name=Application
	[ $slug = application ] || name=Installer
	admin certificate create-csr $slug --key-type rsa2048 --common-name "Developer ID $name: Example (ABCDE12345)" --organizational-unit ABCDE12345 \
		--subject-organization Example --country US --out "$dir/$slug.csr"
	openssl x509 -req -in "$dir/$slug.csr" -CA "$dir/ca.pem" -CAkey "$dir/ca.key" -set_serial $serial -days 20 -extfile "$dir/$slug.ext" -out "$dir/$slug.pem" 2>>"$dir/openssl.log"
	serial=$((serial + 1))
	cat "$dir/$slug.pem" "$dir/ca.pem" "$dir/root.pem" >"$dir/$slug.chain.pem"
	admin certificate upload $slug "$dir/$slug.chain.pem"
	admin policy create hash-signing/$slug --certificate $slug --submitter ci
done
