package signing

import (
	"time"

	"signpath/internal/wire"
)

// Observation is one decision, for who counts them.
type Observation struct {
	Refused int // number of the check that refused; 0: none did

	// Of a signature that was announced:
	KeyType   wire.KeyType
	KeyBits   int
	KeyStore  string // name of the back end
	Algorithm wire.Algorithm
	Failed    bool
	Intent    time.Duration // until its intent was durable
	KeyUse    time.Duration // in the key store
}

func (s *Service) observe(o Observation) {
	if s.Observe != nil {
		s.Observe(o)
	}
}
