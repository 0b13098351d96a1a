package admin

import (
	"context"
	"errors"
	"fmt"

	"signpath/internal/service/model"
	"signpath/internal/service/store"
	"signpath/internal/service/webhooks"
)

// Resealer is a key-encryption key that can take over from another one
// (*keys.KEK). anew is false for what it has sealed itself.
type Resealer interface {
	Reseal(purpose string, sealed []byte) (out []byte, anew bool, err error)
	ResealKey(key model.Key, sealed []byte) (out []byte, anew bool, err error)
}

// Resealed is the result of installation.reseal: how many sealed values there
// are, and how many of them were sealed with another key before.
type Resealed struct {
	Keys     Resealing `json:"keys"`     // private keys, and references to keys on tokens
	Settings Resealing `json:"settings"` // the audit log's key, revocations of OpenPGP keys
	Webhooks Resealing `json:"webhooks"` // what webhooks authorize themselves with
}

// Resealing counts values of one kind.
type Resealing struct {
	Total int `json:"total"`
	Anew  int `json:"anew"`
}

func (r *Resealing) count(anew bool) bool {
	r.Total++
	if anew {
		r.Anew++
	}
	return anew
}

// Reseal seals everything with the present key-encryption key that an earlier
// one has sealed: all of it or, if one value does not open, nothing. Signing
// goes on meanwhile; keys that are open stay open.
func (s *Service) Reseal(ctx context.Context, call Call, _ struct{}) (Resealed, error) {
	if s.Resealer == nil {
		return Resealed{}, fmt.Errorf("%w: nothing can be sealed anew", ErrNoKEK)
	}
	var done Resealed
	err := s.change(ctx, call, func(t *transaction) error {
		done = Resealed{}
		for i := range t.cfg.Keys {
			if err := s.resealKey(ctx, t, &t.cfg.Keys[i], &done); err != nil {
				return err
			}
		}
		for _, name := range s.SealedSettings {
			if err := s.resealSetting(t, name, &done.Settings); err != nil {
				return err
			}
		}
		for i := range t.cfg.Organizations {
			if err := s.resealWebhooks(t, t.cfg.Organizations[i].ID, &done.Webhooks); err != nil {
				return err
			}
		}
		if done.Keys.Anew+done.Settings.Anew+done.Webhooks.Anew == 0 {
			return nil // nothing happened, nothing to tell
		}
		return t.record("Installation.Resealed", "", done)
	})
	if err != nil {
		return Resealed{}, err
	}
	return done, nil
}

// resealKey also takes the revocation that was made together with the key.
func (s *Service) resealKey(ctx context.Context, t *transaction, key *model.Key, done *Resealed) error {
	if err := s.resealSetting(t, revocationSetting(key.ID), &done.Settings); err != nil {
		return err
	}
	// The transaction has the configuration's version that this is read at.
	sealed, err := s.Store.SealedKey(ctx, key.ID)
	if errors.Is(err, store.ErrNotFound) {
		return nil // deleted
	}
	if err != nil {
		return fmt.Errorf("reading the key %s: %w", key.ID, err)
	}
	out, anew, err := s.Resealer.ResealKey(*key, sealed)
	if err != nil {
		return fmt.Errorf("opening the key %s: %w", key.ID, err)
	}
	if !done.Keys.count(anew) {
		return nil
	}
	return t.PutKey(*key, out)
}

func (s *Service) resealSetting(t *transaction, name string, done *Resealing) error {
	sealed, err := t.Setting(name)
	if err != nil {
		return fmt.Errorf("reading the setting %s: %w", name, err)
	}
	if sealed == nil {
		return nil
	}
	out, anew, err := s.Resealer.Reseal(name, sealed)
	if err != nil {
		return fmt.Errorf("opening the setting %s: %w", name, err)
	}
	if !done.count(anew) {
		return nil
	}
	return t.PutSetting(name, out)
}

// resealWebhooks covers those of projects, too.
func (s *Service) resealWebhooks(t *transaction, organizationID string, done *Resealing) error {
	list, err := t.Tx.Webhooks(organizationID, "")
	if err != nil {
		return fmt.Errorf("reading the webhooks: %w", err)
	}
	for _, w := range list {
		if len(w.SealedAuthorization) == 0 {
			continue
		}
		out, anew, err := s.Resealer.Reseal(webhooks.Purpose(w.ID), w.SealedAuthorization)
		if err != nil {
			return fmt.Errorf("opening the authorization of webhook %s: %w", w.ID, err)
		}
		if !done.count(anew) {
			continue
		}
		w.SealedAuthorization = out
		if err := t.PutWebhook(w); err != nil {
			return err
		}
	}
	return nil
}
