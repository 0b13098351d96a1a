# shellcheck shell=bash
# The fault list needs every tool; a crash, core files of this machine's kernel.
broken="osslsigncode libengine-pkcs11-openssl opensc openjdk-17-jdk-headless apksigner aapt android-framework-res mount util-linux gnupg gpg-agent gpgconf gnupg-pkcs11-scd"
part faults default dist "what breaks between tool and service, on the disk and in a crash: codes, waiting times, Ctrl-C, secrets" "$broken" "samples jsign"
part faults-all more dist "every fault with every tool" "$broken" "samples jsign"
killed="libengine-pkcs11-openssl postgresql softhsm2 opensc"
part kill default dist "SIGKILL for service, worker and database in mid-load: audit log and signatures agree" "$killed"
part kill-all more dist "more often, and until the intents of a dead replica are ended" "$killed"

part_faults() { e2e faults ./e2e/faults .; }
part_faults-all() { E2E_ALL=1 e2e faults-all ./e2e/faults .; }
part_kill() { e2e kill ./e2e/kill .; }
part_kill-all() { E2E_ALL=1 e2e kill-all ./e2e/kill .; }
