#!/usr/bin/env bash
# cosign: container images, or a file if no image is named
. "$(dirname "$0")/../Scenario.sh"
Need openssl openssl openssl
command -v cosign >/dev/null || Missing "cosign is not installed" "take the release cosign-linux-pivkey-pkcs11key, or build it with -tags pkcs11key"
! cosign pkcs11-tool list-tokens --module-path "$LibSignPathCryptokiPath" 2>&1 | grep -q unimplemented ||
	Missing "this cosign knows no PKCS #11, as that of Debian" "take the release cosign-linux-pivkey-pkcs11key, or build it with -tags pkcs11key"
Uses cosign version
ReadCertificates
# cosign opens read/write sessions, and knows certificates of Sigstore's own kind only.
export SIGNPATH_CRYPTOKI_DO_NOT_FAIL_ON_READ_WRITE_SESSIONS=true COSIGN_PKCS11_IGNORE_CERTIFICATE=1
key="pkcs11:slot-id=1;id=$(sed 's/../%&/g' <<<"$KeyId")?module-path=$LibSignPathCryptokiPath&pin-value=CONFIG"

# Without Sigstore's public log, in the formats of cosign 2: version 3 has to be told so.
offline=(--tlog-upload=false)
! cosign sign-blob --help 2>&1 | grep -q -- --use-signing-config || offline+=(--use-signing-config=false --new-bundle-format=false)
if [ -n "${Image:-}" ]; then
	Step "cosign sign $Image"
	cosign sign --yes --key "$key" "${offline[@]}" "$Image"
	Step "cosign verify"
	cosign verify --key "$PublicKey" --insecure-ignore-tlog=true "$Image"
else
	Input artifact.bin MakeText
	Step "cosign sign-blob"
	cosign sign-blob --yes --key "$key" "${offline[@]}" --output-signature "$Input.sig" "$Input"
	Step "cosign verify-blob"
	cosign verify-blob --key "$PublicKey" --insecure-ignore-tlog=true --signature "$Input.sig" "$Input"
fi
