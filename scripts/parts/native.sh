# shellcheck shell=bash
native="libengine-pkcs11-openssl opensc gnutls-bin libnss3-tools sbsigntool pesign u-boot-tools device-tree-compiler rauc squashfs-tools ima-evm-utils linux-kbuild-6.1 openssh-client curl stunnel4 p11-kit p11-kit-modules git osslsigncode"
native13="pkcs11-provider,openssl,systemd-repart,systemd-ukify,systemd-boot-efi,python3-pefile,curl"
native13_all="$native13,libengine-pkcs11-openssl,opensc,gnutls-bin,libnss3-tools,sbsigntool,pesign,u-boot-tools,device-tree-compiler,rauc,squashfs-tools,ima-evm-utils,openssh-client,p11-kit,p11-kit-modules,git"
part native default dist "GnuTLS, NSS, boot and firmware tools, OpenSSH, curl, p11-kit; OpenSSL's provider in a Debian 13 root" "$native" "samples debian13=$native13"
part native-all more dist "every key, and each tool in the version of Debian 13, too" "$native" "samples debian13=$native13_all"

part_native() { e2e native ./e2e/native .; }
part_native-all() { E2E_ALL=1 e2e native-all ./e2e/native .; }
