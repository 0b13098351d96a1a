#!/usr/bin/env bash
# Notation: container images in a registry, or an image folder (OCI layout) if no image is named
. "$(dirname "$0")/../Scenario.sh"
Need openssl openssl openssl
command -v notation >/dev/null || Missing "notation is not installed" "its releases are published by the Notary Project, notaryproject/notation"
# Notation keeps its settings in ~/.config/notation; a folder of our own leaves yours as they are.
export XDG_CONFIG_HOME=$OutputDirectory/config
plugin=$XDG_CONFIG_HOME/notation/plugins/signpath/notation-signpath
NotationPlugin=${NotationPlugin:-$(dirname "$LibSignPathCryptokiPath")/notation-signpath}
[ -x "$NotationPlugin" ] || Missing "the plugin $NotationPlugin was not found" "NotationPlugin=/path/to/notation-signpath names it"
rm -rf "$XDG_CONFIG_HOME"
mkdir -p "$(dirname "$plugin")" && cp "$NotationPlugin" "$plugin" # or: notation plugin install --file notation-signpath
Uses notation version
ReadCertificates

# MakeImage DIR: an image without content, in a folder as the OCI image layout wants it
MakeImage() {
	local blobs=$1/blobs/sha256 config manifest
	mkdir -p "$blobs"
	put() { printf '%s' "$1" >"$blobs/new"; digest=$(sha256sum "$blobs/new" | cut -d' ' -f1); size=$(stat -c %s "$blobs/new"); mv "$blobs/new" "$blobs/$digest"; }
	put "{\"architecture\":\"amd64\",\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]},\"created\":\"$(date -u +%FT%TZ)\"}"
	config="{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"digest\":\"sha256:$digest\",\"size\":$size}"
	put "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"config\":$config,\"layers\":[]}"
	manifest="{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"sha256:$digest\",\"size\":$size}"
	printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[%s]}' "$manifest" >"$1/index.json"
	printf '{"imageLayoutVersion":"1.0.0"}' >"$1/oci-layout"
}
where=()
if [ -z "${Image:-}" ]; then
	rm -rf "$OutputDirectory/image"
	MakeImage "$OutputDirectory/image"
	Image=$OutputDirectory/image@sha256:$digest
	export NOTATION_EXPERIMENTAL=1
	where=(--oci-layout)
fi

timestamp=()
[ -z "${TimestampUrl:-}" ] || timestamp=(--timestamp-url "$TimestampUrl" --timestamp-root-cert "${TimestampRootFile:?-TimestampRootFile is missing: notation wants it}")
Step "notation sign $Image"
notation sign "${where[@]}" "${timestamp[@]}" --signature-format cose --id "$ProjectSlug/$SigningPolicySlug" --plugin signpath "$Image"

Step "notation verify"
mkdir -p "$XDG_CONFIG_HOME/notation/truststore/x509/ca/signpath"
cp "$Root" "$XDG_CONFIG_HOME/notation/truststore/x509/ca/signpath/root.pem"
scope='"registryScopes":["*"]'
[ ${#where[@]} = 0 ] || where+=(--scope local/image) scope='"registryScopes":["local/image"]'
cat >"$XDG_CONFIG_HOME/notation/trustpolicy.json" <<TXT
{"version":"1.0","trustPolicies":[{"name":"signpath",$scope,"signatureVerification":{"level":"strict"},"trustStores":["ca:signpath"],"trustedIdentities":["*"]}]}
TXT
notation verify "${where[@]}" "$Image"
