package signing

import (
	"context"
	"errors"
	"testing"
	"time"
)

// A load that hangs in the database must not make every other request wait for it.
func TestRefreshDoesNotWaitForEver(t *testing.T) {
	w := newWorld(t, false)
	<-w.service.loading // somebody else loads
	defer func() { w.service.loading <- struct{}{} }()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := w.service.Refresh(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Refresh: %v", err)
	}
	snapshot := w.service.Snapshot()
	if w.service.NewerThan(t.Context(), snapshot) {
		t.Error("nothing has changed, so nothing has to be loaded")
	}
}
