#!/usr/bin/env bash
# pyHanko: PDF signatures
. "$(dirname "$0")/../Scenario.sh"
Need openssl openssl openssl
command -v pyhanko >/dev/null || Missing "pyhanko is not installed" "python3 -m venv pyhanko && pyhanko/bin/pip install --require-hashes -r $(dirname "$0")/requirements.txt, then PATH=\$PWD/pyhanko/bin:\$PATH"
Uses pyhanko --version
ReadCertificates
Input sample.pdf MakePdf
signed=${Input%.*}.signed.pdf
rm -f "$signed"
timestamp=()
[ -z "${TimestampUrl:-}" ] || timestamp=(--timestamp-url "$TimestampUrl")

cat >"$OutputDirectory/pyhanko.yml" <<TXT
pkcs11-setups:
  signpath:
    module-path: $LibSignPathCryptokiPath
    token-criteria:
      label: SignPath
    user-pin: CONFIG
    cert-label: $ProjectSlug/$SigningPolicySlug
    key-label: $ProjectSlug/$SigningPolicySlug
    other-certs: $Issuers
    other-certs-to-pull: []
validation-contexts:
  signpath: # what is asked of the signing certificate, and whom to trust
    trust: [$Root${TimestampRootFile:+, $TimestampRootFile}]
    trust-replace: true
    signer-key-usage: [digital_signature]
TXT
Step "pyhanko sign"
pyhanko --config "$OutputDirectory/pyhanko.yml" sign addsig --field Signature "${timestamp[@]}" pkcs11 --p11-setup signpath "$Input" "$signed"

Step "pyhanko sign validate"
pyhanko --config "$OutputDirectory/pyhanko.yml" sign validate --validation-context signpath --pretty-print "$signed"
if command -v pdfsig >/dev/null; then
	Step "pdfsig"
	pdfsig -nocert "$signed"
fi
