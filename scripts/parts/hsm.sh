# shellcheck shell=bash
part hsm default dist "keys on a PKCS #11 token (SoftHSM): dev and server, crash, removal, adopted keys" "gcc libc6-dev libengine-pkcs11-openssl opensc softhsm2"

part_hsm() { e2e hsm ./e2e/hsm .; }
