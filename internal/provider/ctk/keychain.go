package ctk

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Visibility is how far macOS is with a token.
type Visibility int

// From nothing to done.
const (
	Absent   Visibility = iota // ctkd does not have the token
	Loaded                     // ctkd has the token, the keychain does not show its identity
	InReach                    // the keychain shows certificate and key
	nowadays                   // number of values
)

// ErrNoExtension means that macOS does not offer the extension to the app (yet):
// it has not registered it, or refused it.
var ErrNoExtension = errors.New("macOS does not know the app's extension")

// Keychain is macOS as the app sees it. Calls may hang: ctkd does.
type Keychain interface {
	Registered() ([]string, error) // instances of the app's tokens, those of earlier runs too
	Put(*Token) error              // replaces a token of the same instance
	Remove(instance string) error
	Visibility(instance string) (Visibility, error)
	Daemon() int // process ID of the user's ctkd, 0: not known, or there is none
}

// errStuck is a call of macOS that did not come back.
type errStuck struct{ what string }

func (e *errStuck) Error() string {
	return "macOS does not answer (" + e.what + "); run `killall ctkd`, the app starts again by itself"
}

// guard calls a Keychain, one call at a time, each with a time limit. A call that
// hangs keeps its turn: what follows fails in time too and does not pile up.
type guard struct {
	keychain Keychain
	turn     chan struct{}
}

func newGuard(k Keychain) *guard { return &guard{k, make(chan struct{}, 1)} }

// call runs f with a limit. The context ends the wait, never the call.
func call[T any](ctx context.Context, g *guard, what string, limit time.Duration, f func() (T, error)) (T, error) {
	var none T
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case g.turn <- struct{}{}:
	case <-timer.C:
		return none, &errStuck{what}
	case <-ctx.Done():
		return none, context.Cause(ctx)
	}
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		defer func() {
			if r := recover(); r != nil {
				done <- outcome{err: fmt.Errorf("%s: %v", what, r)}
			}
			<-g.turn
		}()
		v, err := f()
		done <- outcome{v, err}
	}()
	select {
	case o := <-done:
		return o.value, o.err
	case <-timer.C:
		return none, &errStuck{what}
	case <-ctx.Done():
		return none, context.Cause(ctx)
	}
}

const keychainLimit = 8 * time.Second

func (g *guard) registered(ctx context.Context) ([]string, error) {
	return call(ctx, g, "list of tokens", keychainLimit, g.keychain.Registered)
}

func (g *guard) put(ctx context.Context, t *Token) error {
	_, err := call(ctx, g, "registering a token", keychainLimit, func() (any, error) { return nil, g.keychain.Put(t) })
	return err
}

func (g *guard) remove(ctx context.Context, instance string) error {
	_, err := call(ctx, g, "removing a token", keychainLimit, func() (any, error) { return nil, g.keychain.Remove(instance) })
	return err
}

func (g *guard) visibility(ctx context.Context, instance string) (Visibility, error) {
	v, err := call(ctx, g, "look into the keychain", keychainLimit, func() (Visibility, error) { return g.keychain.Visibility(instance) })
	if v < Absent || v >= nowadays {
		v = Absent
	}
	return v, err
}

func (g *guard) daemon(ctx context.Context) int {
	pid, err := call(ctx, g, "process of ctkd", keychainLimit, func() (int, error) { return g.keychain.Daemon(), nil })
	if err != nil {
		return 0
	}
	return pid
}
