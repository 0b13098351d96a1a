package cryptoki

import (
	"errors"
	"sync/atomic"
	"time"

	"signpath/internal/provider/remote"
)

// impatience is how long after a call that was waited for in vain the next login
// asks the service once only. gnupg-pkcs11-scd answers a failed C_Sign with
// C_Logout and C_Login: its user would wait for all retries twice.
const impatience = 5 * time.Second

// patience knows when the service was last waited for in vain.
type patience struct{ lost atomic.Pointer[time.Time] }

// failed notes how a call to the service ended.
func (p *patience) failed(err error) {
	var failure *remote.Error
	if errors.As(err, &failure) && (failure.Class == remote.Transient || failure.Class == remote.Service) {
		now := time.Now()
		p.lost.Store(&now)
	}
}

// lookup is how a login asks for the list of keys.
func (p *patience) lookup() Lookup {
	lost := p.lost.Load()
	return Lookup{Once: lost != nil && time.Since(*lost) < impatience}
}
