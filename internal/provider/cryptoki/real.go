package cryptoki

import (
	"context"
	"encoding/json"
	"runtime"
	"strings"
	"sync"

	"signpath/internal/provider/hostprocess"
	"signpath/internal/provider/keyring"
	"signpath/internal/provider/logfile"
	"signpath/internal/provider/settings"
)

// interfaceName is this interface's name in log files and in requests.
const interfaceName = "Cryptoki"

// realLog is a log file as a Logger.
type realLog struct{ *logfile.Logger }

// Call logs with the C_ function where other lines have the Go function, and
// with the line where that function was left.
func (l realLog) Call(function, text string, args ...any) {
	if l.Enabled(settings.LevelDebug) {
		l.Named(function, placeOfCall()).Debug(text, args...)
	}
}

// placeOfCall is the program counter in the innermost method of Module: it
// deferred trace, which called Call. After a panic there is more in between.
func placeOfCall() uintptr {
	var pcs [32]uintptr
	for _, pc := range pcs[:runtime.Callers(3, pcs[:])] {
		if f := runtime.FuncForPC(pc - 1); f != nil && strings.Contains(f.Name(), "/cryptoki.(*Module).") {
			return pc
		}
	}
	return 0
}

func openLog(s settings.Settings) (log Logger, closeLog func()) {
	l := logfile.Open(logfile.Options{Interface: interfaceName, Log: s.Log, Secrets: s.Secrets()})
	return realLog{l}, l.Close
}

// realRing is a keyring as a Ring.
type realRing struct {
	*keyring.Ring

	mu       sync.Mutex
	snapshot *keyring.Snapshot // what listing was made of
	listing  *Listing
}

func openRing(s settings.Settings, version string, log Logger) (Ring, error) {
	ring, err := keyring.Open(s, keyring.Options{
		Product: interfaceName, Version: version, Log: log,
		Metadata: func() json.RawMessage { return hostprocess.Describe(s.Secrets()).Metadata() },
	})
	if err != nil {
		return nil, err
	}
	return &realRing{Ring: ring}, nil
}

func (r *realRing) Keys(ctx context.Context, how Lookup) (*Listing, error) {
	s, err := r.Ring.Keys(ctx, keyring.Lookup(how))
	if err != nil {
		return nil, err
	}
	return r.list(s), nil
}

func (r *realRing) Refresh(ctx context.Context) (*Listing, error) {
	s, err := r.Ring.Refresh(ctx)
	if err != nil {
		return nil, err
	}
	return r.list(s), nil
}

// list gives the same Listing for the same snapshot.
func (r *realRing) list(s *keyring.Snapshot) *Listing {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.snapshot == s {
		return r.listing
	}
	l := &Listing{Keys: make([]Key, s.Len())}
	for i := range l.Keys {
		k := s.At(i)
		l.Keys[i] = Key{Name: k.Name(), Public: k.Public(), Certificate: k.Certificate(), Chain: k.Chain(), GPG: k.IsGPG(), Sign: k.Sign}
	}
	r.snapshot, r.listing = s, l
	return l
}
