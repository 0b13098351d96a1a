package signing

import (
	"testing"

	"github.com/google/uuid"

	"signpath/internal/service/model"
	"signpath/internal/service/store"
)

// A group stands wherever a user stands; whoever leaves it signs no more.
func TestSubmitterThroughGroup(t *testing.T) {
	w := newWorld(t, false)
	group := model.UserGroup{ID: uuid.NewString(), OrganizationID: w.org.ID, Name: "builders", Members: []string{w.user.ID}, Created: w.now}
	w.change(func(tx store.Tx) { w.must(tx.PutUserGroup(group)) })
	w.editPolicy("p256", func(p *model.SigningPolicy) { p.Submitters = []string{group.ID} })
	for slug := range w.policies {
		if slug != "p256" {
			w.editPolicy(slug, func(p *model.SigningPolicy) { p.Submitters = nil })
		}
	}
	try := func(want bool) {
		t.Helper()
		_, err := w.service.Sign(t.Context(), w.request("p256"))
		if (err == nil) != want {
			t.Errorf("signing: %v, want %v", err, want)
		}
		principal, err := w.service.Authenticate(w.org.ID, "Bearer "+w.token, "")
		if err != nil {
			t.Fatal(err)
		}
		if list := w.service.MySigningPolicies(principal, "", ""); (len(list) == 1) != want {
			t.Errorf("listed: %v, want %v", list, want)
		}
	}
	try(true)
	group.Members = nil
	w.change(func(tx store.Tx) { w.must(tx.PutUserGroup(group)) })
	try(false)
	group.Members = []string{w.user.ID}
	w.change(func(tx store.Tx) { w.must(tx.PutUserGroup(group)) })
	try(true)
	w.change(func(tx store.Tx) {
		w.must(tx.PutUserGroup(model.UserGroup{ID: uuid.NewString(), OrganizationID: w.org.ID, Name: "x"}), tx.DeleteUserGroup(w.org.ID, group.ID))
	})
	try(false)
}
