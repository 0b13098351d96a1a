package signing

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"signpath/internal/service/keys"
	"signpath/internal/service/model"
	"signpath/internal/wire"
)

// awayRing is a ring whose one token is away.
type awayRing struct {
	KeyRing
	operator bool
}

func (r awayRing) Signer(context.Context, model.Key) (keys.Signer, error) {
	return nil, &keys.UnavailableError{Store: "hsm:main", Reason: "the token was pulled", RetryAfter: 7 * time.Second, Operator: r.operator}
}

// A token that is away is a 503 that says when to come back; what happened is
// for the audit log only.
func TestKeyStoreAway(t *testing.T) {
	for operator, says := range map[bool]string{false: "Try again.", true: "until the operator of the service has repaired it"} {
		w := newWorld(t, false)
		w.service.Keys = awayRing{w.ring, operator}
		var p *wire.Problem
		if _, err := w.service.Sign(t.Context(), w.request("p256")); !errors.As(err, &p) || !strings.Contains(p.Detail, says) {
			t.Errorf("%v, without %q", err, says)
		}
	}
	w := newWorld(t, false)
	w.service.Keys = awayRing{KeyRing: w.ring}
	_, err := w.service.Sign(t.Context(), w.request("p256"))
	var p *wire.Problem
	if !errors.As(err, &p) || p.Status != http.StatusServiceUnavailable || p.RetryAfter != 7*time.Second || strings.Contains(p.Detail, "pulled") {
		t.Errorf("%v, %+v", err, p)
	}
	list := w.entries()
	if len(list) != 2 || list[0].Event.Type != EntryIntent || list[1].Event.Type != EntryFailed {
		t.Fatalf("%d entries", len(list))
	}
	var d struct{ Error string }
	if err := json.Unmarshal(list[1].Event.Data, &d); err != nil || !strings.Contains(d.Error, "the token was pulled") {
		t.Errorf("%+v %v", d, err)
	}
}

// Who counts is told of each signature and of each refusal.
func TestObserve(t *testing.T) {
	w := newWorld(t, false)
	var seen []Observation
	w.service.Observe = func(o Observation) { seen = append(seen, o) }
	if _, err := w.service.Sign(t.Context(), w.request("p256")); err != nil {
		t.Fatal(err)
	}
	foreign := w.request("p256")
	foreign.SigningPolicySlug = "nobody"
	if _, err := w.service.Sign(t.Context(), foreign); err == nil {
		t.Fatal("signed")
	}
	w.service.Keys = awayRing{KeyRing: w.ring}
	if _, err := w.service.Sign(t.Context(), w.request("rsa2048")); err == nil {
		t.Fatal("signed")
	}
	if len(seen) != 3 || seen[0].Refused != 0 || seen[0].Failed || seen[0].KeyBits != 256 || seen[0].Intent <= 0 || seen[0].KeyUse <= 0 || seen[0].KeyStore == "" ||
		seen[1].Refused != 2 || seen[2].Refused != 0 || !seen[2].Failed {
		t.Errorf("%+v", seen)
	}
}
