package keys

import (
	"context"
	"crypto"
	"fmt"

	"signpath/internal/service/model"
)

// Importer is a Backend that can take in private keys which were made elsewhere.
type Importer interface {
	// Import takes a private key of a type and size that Generate could have made.
	// The result is that of Generate.
	Import(ctx context.Context, key crypto.Signer) (record model.Key, sealed []byte, err error)
}

// Import takes a private key into the named back end; see Importer.
func (r *Ring) Import(ctx context.Context, backend string, key crypto.Signer) (model.Key, []byte, error) {
	b, err := r.backend(backend)
	if err != nil {
		return model.Key{}, nil, err
	}
	i, ok := b.(Importer)
	if !ok {
		return model.Key{}, nil, fmt.Errorf("%w: the key store %q takes no keys that were made elsewhere", ErrUnsupportedKey, backend)
	}
	return i.Import(ctx, key)
}

var _ Importer = (*Soft)(nil)
