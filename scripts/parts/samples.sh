# shellcheck shell=bash disable=SC2154
samples="libengine-pkcs11-openssl opensc osslsigncode openjdk-17-jdk-headless maven gnupg gpg-agent gnupg-pkcs11-scd rpm dpkg-dev debsigs debsig-verify poppler-utils python3-pip"
part samples default dist "the samples for Linux: every scenario, and what a user gets who makes a mistake" "$samples" "jsign"
part samples-all more dist "the same in containers of Debian 11, 12 and 13, built from the samples' container files; every key; cosign" "$samples gcc libc6-dev buildah debootstrap" "jsign"

part_samples() { samples_tools && samples_packages && e2e samples ./e2e/samples .; }
part_samples-all() {
	samples_tools && samples_packages && registry_tool && CGO_ENABLED=1 go_tool E2E_COSIGN cosign e2e/containers/tools github.com/sigstore/cosign/v2/cmd/cosign -tags pkcs11key &&
		E2E_ALL=1 E2E_BASES="debian:11 debian:12 debian:13" E2E_CONTAINERS=$cache/containers e2e samples-all ./e2e/samples .
}

samples_packages() {
	scripts/package "$platform" >"$out/package.txt" 2>&1 || { cat "$out/package.txt"; return 1; }
	export E2E_PACKAGES=$root/dist/packages/$platform
}

samples_tools() {
	python_packages "$cache/samples/pyhanko" samples/Linux/Scenarios/Pdf/requirements.txt || return 1
	export E2E_PYHANKO=$cache/samples/pyhanko
	go_tool E2E_NOTATION notation e2e/notation/tools github.com/notaryproject/notation/cmd/notation
}
