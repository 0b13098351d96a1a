#!/usr/bin/env bash
# gpg: detached and clear signatures, through gnupg-pkcs11-scd
. "$(dirname "$0")/../Scenario.sh"
. "$(dirname "$0")/../SignPathCryptoProviderHelpers.sh"
Need gpg gnupg gnupg2
Need gnupg-pkcs11-scd gnupg-pkcs11-scd 'gnupg-pkcs11-scd (from EPEL)'
Uses gpg --version
Input hello.txt MakeText

InitializeSignPathCryptoProviderGpgSigning
Step "gpg --detach-sign"
gpg --batch --yes -u "$GPG_KEY_ID" --armor --detach-sign --output "$Input.asc" "$Input"
Step "gpg --clear-sign"
gpg --batch --yes -u "$GPG_KEY_ID" --clear-sign --output "$Input.clear.asc" "$Input"

Step "gpg --verify, with a key ring that knows the public key only"
MakeVerifier
gpg --homedir "$Verifier" --batch --verify "$Input.asc" "$Input"
gpg --homedir "$Verifier" --batch --verify "$Input.clear.asc"
