#!/usr/bin/env bash
# jarsigner: Java archives, through SunPKCS11
. "$(dirname "$0")/../Scenario.sh"
Need openssl openssl openssl
Need jarsigner default-jdk-headless java-17-openjdk-devel
Uses java -version
ReadCertificates
MakeJar() { MakeText "$OutputDirectory/hello.txt"; jar cf "$1" -C "$OutputDirectory" hello.txt; }
Input hello.jar MakeJar
algorithm=SHA256withRSA
[ $KeyType = RSA ] || algorithm=SHA256withECDSA
timestamp=()
[ -z "${TimestampUrl:-}" ] || timestamp=(-tsa "$TimestampUrl")

cat >"$OutputDirectory/pkcs11.config" <<TXT
name=SignPath.Cryptoki
library=$LibSignPathCryptokiPath
slot=1
TXT
Step "jarsigner"
jarsigner -keystore NONE -storetype PKCS11 -providerClass sun.security.pkcs11.SunPKCS11 -providerArg "$OutputDirectory/pkcs11.config" \
	-sigalg $algorithm -storepass CONFIG "${timestamp[@]}" "$Input" "$ProjectSlug/$SigningPolicySlug"

Step "jarsigner -verify"
# A root of your own has to be in a trust store.
rm -f "$OutputDirectory/trust.p12"
keytool -importcert -noprompt -alias root -file "$Root" -keystore "$OutputDirectory/trust.p12" -storetype PKCS12 -storepass changeit
[ -z "${TimestampRootFile:-}" ] || keytool -importcert -noprompt -alias tsa -file "$TimestampRootFile" -keystore "$OutputDirectory/trust.p12" -storepass changeit
jarsigner -verify -strict -keystore "$OutputDirectory/trust.p12" -storepass changeit "$Input"
