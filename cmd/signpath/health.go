package main

import (
	"context"
	"crypto/rand"

	"signpath/internal/service/audit"
	"signpath/internal/service/health"
	"signpath/internal/service/store"
)

// The value that is written to find out whether there is room for a signature:
// an intent and its outcome change about as many pages of the database. Random,
// so that no database packs it.
const (
	probeSetting = "health.probe"
	probeSize    = 16 << 10 // bytes
)

func newMonitor(st store.Store, log *audit.Log) *health.Monitor {
	return health.New(health.Config{
		Probe: func(ctx context.Context) error {
			value := make([]byte, probeSize)
			_, _ = rand.Read(value) // never fails
			return st.Write(ctx, func(tx store.Tx) error { return tx.PutSetting(probeSetting, value) })
		},
		Writes: func() (w health.Writes) {
			w.Succeeded, w.Failed, w.Cause = log.Writes()
			return w
		},
	})
}

// health tells whether the database answers and takes what a signature writes.
func (i *installation) health(ctx context.Context) error {
	if err := i.store.Ping(ctx); err != nil {
		return err
	}
	return i.writes.Check(ctx)
}
