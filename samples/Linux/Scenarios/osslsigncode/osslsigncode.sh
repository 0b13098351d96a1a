#!/usr/bin/env bash
# osslsigncode: Authenticode signatures of Windows files
. "$(dirname "$0")/../Scenario.sh"
Need openssl openssl openssl
Need osslsigncode osslsigncode osslsigncode
Uses osslsigncode --version
! osslsigncode --version 2>&1 | grep -q '^osslsigncode 2\.8' ||
	Missing "osslsigncode 2.8 crashes with every PKCS #11 module" "take another version, or the scenario Jsign"
ReadCertificates
Input sample.exe MakeWindowsProgram
signed=${Input%.*}.signed.${Input##*.}
rm -f "$signed"
timestamp=()
[ -z "${TimestampUrl:-}" ] || timestamp=(-ts "$TimestampUrl")

Step "osslsigncode sign"
osslsigncode sign -pkcs11module "$LibSignPathCryptokiPath" \
	-key "pkcs11:id=$ProjectSlug/$SigningPolicySlug;type=private;pin-value=CONFIG" \
	-certs "$Chain" -h sha256 "${timestamp[@]}" -in "$Input" -out "$signed"

Step "osslsigncode verify"
timestamp=()
[ -z "${TimestampRootFile:-}" ] || timestamp=(-TSA-CAfile "$TimestampRootFile")
osslsigncode verify -CAfile "$Root" "${timestamp[@]}" -in "$signed"
