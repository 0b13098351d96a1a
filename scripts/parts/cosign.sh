# shellcheck shell=bash
# cosign takes minutes to build: it brings the clients of every cloud.
part containers more dist "cosign signs blobs and images with every key, skopeo copies and signs with OpenPGP" "gcc libc6-dev gnupg gnupg-pkcs11-scd skopeo"

part_containers() {
	CGO_ENABLED=1 go_tool E2E_COSIGN cosign e2e/containers/tools github.com/sigstore/cosign/v2/cmd/cosign -tags pkcs11key &&
		registry_tool && E2E_ALL=1 e2e containers ./e2e/containers .
}
