package ctk

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"signpath/internal/provider/keyring"
	"signpath/internal/provider/remote"
	"signpath/internal/testkit/testkeys"
	"signpath/internal/testkit/testlog"
	"signpath/internal/wire"
)

// TestTable: numbers and names are those of the extension, and no number is used twice.
func TestTable(t *testing.T) {
	header, err := os.ReadFile("../../../cmd/ctk/extension/algorithms.h")
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	seen := map[byte]bool{}
	for _, a := range algorithms {
		fmt.Fprintf(&want, "SP_ALGORITHM(%d, %s)\n", a.id, a.name)
		if a.id == 0 || seen[a.id] {
			t.Errorf("number %d", a.id)
		}
		seen[a.id] = true
	}
	_, got, _ := strings.Cut(string(header), "\n")
	if got != want.String() {
		t.Errorf("algorithms.h has\n%s\nwant\n%s", got, want.String())
	}
}

func TestAlgorithmsOf(t *testing.T) {
	s := newService(t)
	s.add(t, "rsa2048")
	s.add(t, "p256")
	keys := s.snapshot(t)
	for name, want := range map[string][]byte{"app/rsa2048": {1, 2, 3, 4, 5, 6, 7, 8}, "app/p256": {9, 10, 11, 12, 13, 14}} {
		if got := algorithmsOf(keys.ByName(name)); !bytes.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

func signer(t *testing.T, s *service) (*Agent, *testlog.Log) {
	t.Helper()
	log := &testlog.Log{}
	a := &Agent{Log: log, Keychain: newMacOS(), Gate: &gate{}}
	a.Init()
	a.set(tokensOf(s.snapshot(t), time.Now(), log))
	return a, log
}

// TestSign: each algorithm, verified with the public key.
func TestSign(t *testing.T) {
	s := newService(t)
	s.add(t, "rsa2048")
	s.add(t, "p521")
	a, log := signer(t, s)
	for _, alg := range algorithms {
		key := "rsa2048"
		if alg.scheme.Algorithm == wire.ECDSA {
			key = "p521"
		}
		lengths := []int{alg.scheme.Hash.Size()}
		switch alg.id {
		case 9:
			lengths = []int{20, 28, 32, 48, 64}
		case idSHA224:
			lengths = []int{28}
		}
		for _, n := range lengths {
			digest := bytes.Repeat([]byte{alg.id}, n)
			signature, refusal := a.Sign(t.Context(), "id-"+key, alg.id, digest)
			if refusal != nil {
				t.Fatalf("%s, %d bytes: %v", alg.name, n, refusal)
			}
			switch pub := testkeys.Signer(t, key).Public().(type) {
			case *ecdsa.PublicKey:
				if !ecdsa.VerifyASN1(pub, digest, signature) {
					t.Errorf("%s, %d bytes: no good DER signature", alg.name, n)
				}
			case *rsa.PublicKey:
				var err error
				hash := map[int]crypto.Hash{20: crypto.SHA1, 32: crypto.SHA256, 48: crypto.SHA384, 64: crypto.SHA512}[n]
				if alg.scheme.Algorithm == wire.RSAPSS {
					err = rsa.VerifyPSS(pub, hash, digest, signature, &rsa.PSSOptions{SaltLength: n})
				} else {
					err = rsa.VerifyPKCS1v15(pub, hash, digest, signature)
				}
				if err != nil {
					t.Errorf("%s: %v", alg.name, err)
				}
			}
		}
	}
	if !strings.Contains(log.Text(), "signed") {
		t.Error(log.Text())
	}
}

// TestRefusals: the code for the tool, the cause for the log.
func TestRefusals(t *testing.T) {
	s := newService(t)
	s.add(t, "p256")
	a, log := signer(t, s)
	for _, c := range []struct {
		instance string
		id       byte
		length   int
		code     tkError
		says     string
	}{
		{"none", 9, 32, tkTokenNotFound, "no token none"},
		{"id-p256", 99, 32, tkBadParameter, "algorithm 99 is unknown"},
		{"id-p256", 0, 32, tkBadParameter, "algorithm 0 is unknown"},
		{"id-p256", 2, 32, tkBadParameter, "cannot sign with this algorithm"},
		{"id-p256", 9, 31, tkBadParameter, "wrong length"},
		{"id-p256", 9, 0, tkBadParameter, "wrong length"},
		{"id-p256", 11, 20, tkBadParameter, "wrong length"},
		{"id-p256", idSHA224, 32, tkBadParameter, "a SHA-224 digest has 28"},
	} {
		log.Reset()
		_, refusal := a.Sign(t.Context(), c.instance, c.id, make([]byte, c.length))
		if refusal == nil || tkError(refusal.Code) != c.code || !strings.Contains(refusal.Message, c.says) || !strings.Contains(log.Text(), c.says) {
			t.Errorf("%+v: %v\n%s", c, refusal, log.Text())
		}
	}
	for i, c := range []struct {
		status int
		code   tkError
	}{{400, tkBadParameter}, {401, tkAuthenticationFailed}, {403, tkAuthenticationFailed}, {404, tkObjectNotFound}, {409, tkBadParameter}, {500, tkCommunicationError}, {503, tkCommunicationError}, {302, tkCommunicationError}} {
		s.mu.Lock()
		s.status = c.status
		s.mu.Unlock()
		_, refusal := a.Sign(t.Context(), "id-p256", 9, bytes.Repeat([]byte{byte(i)}, 32))
		if refusal == nil || tkError(refusal.Code) != c.code {
			t.Errorf("%d: %v, want code %d", c.status, refusal, c.code)
		}
	}
}

func TestCodes(t *testing.T) {
	for _, c := range []struct {
		err  error
		code tkError
	}{
		{&remote.Error{Class: remote.Transient}, tkCommunicationError},
		{&remote.Error{Class: remote.Service}, tkCommunicationError},
		{&remote.Error{Class: remote.Other}, tkCommunicationError},
		{&remote.Error{Class: remote.Canceled}, tkCanceledByUser},
		{fmt.Errorf("x: %w", keyring.ErrKeyTooShort), tkBadParameter},
		{context.Canceled, tkCanceledByUser},
		{errors.New("x"), tkCommunicationError},
	} {
		if got := codeOf(c.err); got != c.code {
			t.Errorf("%v: %d, want %d", c.err, got, c.code)
		}
	}
}

// TestTokens: what of a list becomes a token.
func TestTokens(t *testing.T) {
	s := newService(t)
	s.add(t, "p256")
	s.add(t, "rsa2048", func(p *wire.SigningPolicy) { p.SigningPolicyID = "a/b c" }) // no part of a name
	s.add(t, "rsa3072", func(p *wire.SigningPolicy) { p.CertificateBytes, p.CertificateChain = nil, nil })
	s.add(t, "ed25519")
	s.add(t, "p521", func(p *wire.SigningPolicy) { p.SigningPolicyID = "id-p256" }) // taken
	log := &testlog.Log{}
	tokens := tokensOf(s.snapshot(t), notAfter.Add(time.Hour), log)
	var got []string
	for _, k := range tokens {
		got = append(got, k.Object+" "+k.Label)
		if len(k.Instance) == 0 || strings.ContainsAny(k.Instance, "/ :") || len(k.Issuers) != 1 {
			t.Errorf("%s: instance %q, %d issuers", k.Object, k.Instance, len(k.Issuers))
		}
	}
	if want := "app/p256 Leaf p256,app/p521 Leaf p521,app/rsa2048 Leaf rsa2048"; strings.Join(got, ",") != want {
		t.Errorf("%v, want %s", got, want)
	}
	if tokens[0].Instance != "id-p256" || tokens[1].Instance == "id-p256" {
		t.Errorf("instances %s and %s", tokens[0].Instance, tokens[1].Instance)
	}
	for _, says := range []string{"has expired", "app/rsa3072", "app/ed25519"} {
		if !strings.Contains(log.Text(), says) {
			t.Errorf("no %q in %s", says, log.Text())
		}
	}
	// Two policies with one certificate: codesign cannot choose.
	s.mu.Lock()
	twin := s.policies[0]
	twin.SigningPolicySlug, twin.SigningPolicyID = "twin", "id-twin"
	s.policies = append(s.policies, twin)
	s.mu.Unlock()
	log.Reset()
	tokensOf(s.snapshot(t), time.Now(), log)
	if !strings.Contains(log.Text(), "ambiguous") {
		t.Error(log.Text())
	}
}
