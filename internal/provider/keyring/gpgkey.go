package keyring

import "context"

// GPGPublicKey fetches the key's OpenPGP public key as the service sends it,
// ASCII armour or binary; see remote.Client.GPGPublicKey. Errors are *remote.Error.
func (k *Key) GPGPublicKey(ctx context.Context) ([]byte, error) {
	return k.ring.client.GPGPublicKey(ctx, k.project, k.policy)
}
