#!/usr/bin/env bash
# OpenSSL: dgst, pkeyutl and cms, through libp11's engine or pkcs11-provider
. "$(dirname "$0")/../Scenario.sh"
Need openssl openssl openssl
Uses openssl version
ReadCertificates
Input artifact.bin MakeText
key="pkcs11:id=$ProjectSlug/$SigningPolicySlug;type=private"

# ---- set-up
engine=$(find "$(openssl version -e | sed 's/^ENGINESDIR: "\(.*\)"/\1/')" -name pkcs11.so -o -name libpkcs11.so 2>/dev/null | head -n 1) || true
provider=$(find "$(openssl version -m 2>/dev/null | sed 's/^MODULESDIR: "\(.*\)"/\1/')" -name pkcs11.so 2>/dev/null | head -n 1) || true
[ -n "${OpenSslSetup:-}" ] || if [ -n "$engine" ]; then OpenSslSetup=ConfigFile; else OpenSslSetup=Provider; fi
case $OpenSslSetup in
Variables | ConfigFile) [ -n "$engine" ] || Missing "OpenSSL's engine pkcs11 is not installed" "Debian, Ubuntu: apt-get install libengine-pkcs11-openssl. Red Hat: dnf install openssl-pkcs11" ;;
Provider) [ -n "$provider" ] || Missing "OpenSSL has neither the engine nor the provider pkcs11" "Debian, Ubuntu: apt-get install libengine-pkcs11-openssl or pkcs11-provider. Red Hat: dnf install openssl-pkcs11 or pkcs11-provider" ;;
*) Missing "OpenSslSetup=$OpenSslSetup is unknown" "Variables, ConfigFile or Provider" ;;
esac
configuration=$OutputDirectory/openssl-signpath.cnf
case $OpenSslSetup in
Variables) # A: the module in a variable, the PIN in the key's name
	export PKCS11_MODULE_PATH=$LibSignPathCryptokiPath
	key="$key;pin-value=CONFIG" ;;
ConfigFile) # B: both in a file
	cat >"$configuration" <<TXT
openssl_conf = openssl_init
[openssl_init]
engines = engines_section
[engines_section]
pkcs11 = pkcs11_section
[pkcs11_section]
engine_id = pkcs11
dynamic_path = $engine
MODULE_PATH = $LibSignPathCryptokiPath
default_algorithms = ALL
init = 0
PIN = CONFIG
TXT
	;;
Provider) # C: for systems without engines
	cat >"$configuration" <<TXT
openssl_conf = openssl_init
[openssl_init]
providers = providers_section
[providers_section]
default = default_section
pkcs11 = pkcs11_section
[default_section]
activate = 1
[pkcs11_section]
module = $provider
pkcs11-module-path = $LibSignPathCryptokiPath
pkcs11-module-token-pin = CONFIG
activate = 1
TXT
	;;
esac
# with and sign: OpenSSL with that set-up. Verifying below needs neither.
with() { if [ "$OpenSslSetup" = Variables ]; then "$@"; else OPENSSL_CONF=$configuration "$@"; fi; }
engine=(-engine pkcs11) form=(-keyform engine)
[ "$OpenSslSetup" != Provider ] || engine=() form=()

everything=1
[ -z "${OpenSslDgst:-}${OpenSslPkeyutl:-}${OpenSslCms:-}" ] || everything=''

# ---- openssl dgst: a file; sha256, sha384 or sha512
if [ -n "${OpenSslDgst:-$everything}" ]; then
	Step "openssl dgst ($OpenSslSetup)"
	with openssl dgst "${engine[@]}" "${form[@]}" -sign "$key" -sha256 -out "$Input.sig" "$Input"
	openssl dgst -sha256 -verify "$PublicKey" -signature "$Input.sig" "$Input"
fi

# ---- openssl pkeyutl: a digest, as bytes
if [ -n "${OpenSslPkeyutl:-$everything}" ]; then
	openssl dgst -sha256 -binary "$Input" >"$Input.hash"
	# EC keys need no option; with digest:sha256 OpenSSL 3.0.2 of Ubuntu 22.04 crashes.
	paddings=('')
	[ $KeyType != RSA ] || paddings=('-pkeyopt digest:sha256 -pkeyopt rsa_padding_mode:pkcs1' '-pkeyopt digest:sha256 -pkeyopt rsa_padding_mode:pss -pkeyopt rsa_pss_saltlen:-1 -pkeyopt rsa_mgf1_md:sha256')
	for padding in "${paddings[@]}"; do
		Step "openssl pkeyutl $padding"
		# shellcheck disable=SC2086 # options
		with openssl pkeyutl "${engine[@]}" "${form[@]}" -inkey "$key" -sign -in "$Input.hash" -out "$Input.hash.sig" $padding
		# shellcheck disable=SC2086
		openssl pkeyutl -verify -pubin -inkey "$PublicKey" -in "$Input.hash" -sigfile "$Input.hash.sig" $padding
	done
fi

# ---- openssl cms: a detached signature with the certificates
if [ -n "${OpenSslCms:-$everything}" ]; then
	Step "openssl cms"
	with openssl cms "${engine[@]}" "${form[@]}" -inkey "$key" -signer "$Certificate" -certfile "$Issuers" -sign -binary -in "$Input" -noattr -out "$Input.cms" -outform PEM
	# Code signing certificates are refused without -purpose any.
	openssl cms -verify -binary -inform PEM -in "$Input.cms" -content "$Input" -CAfile "$Root" -purpose any -out /dev/null
fi
