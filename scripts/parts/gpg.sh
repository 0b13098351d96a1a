# shellcheck shell=bash
gpg="gnupg gpg-agent gpgconf gpgv gnupg-pkcs11-scd sqv rpm dpkg-dev devscripts debsigs debsig-verify binutils apt-utils maven openjdk-17-jdk-headless"
gpg_systems="debian11=gnupg,gnupg-pkcs11-scd,dpkg-sig debian13=gnupg,gnupg-pkcs11-scd"
part gpg default dist "gpg, git, rpmsign, debsign, debsigs, dpkg-sig, apt and Maven; GnuPG 2.2 and 2.4, here and with Debian 11 and 13" "$gpg" "$gpg_systems"
part gpg-all more dist "every OpenPGP key, more signatures at once" "$gpg" "$gpg_systems"

part_gpg() { e2e gpg ./e2e/gpg .; }
part_gpg-all() { E2E_ALL=1 e2e gpg-all ./e2e/gpg .; }
