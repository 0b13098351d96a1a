package audit

import (
	"context"
	"log/slog"
	"path/filepath"
	"reflect"
	"testing"

	"signpath/internal/service/store"
	"signpath/internal/service/store/sqlite"
)

// Intent and outcome are found by the same digest, policy and key, whoever
// writes the outcome: the caller, or the next start after a crash.
func TestSubjects(t *testing.T) {
	st, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "data"))
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	quiet := Options{Logger: slog.New(slog.DiscardHandler)}
	log, err := Open(t.Context(), st, quiet)
	if err != nil {
		t.Fatal(err)
	}
	about := Subject{PolicyID: "p", KeyID: "k", Digest: []byte{1, 2, 3}}
	version, err := st.ConfigVersion(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		at, err := log.Intent(t.Context(), version, Event{Type: "X.Intent", Actor: Actor{ID: "u"}, Subject: about})
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			if err := log.OutcomeWait(t.Context(), Event{Type: "X.Completed", Actor: Actor{ID: "u2"}, Outcome: at.Seq}); err != nil {
				t.Fatal(err)
			}
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_ = log.Close(gone) // as a crash leaves it: the second intent has no outcome
	log, err = Open(t.Context(), st, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close(t.Context())
	for _, f := range []store.AuditSubject{{Digest: about.Digest}, {PolicyID: "p"}, {KeyID: "k"}} {
		rows, err := st.AuditRows(t.Context(), 0, 10, store.AuditFilter{Subject: f})
		if err != nil {
			t.Fatal(err)
		}
		var types, actors []string
		for _, r := range rows {
			types, actors = append(types, r.Type), append(actors, r.Subject.ActorID)
		}
		if !reflect.DeepEqual(types, []string{"X.Intent", "X.Completed", "X.Intent", "X.OutcomeUnknown"}) || !reflect.DeepEqual(actors, []string{"u", "u2", "u", ""}) {
			t.Errorf("%+v: %v %v", f, types, actors)
		}
	}
}
