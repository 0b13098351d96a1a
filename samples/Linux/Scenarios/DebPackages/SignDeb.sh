#!/usr/bin/env bash
# dpkg-sig: Debian packages, through GnuPG (Debian 11, Ubuntu 22.04 and before)
. "$(dirname "$0")/../Scenario.sh"
. "$(dirname "$0")/../SignPathCryptoProviderHelpers.sh"
Need gpg gnupg gnupg2
Need gnupg-pkcs11-scd gnupg-pkcs11-scd 'gnupg-pkcs11-scd (from EPEL)'
command -v dpkg-sig >/dev/null || Missing "dpkg-sig is not installed" "apt-get install dpkg-sig; Debian 12 and later have it no more: use the scenario debsigs"
Uses dpkg-query -W dpkg-sig
Input hello.deb MakeDeb

InitializeSignPathCryptoProviderGpgSigning
Step "dpkg-sig --sign"
dpkg-sig -k "$GPG_KEY_ID" --sign builder "$Input"

Step "dpkg-sig --verify, with a key ring that knows the public key only"
MakeVerifier
GNUPGHOME=$Verifier dpkg-sig --verify "$Input"
