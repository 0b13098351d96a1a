#!/usr/bin/env bash
# rpmsign: RPM packages, through GnuPG
. "$(dirname "$0")/../Scenario.sh"
. "$(dirname "$0")/../SignPathCryptoProviderHelpers.sh"
Need gpg gnupg gnupg2
Need gnupg-pkcs11-scd gnupg-pkcs11-scd 'gnupg-pkcs11-scd (from EPEL)'
Need rpmsign rpm rpm-sign
Uses rpm --version
MakeRpm() {
	Need rpmbuild rpm rpm-build
	rpmbuild --quiet --define "_topdir $OutputDirectory/rpmbuild" --define "_rpmdir $(dirname "$1")" --define "_build_name_fmt $(basename "$1")" \
		-bb "$(dirname "${BASH_SOURCE[0]}")/hello.spec"
}
Input hello.rpm MakeRpm

InitializeSignPathCryptoProviderGpgSigning
Step "rpmsign --resign"
# rpm of Debian does not know where gpg is.
rpmsign --define "__gpg $(command -v gpg)" --define "_gpg_name $GPG_KEY_ID" --resign "$Input"

Step "rpm -K, with a database that knows the public key only"
rm -rf "$OutputDirectory/rpmdb"
mkdir "$OutputDirectory/rpmdb"
gpg --batch --armor --export "$GPG_KEY_ID" >"$OutputDirectory/public-key.asc"
rpm --dbpath "$OutputDirectory/rpmdb" --initdb
rpm --dbpath "$OutputDirectory/rpmdb" --import "$OutputDirectory/public-key.asc"
rpm --dbpath "$OutputDirectory/rpmdb" -Kv "$Input"
