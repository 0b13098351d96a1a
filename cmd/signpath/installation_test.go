package main

import (
	"errors"
	"strings"
	"testing"

	"signpath/internal/secret"
	"signpath/internal/service/audit"
	"signpath/internal/service/keys"
	"signpath/internal/service/store/sqlite"
)

// Two replicas that set up the same database at one moment: the first one's
// keys stay, and the other one does not go on with its own.
func TestSecondReplicaKeepsWhatTheFirstMade(t *testing.T) {
	st, err := sqlite.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	first, err := keys.LoadKEK(keys.KEKSource{Value: secret.New(strings.Repeat("0123456789abcdef", 4))})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newAuditSigner(t.Context(), st, first, audit.Options{}); err != nil {
		t.Fatal(err)
	}
	before, err := st.Setting(t.Context(), auditVerifierSetting)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newAuditSigner(t.Context(), st, first, audit.Options{}); !errors.Is(err, errAnotherStarts) {
		t.Errorf("the second: %v", err)
	}
	if after, err := st.Setting(t.Context(), auditVerifierSetting); err != nil || string(after) != string(before) {
		t.Errorf("verifier key %s became %s, %v", before, after, err)
	}
}
