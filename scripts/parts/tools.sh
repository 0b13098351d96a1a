# shellcheck shell=bash
# The tools that everything began with.
engine="libengine-pkcs11-openssl opensc"
part openssl default dist "OpenSSL signs, others verify" "$engine"
part pkcs11-tool default dist "pkcs11-tool lists, signs and tests" "$engine"
part osslsigncode default dist "PE, MSI, CAB and scripts, here and with the newer version of Debian 13" "osslsigncode libengine-pkcs11-openssl wixl gcab" "samples debian13=osslsigncode,libengine-pkcs11-openssl"
part openssl-all more dist "every key" "$engine"
part pkcs11-tool-all more dist "every key" "$engine"
part osslsigncode-all more dist "every key and file" "osslsigncode libengine-pkcs11-openssl wixl gcab" "samples debian13=osslsigncode,libengine-pkcs11-openssl"

part_openssl() { e2e openssl ./e2e/tools '^TestOpenSSL'; }
part_pkcs11-tool() { e2e pkcs11-tool ./e2e/tools '^TestPKCS11Tool'; }
part_osslsigncode() { e2e osslsigncode ./e2e/tools '^TestOsslsigncode'; }
part_openssl-all() { E2E_ALL=1 e2e openssl-all ./e2e/tools '^TestOpenSSL'; }
part_pkcs11-tool-all() { E2E_ALL=1 e2e pkcs11-tool-all ./e2e/tools '^TestPKCS11Tool'; }
part_osslsigncode-all() { E2E_ALL=1 e2e osslsigncode-all ./e2e/tools '^TestOsslsigncode'; }
