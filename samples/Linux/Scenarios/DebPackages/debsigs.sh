#!/usr/bin/env bash
# debsigs: Debian packages, through GnuPG
. "$(dirname "$0")/../Scenario.sh"
. "$(dirname "$0")/../SignPathCryptoProviderHelpers.sh"
Need gpg gnupg gnupg2
Need gnupg-pkcs11-scd gnupg-pkcs11-scd 'gnupg-pkcs11-scd (from EPEL)'
Need debsigs debsigs debsigs
Need debsig-verify debsig-verify debsig-verify
Uses dpkg-query -W debsigs
Input hello.deb MakeDeb

InitializeSignPathCryptoProviderGpgSigning
Step "debsigs --sign"
debsigs --sign=origin -k "$GPG_KEY_ID" "$Input"

Step "debsig-verify, with a policy that knows the public key only"
# Installed, the two folders are /etc/debsig/policies and /usr/share/debsig/keyrings.
id=${GPG_KEY_ID:24}
rm -rf "$OutputDirectory/policies" "$OutputDirectory/keyrings"
mkdir -p "$OutputDirectory/policies/$id" "$OutputDirectory/keyrings/$id"
gpg --batch --export "$GPG_KEY_ID" >"$OutputDirectory/keyrings/$id/release.gpg"
cat >"$OutputDirectory/policies/$id/release.pol" <<XML
<?xml version="1.0"?>
<!DOCTYPE Policy SYSTEM "https://www.debian.org/debsig/1.0/policy.dtd">
<Policy xmlns="https://www.debian.org/debsig/1.0/">
  <Origin Name="Release" id="$id" Description="Packages of this project"/>
  <Selection><Required Type="origin" File="release.gpg" id="$id"/></Selection>
  <Verification MinOptional="0"><Required Type="origin" File="release.gpg" id="$id"/></Verification>
</Policy>
XML
debsig-verify --policies-dir "$OutputDirectory/policies" --keyrings-dir "$OutputDirectory/keyrings" "$Input"
