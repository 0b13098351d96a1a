package notation

import (
	"reflect"
	"strings"

	"signpath/internal/wire"
)

// contractVersion is the version of the plug-in contract.
const contractVersion = "1.0"

type metadataRequest struct {
	PluginConfig map[string]string `json:"pluginConfig"`
}

type metadataAnswer struct {
	Name                      string   `json:"name"`
	Description               string   `json:"description"`
	Version                   string   `json:"version"`
	URL                       string   `json:"url"`
	SupportedContractVersions []string `json:"supportedContractVersions"`
	Capabilities              []string `json:"capabilities"`
}

// keyRequest is the request of describe-key, and the part of generate-signature
// that names the key.
type keyRequest struct {
	ContractVersion string            `json:"contractVersion"`
	KeyID           string            `json:"keyId"` // project/policy
	PluginConfig    map[string]string `json:"pluginConfig"`
}

type describeAnswer struct {
	KeyID   string `json:"keyId"`
	KeySpec string `json:"keySpec"`
}

type signRequest struct {
	keyRequest
	KeySpec       string `json:"keySpec"`
	HashAlgorithm string `json:"hashAlgorithm"`
	Payload       []byte `json:"payload"` // standard base64; what is to be hashed
}

type signAnswer struct {
	KeyID            string   `json:"keyId"`
	Signature        []byte   `json:"signature"` // standard base64
	SigningAlgorithm string   `json:"signingAlgorithm"`
	CertificateChain [][]byte `json:"certificateChain"` // DER, leaf first, root last; standard base64
}

// decode reads a request strictly: exactly one JSON object, no member twice.
// Members that this version does not know are ignored.
func decode[T any](request []byte) (T, error) {
	var r *T
	if len(strings.TrimSpace(string(request))) == 0 {
		return *new(T), newError(CodeValidation, "the request is empty; a JSON object is expected on standard input")
	}
	if err := wire.DecodeJSON(request, &r); err != nil {
		return *new(T), newError(CodeValidation, "the request is not valid: %v", err)
	}
	if r == nil || reflect.TypeFor[T]().Kind() != reflect.Struct {
		return *new(T), newError(CodeValidation, "the request is not a JSON object")
	}
	return *r, nil
}

// check refuses a request of another contract, or without a key.
func (r keyRequest) check() error {
	switch {
	case r.ContractVersion == "":
		return newError(CodeValidation, "contractVersion is missing")
	case r.ContractVersion != contractVersion:
		return newError(CodeContract, "contract version %q is not supported; this plug-in has %s", clip(r.ContractVersion), contractVersion)
	case r.KeyID == "":
		return newError(CodeValidation, "keyId is missing; give --id PROJECT/POLICY")
	}
	return nil
}

func (r signRequest) check() error {
	if err := r.keyRequest.check(); err != nil {
		return err
	}
	switch {
	case r.KeySpec == "":
		return newError(CodeValidation, "keySpec is missing")
	case r.HashAlgorithm == "":
		return newError(CodeValidation, "hashAlgorithm is missing")
	case len(r.Payload) == 0:
		return newError(CodeValidation, "payload is missing")
	}
	return nil
}

// clip shortens foreign text for messages.
func clip(s string) string {
	const limit = 60
	if r := []rune(s); len(r) > limit {
		return string(r[:limit]) + "…"
	}
	return s
}
