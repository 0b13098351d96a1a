package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"signpath/internal/service/model"
	"signpath/internal/service/store"
)

// Every writer renames both organizations to the version it makes and appends
// one entry; a reader must never see two different names, a name that does not
// fit the version, or a log that does not fit its head.
func testConcurrency(t *testing.T, open Opener) {
	s := opened(t, open)
	const writers, rounds = 8, 12
	name := func(version uint64) string { return fmt.Sprintf("version %d", version) }
	ctx, cancel := soon(t)
	defer cancel()

	var writing, reading sync.WaitGroup
	for range writers {
		writing.Go(func() {
			for range rounds {
				err := s.Write(ctx, func(tx store.Tx) error {
					n := name(tx.ConfigVersion() + 1)
					return errors.Join(
						tx.PutOrganization(model.Organization{ID: id("o1"), Name: n}),
						tx.AppendAudit(entries(tx.AuditHead(), 1, nil)),
						tx.PutOrganization(model.Organization{ID: id("o2"), Name: n}))
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	done := make(chan struct{})
	for range 3 {
		reading.Go(func() {
			var last uint64
			for {
				c, err := s.Config(ctx)
				if err != nil {
					t.Error(err)
					return
				}
				if c.Version < last {
					t.Errorf("version %d after %d", c.Version, last)
				}
				last = c.Version
				for _, o := range c.Organizations {
					if o.Name != name(c.Version) {
						t.Errorf("version %d has an organization of %s", c.Version, o.Name)
					}
				}
				h, err := s.AuditHead(ctx)
				if err != nil {
					t.Error(err)
					return
				}
				if h.Size < last {
					t.Errorf("version %d, but %d audit entries", last, h.Size)
				}
				if h.Size > 0 {
					rows, err := s.AuditRows(ctx, h.Size-1, 1, store.AuditFilter{})
					if err != nil || len(rows) != 1 {
						t.Errorf("last entry: %v, %v", rows, err)
						return
					}
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	writing.Wait()
	close(done)
	reading.Wait()
	equal(t, "version", version(t, s), uint64(writers*rounds))
	equal(t, "head", head(t, s).Size, uint64(writers*rounds))
}

func testCancel(t *testing.T, open Opener) {
	s := opened(t, open)
	ended, end := context.WithCancel(t.Context())
	end()
	for what, call := range map[string]func() error{
		"Write":         func() error { return s.Write(ended, func(store.Tx) error { t.Error("fn ran"); return nil }) },
		"Config":        func() error { _, err := s.Config(ended); return err },
		"ConfigVersion": func() error { _, err := s.ConfigVersion(ended); return err },
		"AuditRows":     func() error { _, err := s.AuditRows(ended, 0, 1, store.AuditFilter{}); return err },
		"Setting":       func() error { _, err := s.Setting(ended, "x"); return err },
		"Ping":          func() error { return s.Ping(ended) },
	} {
		if err := call(); !errors.Is(err, context.Canceled) {
			t.Errorf("%s with an ended context: %v", what, err)
		}
	}

	// A writer that waits for its turn leaves when its context ends.
	inside, leave := make(chan struct{}), make(chan struct{})
	first := make(chan error)
	go func() {
		first <- s.Write(t.Context(), func(tx store.Tx) error {
			close(inside)
			<-leave
			return tx.PutSetting("first", []byte{1})
		})
	}()
	<-inside
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Write(short, func(store.Tx) error { return nil }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting writer: %v", err)
	}
	// Readers do not wait for a writer.
	if err := s.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	close(leave)
	if err := <-first; err != nil {
		t.Error(err)
	}

	// A transaction whose context ends is not committed.
	during, stop := context.WithCancel(t.Context())
	err := s.Write(during, func(tx store.Tx) error {
		if err := tx.PutSetting("second", []byte{1}); err != nil {
			return err
		}
		stop()
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("transaction with an ended context: %v", err)
	}
	for name, want := range map[string]bool{"first": true, "second": false} {
		v, err := s.Setting(t.Context(), name)
		if err != nil || (v != nil) != want {
			t.Errorf("setting %s: %v, %v", name, v, err)
		}
	}
}

// A Tx that outlives its function does nothing.
func testEnded(t *testing.T, open Opener) {
	s := opened(t, open)
	var kept store.Tx
	write(t, s, func(tx store.Tx) error { kept = tx; return tx.PutSetting("a", []byte{1}) })
	if err := kept.PutSetting("b", []byte{1}); err == nil {
		t.Error("a setting was put after the end")
	}
	if err := kept.AppendAudit(entries(kept.AuditHead(), 1, nil)); err == nil {
		t.Error("an entry was appended after the end")
	}
	equal(t, "head", head(t, s).Size, uint64(0))
}

func testClosed(t *testing.T, open Opener) {
	s := opened(t, open)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Ping(t.Context()); err == nil {
		t.Error("a closed store answers")
	}
	if err := s.Write(t.Context(), func(store.Tx) error { return nil }); err == nil {
		t.Error("a closed store writes")
	}
	if err := s.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
}
