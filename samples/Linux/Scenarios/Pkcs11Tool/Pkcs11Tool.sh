#!/usr/bin/env bash
# pkcs11-tool: lists what the module shows; signs a file and a digest
. "$(dirname "$0")/../Scenario.sh"
Need openssl openssl openssl
Need pkcs11-tool opensc opensc
Uses opensc-tool --info
# OpenSC before 0.23 opens read/write sessions for all it does.
export SIGNPATH_CRYPTOKI_DO_NOT_FAIL_ON_READ_WRITE_SESSIONS=true
tool() { pkcs11-tool --module "$LibSignPathCryptokiPath" --pin CONFIG "$@"; }

Step "the key and its certificates"
tool --login --list-objects
ReadCertificates
Input artifact.bin MakeText

if [ $KeyType = RSA ]; then
	Step "a digest, RSA-PSS"
	openssl dgst -sha256 -binary "$Input" >"$Input.hash"
	# --label chooses nothing when pkcs11-tool signs: it takes the first key. Scenario.sh has set both
	# slugs, so that there is one key only. --id, as below, always works.
	tool --sign --mechanism RSA-PKCS-PSS --hash-algorithm SHA256 --label "$ProjectSlug/$SigningPolicySlug" --input-file "$Input.hash" --output-file "$Input.pss.sig"
	openssl dgst -sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32 -verify "$PublicKey" -signature "$Input.pss.sig" "$Input"
	Step "a file, RSA PKCS #1"
	tool --sign --mechanism SHA256-RSA-PKCS --id "$KeyId" --input-file "$Input" --output-file "$Input.sig"
else
	Step "a file, ECDSA"
	# Without --signature-format the result is r and s as bare numbers, which openssl does not read.
	tool --sign --mechanism ECDSA-SHA256 --signature-format openssl --id "$KeyId" --input-file "$Input" --output-file "$Input.sig"
fi
openssl dgst -sha256 -verify "$PublicKey" -signature "$Input.sig" "$Input"
