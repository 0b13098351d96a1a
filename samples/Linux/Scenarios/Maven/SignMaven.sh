#!/usr/bin/env bash
# maven-gpg-plugin: Maven artifacts, through GnuPG
. "$(dirname "$0")/../Scenario.sh"
. "$(dirname "$0")/../SignPathCryptoProviderHelpers.sh"
Need gpg gnupg gnupg2
Need gnupg-pkcs11-scd gnupg-pkcs11-scd 'gnupg-pkcs11-scd (from EPEL)'
Need mvn maven maven
Uses sed -n '/maven-gpg-plugin/{n;s/ *<version>/maven-gpg-plugin /;s/<.*//;p}' "$(dirname "$0")/hello/pom.xml"
project=$OutputDirectory/project
rm -rf "$project"
cp -r "$(dirname "$0")/hello" "$project"

InitializeSignPathCryptoProviderGpgSigning
Step "mvn install"
(cd "$project" && mvn --batch-mode --quiet -Dgpg.keyname="$GPG_KEY_ID" install)

Step "gpg --verify, with a key ring that knows the public key only"
MakeVerifier
for f in "$project"/target/*.asc; do
	case $f in *.pom.asc) signed=$project/pom.xml ;; *) signed=${f%.asc} ;; esac
	gpg --homedir "$Verifier" --batch --verify "$f" "$signed"
done
