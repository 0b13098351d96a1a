#!/usr/bin/env bash
# Jsign: Authenticode signatures of Windows files, in Java
. "$(dirname "$0")/../Scenario.sh"
Need openssl openssl openssl
Need java default-jre-headless java-17-openjdk-headless
if [ -n "${JSIGN_JAR:-}" ]; then jsign() { java -jar "$JSIGN_JAR" "$@"; }
else command -v jsign >/dev/null || Missing "Jsign is not installed" "it is the artifact net.jsign:jsign of Maven Central; JSIGN_JAR=/path/to/jsign.jar names it"; fi
Uses jsign --version
ReadCertificates
Input sample.exe MakeWindowsProgram
timestamp=()
[ -z "${TimestampUrl:-}" ] || timestamp=(--tsaurl "$TimestampUrl" --tsmode RFC3161)

cat >"$OutputDirectory/pkcs11.config" <<TXT
name=SignPath.Cryptoki
library=$LibSignPathCryptokiPath
slot=1
TXT
Step "jsign"
jsign --storetype PKCS11 --keystore "$OutputDirectory/pkcs11.config" --storepass CONFIG --alias "$ProjectSlug/$SigningPolicySlug" --alg SHA-256 "${timestamp[@]}" "$Input"

if command -v osslsigncode >/dev/null; then
	Step "osslsigncode verify"
	timestamp=()
	[ -z "${TimestampRootFile:-}" ] || timestamp=(-TSA-CAfile "$TimestampRootFile")
	osslsigncode verify -CAfile "$Root" "${timestamp[@]}" -in "$Input"
else
	Step "not verified: osslsigncode is not installed"
fi
