package pki

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"signpath/internal/service/keys/keystest"
)

// gpg that has the old key takes the new end from the renewed one, whether it
// is later, earlier or none.
func TestRenewOpenPGPWithGnuPG(t *testing.T) {
	signer := keystest.Signer(t, "rsa2048")
	now := time.Now()
	old, fingerprint, err := NewOpenPGP(t.Context(), signer, demoID, created, now.Add(48*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	g := newGnuPG(t)
	public := old
	for i, end := range []time.Time{{}, now.Add(10000 * time.Hour), now.Add(24 * time.Hour), {}} {
		if i > 0 { // also several times in one second
			before, err := ReadOpenPGP(public)
			if err != nil {
				t.Fatal(err)
			}
			if public, err = RenewOpenPGP(t.Context(), signer, public, now, end); err != nil {
				t.Fatal(err)
			}
			// Of two self-signatures of the same second, nobody knows which one counts.
			if after, err := ReadOpenPGP(public); err != nil || !after.Signed.After(before.Signed) {
				t.Fatalf("signed %v after %v, %v", after.Signed, before.Signed, err)
			}
			if info, err := ReadOpenPGP(public); err != nil || info.Fingerprint != fingerprint || !info.Created.Equal(created.Truncate(time.Second)) {
				t.Fatalf("%+v, %v", info, err)
			}
		} else {
			end = now.Add(48 * time.Hour)
		}
		if out, err := g.run(public, "--import"); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		out, err := g.run(nil, "--list-keys", "--with-colons", "--fingerprint")
		want := ""
		if !end.IsZero() {
			want = strconv.FormatInt(end.Unix(), 10)
		}
		if got := colons(out, "pub")[6]; err != nil || got != want || colons(out, "fpr")[9] != fingerprint || strings.Count(out, "\nuid:") != 1 {
			t.Errorf("renewal %d: end %q, want %q\n%s", i, got, want, out)
		}
	}
}

func TestRenewOpenPGPRefusals(t *testing.T) {
	ctx := context.Background()
	signer := keystest.Signer(t, "rsa2048")
	public, _, err := NewOpenPGP(ctx, signer, demoID, created, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	if _, err := RenewOpenPGP(ctx, keystest.Signer(t, "rsa3072"), public, now, time.Time{}); err == nil || !strings.Contains(err.Error(), "does not belong") {
		t.Errorf("another key: %v", err)
	}
	for _, end := range []time.Time{now.Add(-time.Second), now.Truncate(time.Second), maxOpenPGPTime.Add(time.Second)} {
		if _, err := RenewOpenPGP(ctx, signer, public, now, end); !errors.Is(err, ErrOpenPGPExpiry) {
			t.Errorf("%v: %v", end, err)
		}
	}
	if _, err := RenewOpenPGP(ctx, signer, public[:len(public)-1], now, time.Time{}); err == nil {
		t.Error("a broken key was renewed")
	}
}
