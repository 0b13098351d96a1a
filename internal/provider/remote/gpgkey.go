package remote

import (
	"context"
	"errors"
	"net/http"
	"net/url"
)

const opGPG = "fetch the OpenPGP public key"

// maxGPGKey is the size in bytes of the longest OpenPGP key that is taken; one
// with a single user ID has some 3 KiB.
const maxGPGKey = 1 << 20

// GPGPublicKey fetches the transferable public key (RFC 9580 section 10.1) of a
// signing policy's OpenPGP key as the service sends it, ASCII armour or binary.
// Nothing about it has been verified. A policy without such a key is class User
// with status 404 (SignPath REST API documentation, Certificate/GpgPublicKey).
func (c *Client) GPGPublicKey(ctx context.Context, projectSlug, signingPolicySlug string) ([]byte, error) {
	var key []byte
	err := c.call(ctx, Attempt{}, request{
		op: opGPG, method: http.MethodGet, accept: "application/pgp-keys, */*;q=0.5",
		url: c.base.JoinPath("Projects", url.PathEscape(projectSlug), "SigningPolicies", url.PathEscape(signingPolicySlug), "Certificate", "GpgPublicKey"),
	}, func(body []byte) error {
		switch {
		case len(body) == 0:
			return errors.New("the answer is empty")
		case len(body) > maxGPGKey:
			return errors.New("the answer is too long for an OpenPGP key")
		}
		key = body
		return nil
	})
	if err != nil {
		return nil, err
	}
	return key, nil
}
