package httpapi

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"signpath/internal/secret"
	"signpath/internal/service/audit"
	"signpath/internal/service/auth"
	"signpath/internal/service/model"
	"signpath/internal/service/store"
)

// addUser makes a user of the bench's organization, with a token.
func (b *bench) addUser(t *testing.T, name string, kind model.UserKind, roles ...model.Role) (model.User, secret.Secret) {
	t.Helper()
	now := time.Now().UTC().Truncate(time.Millisecond)
	u := model.User{ID: uuid.NewString(), OrganizationID: b.org, Kind: kind, Name: name, Roles: roles, Active: true, Created: now}
	if kind == model.InteractiveUser {
		u.Email = strings.ReplaceAll(name, " ", ".") + "@example.test"
	}
	text, hash := auth.NewToken()
	b.change(t, func(tx store.Tx) error {
		must(t, tx.PutUser(u))
		return tx.PutToken(model.Token{ID: uuid.NewString(), OrganizationID: b.org, UserID: u.ID, Name: "default", Hash: hash, Active: true, Created: now})
	})
	return u, text
}

// ask sends a JSON request with a token.
func (b *bench) ask(t *testing.T, token secret.Secret, method, path, body string) *httptest.ResponseRecorder {
	t.Helper()
	headers := []string{"Authorization: Bearer " + token.Reveal()}
	if body != "" {
		headers = append(headers, "Content-Type: application/json")
	}
	return b.do(t, method, path, strings.NewReader(body), headers...)
}

func decoded[T any](t *testing.T, w *httptest.ResponseRecorder, status int) T {
	t.Helper()
	var v T
	if w.Code != status {
		t.Fatalf("%d, want %d: %s", w.Code, status, w.Body)
	}
	if w.Body.Len() > 0 {
		must(t, json.Unmarshal(w.Body.Bytes(), &v))
	}
	return v
}

// tryAdministration calls every documented operation on organization, projects,
// users and groups.
func tryAdministration(t *testing.T, b *bench, c *contract) {
	t.Helper()
	_, ga := b.addUser(t, "administrator", model.CIUser, model.GlobalAdministrator)
	person, own := b.addUser(t, "Alex Doe", model.InteractiveUser)
	try := func(token secret.Secret, method, path, body string, status int) map[string]any {
		t.Helper()
		headers := []string{"Authorization: Bearer " + token.Reveal()}
		if body != "" {
			headers = append(headers, "Content-Type: application/json")
		}
		w := c.check(t, b, b.request(t, method, path, strings.NewReader(body), headers...), status)
		var m map[string]any
		if w.Body.Len() > 0 {
			must(t, json.Unmarshal(w.Body.Bytes(), &m))
		}
		return m
	}
	id := func(m map[string]any) string { return m["id"].(string) }

	try(own, "GET", "Organization", "", 200)
	try(ga, "POST", "Organization/Edit", `{"name":"Renamed"}`, 200)
	try(ga, "POST", "Organization/Edit", `{"name":""}`, 400)
	try(own, "POST", "Organization/Edit", `{"name":"x"}`, 403)

	try(ga, "POST", "Projects", `{"slug":"app","name":"App","description":"d","repositoryUrl":"https://example.test/a.git","readers":["`+person.ID+`"]}`, 201)
	try(ga, "POST", "Projects", `{"slug":"app"}`, 400)
	try(own, "GET", "Projects", "", 200)
	try(own, "GET", "Projects/app", "", 200)
	try(own, "GET", "Projects/nope", "", 403)
	try(ga, "POST", "Projects/app/Edit", `{"configurators":["Alex Doe"],"isActive":true}`, 200)
	try(ga, "POST", "Projects/app/Edit", `{"readers":["nobody"]}`, 400)
	try(own, "POST", "Projects/app/ArtifactConfigurations", `{"slug":"second"}`, 201)
	try(own, "GET", "Projects/app/ArtifactConfigurations", "", 200)
	try(own, "GET", "Projects/app/ArtifactConfigurations/second", "", 200)
	try(own, "POST", "Projects/app/ArtifactConfigurations/second/Edit", `{"name":"Second"}`, 200)
	try(own, "POST", "Projects/app/SetDefaultArtifactConfiguration", `{"artifactConfigurationSlug":"second"}`, 200)
	try(own, "POST", "Projects/app/SetDefaultArtifactConfiguration", `{"artifactConfigurationSlug":"nope"}`, 400)
	try(ga, "POST", "Projects/app/SigningPolicies", `{"slug":"release","certificateSlug":"p256","submitters":["`+person.ID+`"],"hashAlgorithms":["Sha256"]}`, 201)
	try(ga, "POST", "Projects/app/SigningPolicies", `{"slug":"other","certificateSlug":"nope"}`, 400)
	try(own, "GET", "Projects/app/SigningPolicies", "", 200)
	try(ga, "POST", "Projects/app/SigningPolicies/release/Edit", `{"approvers":["Alex Doe"],"isActive":false}`, 200)
	try(ga, "POST", "Projects/app/SigningPolicies/nope/Edit", `{"isActive":false}`, 403)

	for _, kind := range []struct{ path, email string }{{"CIUsers", ""}, {"InteractiveUsers", `,"email":"new@example.test"`}} {
		u := id(try(ga, "POST", kind.path, `{"name":"new `+kind.path+`","roles":["GlobalReader"]`+kind.email+`}`, 201))
		try(own, "GET", kind.path, "", 200)
		try(own, "GET", kind.path+"/"+u, "", 200)
		try(own, "GET", kind.path+"/"+uuid.NewString(), "", 403)
		try(ga, "POST", kind.path+"/"+u+"/Edit", `{"isActive":true,"roles":[]}`, 200)
		try(ga, "POST", kind.path+"/"+u+"/Edit", `{"roles":["Emperor"]}`, 400)
	}
	ci := "CIUsers/" + b.other.ID
	for user, token := range map[string]secret.Secret{ci: ga, "InteractiveUsers/Me": own} {
		k := try(token, "POST", user+"/ApiTokens", `{"name":"spare","addresses":["192.0.2.1","2001:db8::/32"],"expires":"2100-01-01T00:00:00Z"}`, 201)
		try(token, "POST", user+"/ApiTokens", `{"name":"spare"}`, 400)
		try(token, "GET", user+"/ApiTokens", "", 200)
		try(token, "POST", user+"/ApiTokens/"+id(k)+"/Edit", `{"addresses":[]}`, 200)
		k = try(token, "POST", user+"/RegenerateApiToken", `{"name":"spare"}`, 200)
		try(token, "POST", user+"/ApiTokens/"+id(k)+"/Revoke", "", 200)
		try(token, "POST", user+"/ApiTokens/"+uuid.NewString()+"/Revoke", "", 403)
	}

	g := "UserGroups/" + id(try(ga, "POST", "UserGroups", `{"name":"team","members":["Alex Doe"]}`, 201))
	try(ga, "POST", "UserGroups", `{"name":"TEAM"}`, 400)
	try(own, "GET", "UserGroups", "", 200)
	try(own, "GET", g, "", 200)
	try(ga, "POST", g+"/Edit", `{"name":"crew"}`, 200)
	try(ga, "POST", g+"/ChangeMembers", `{"members":["submitter"]}`, 200)
	try(ga, "POST", g+"/ModifyMembers", `{"add":["`+person.ID+`"],"remove":["submitter"]}`, 200)
	try(ga, "POST", g+"/ModifyMembers", `{"add":["nobody"]}`, 400)
	try(ga, "POST", "Projects/app/Edit", `{"readers":["group:crew"]}`, 200)
	try(ga, "DELETE", g, "", 409)
	try(ga, "POST", "Projects/app/Edit", `{"readers":[]}`, 200)
	try(ga, "DELETE", g, "", 204)
	try(ga, "DELETE", g, "", 403)
}

// Where things are, what is 403 and what is 400, and under which name.
func TestAdministrationAnswers(t *testing.T) {
	b := newBench(t)
	_, ga := b.addUser(t, "administrator", model.CIUser, model.GlobalAdministrator)
	for _, c := range []struct {
		method, path, body string
		status             int
		field              string // of a 400
		text               string
	}{
		{"GET", "Projects/nowhere", "", 403, "", "no project 'nowhere'"},
		{"GET", "UserGroups/" + b.org, "", 403, "", "no user group"},
		{"GET", "UserGroups/x", "", 403, "", "no user group with the id 'x'"},
		{"GET", "CIUsers/x", "", 403, "", "no user with the id 'x'"},
		{"GET", "InteractiveUsers/" + b.other.ID, "", 403, "", "Ask CIUsers"},
		{"GET", "InteractiveUsers/Me", "", 403, "", "Ask CIUsers"},
		{"POST", "Projects/hash-signing/ArtifactConfigurations/nowhere/Edit", `{}`, 403, "", "no artifact configuration 'nowhere'"},
		{"POST", "Projects", `{}`, 400, "Slug", "missing"},
		{"POST", "Projects", `{"slug":"a","readers":["nobody"]}`, 400, "Readers", `no user or group "nobody"`},
		{"POST", "Projects", `{"slug":"a","slug":"b"}`, 400, "", "twice"},
		{"POST", "Projects", `[]`, 400, "", "must not be"},
		{"POST", "Projects/hash-signing/SigningPolicies", `{"slug":"a","certificateSlug":"nowhere","submitters":["x"],"hashAlgorithms":["Crc32"]}`, 400, "CertificateSlug", "nowhere"},
		{"POST", "Projects/hash-signing/SigningPolicies", `{"slug":"a","certificateSlug":"nowhere","submitters":["x"],"hashAlgorithms":["Crc32"]}`, 400, "HashAlgorithms", "Crc32"},
		{"POST", "Projects/hash-signing/SigningPolicies", `{"slug":"a","certificateSlug":"nowhere","submitters":["x"],"hashAlgorithms":["Crc32"]}`, 400, "Submitters", `"x"`},
		{"POST", "Projects/hash-signing/SigningPolicies", `{"slug":"a","certificateSlug":"p256","hashAlgorithms":[]}`, 400, "HashAlgorithms", "At least one"},
		{"POST", "Projects/hash-signing/SetDefaultArtifactConfiguration", `{}`, 400, "ArtifactConfigurationSlug", "missing"},
		{"POST", "Projects/hash-signing/ArtifactConfigurations/initial/Edit", `{"isActive":false}`, 400, "IsActive", "default"},
		{"POST", "CIUsers", `{"name":"a","roles":["Emperor"],"email":"a@b.c"}`, 400, "Roles", "Emperor"},
		{"POST", "CIUsers", `{"name":"a","roles":["Emperor"],"email":"a@b.c"}`, 400, "Email", "no e-mail"},
		{"POST", "UserGroups", `{"name":"g","members":["nobody"]}`, 400, "Members", "nobody"},
		{"POST", "CIUsers/Me/ApiTokens", `{"expires":"2001-01-01T00:00:00Z"}`, 400, "Expires", "past"},
		{"POST", "CIUsers/Me/ApiTokens", `{"name":"x","addresses":["10.0.0.1/8"]}`, 400, "Addresses", "10.0.0.0/8"},
	} {
		w := b.ask(t, ga, c.method, c.path, c.body)
		if w.Code != c.status {
			t.Errorf("%s %s %s: %d %s", c.method, c.path, c.body, w.Code, w.Body)
			continue
		}
		p := problemIn(t, w)
		if c.status == 400 && (len(p.Errors[c.field]) != 1 || !strings.Contains(p.Errors[c.field][0], c.text)) || c.status == 403 && !strings.Contains(p.Detail, c.text) {
			t.Errorf("%s %s %s: %s", c.method, c.path, c.body, w.Body)
		}
	}
	for _, c := range []struct {
		contentType string
		status      int
	}{{"multipart/form-data; boundary=x", 415}, {"", 415}, {"application/json", 201}} {
		if w := b.do(t, "POST", "Projects", strings.NewReader(`{"Slug":"a"}`), "Authorization: Bearer "+ga.Reveal(), "Content-Type: "+c.contentType); w.Code != c.status {
			t.Errorf("%q: %d %s", c.contentType, w.Code, w.Body)
		} else if w.Code == 201 && w.Header().Get("Location") != "https://sign.example.test/Api/v1/"+b.org+"/Projects/a" {
			t.Errorf("Location %q", w.Header().Get("Location"))
		}
	}
}

// From a user and a token made through the API to a signature with it, and the
// ways in which the right to it ends.
func TestProvisioning(t *testing.T) {
	b := newBench(t)
	admin, ga := b.addUser(t, "administrator", model.CIUser, model.GlobalAdministrator)
	type made struct {
		ID, APIToken string
		LastUsed     *time.Time
		Items        []struct {
			Name     string
			LastUsed *time.Time
		}
	}
	user := decoded[made](t, b.ask(t, ga, "POST", "CIUsers", `{"name":"runner"}`), 201)
	token := secret.New(decoded[made](t, b.ask(t, ga, "POST", "CIUsers/"+user.ID+"/RegenerateApiToken", ""), 200).APIToken)
	sign := func(want int) {
		t.Helper()
		w := b.ask(t, token, "POST", "SigningRequests/SignHash", signHashBody("rsa2048"))
		if w.Code != want {
			t.Errorf("%d, want %d: %s", w.Code, want, w.Body)
		}
	}
	sign(403)
	group := decoded[made](t, b.ask(t, ga, "POST", "UserGroups", `{"name":"runners","members":["`+user.ID+`"]}`), 201)
	decoded[made](t, b.ask(t, ga, "POST", "Projects/hash-signing/SigningPolicies/rsa2048/Edit", `{"submitters":["`+group.ID+`"]}`), 200)
	sign(200)
	decoded[made](t, b.ask(t, ga, "POST", "UserGroups/"+group.ID+"/ModifyMembers", `{"remove":["runner"]}`), 200)
	sign(403)
	decoded[made](t, b.ask(t, ga, "POST", "UserGroups/"+group.ID+"/ChangeMembers", `{"members":["runner"]}`), 200)
	sign(200)

	// The last use is seen, though nothing is written for it.
	list := decoded[made](t, b.ask(t, ga, "GET", "CIUsers/"+user.ID+"/ApiTokens", ""), 200)
	if len(list.Items) != 1 || list.Items[0].LastUsed == nil || time.Since(*list.Items[0].LastUsed) > time.Minute {
		t.Errorf("%+v", list)
	}

	// A second token that is limited to addresses; httptest calls from 192.0.2.1.
	for addresses, want := range map[string]int{`"198.51.100.0/24"`: 403, `"192.0.2.0/24"`: 200} {
		decoded[made](t, b.ask(t, ga, "POST", "CIUsers/"+user.ID+"/ApiTokens", `{"name":"limited","addresses":[`+addresses+`]}`), 201)
		k := decoded[made](t, b.ask(t, ga, "POST", "CIUsers/"+user.ID+"/RegenerateApiToken", `{"name":"limited"}`), 200)
		old := token
		token = secret.New(k.APIToken)
		sign(want)
		if w := b.ask(t, token, "GET", "Organization", ""); w.Code != want || want == 403 && !strings.Contains(problemIn(t, w).Detail, "192.0.2.1") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		token = old
		decoded[made](t, b.ask(t, ga, "POST", "CIUsers/"+user.ID+"/ApiTokens/"+k.ID+"/Revoke", ""), 200)
	}
	sign(200)
	// Regenerating without a name ends everything that was given out before.
	old := token
	token = secret.New(decoded[made](t, b.ask(t, ga, "POST", "CIUsers/"+user.ID+"/RegenerateApiToken", `{}`), 200).APIToken)
	sign(200)
	token = old
	sign(401)

	// Who did it is on record, and no token is.
	actors := map[string]int{}
	for leaf, err := range audit.Leaves(t.Context(), b.admin.Store) {
		must(t, err)
		if strings.Contains(string(leaf), old.Reveal()) {
			t.Error("a token is in the audit log")
		}
		e, err := audit.ParseLeaf(leaf)
		must(t, err)
		if e.Event.Actor.ID == admin.ID {
			actors[e.Event.Type]++
			if e.Event.IP != "192.0.2.1" || e.Event.Actor.Type != "CiUser" || e.Event.TraceID == "" {
				t.Errorf("%s: %+v %s", e.Event.Type, e.Event.Actor, e.Event.IP)
			}
		}
	}
	for _, want := range []string{"User.Created", "UserGroup.Created", "UserGroup.MembersChanged", "SigningPolicy.Changed", "ApiToken.Created", "ApiToken.Revoked"} {
		if actors[want] == 0 {
			t.Errorf("%s is not on record: %v", want, actors)
		}
	}
}

// A user administrator who raises their own rights can, and is seen.
func TestOwnRights(t *testing.T) {
	b := newBench(t)
	u, token := b.addUser(t, "user administrator", model.CIUser, model.UserAdministrator)
	if w := b.ask(t, token, "POST", "Projects", `{"slug":"a"}`); w.Code != 403 {
		t.Errorf("%d", w.Code)
	}
	decoded[any](t, b.ask(t, token, "POST", "CIUsers/Me/Edit", `{"roles":["UserAdministrator","ProjectAdministrator"]}`), 200)
	decoded[any](t, b.ask(t, token, "POST", "Projects", `{"slug":"a"}`), 201)
	found := false
	for leaf, err := range audit.Leaves(t.Context(), b.admin.Store) {
		must(t, err)
		e, err := audit.ParseLeaf(leaf)
		must(t, err)
		found = found || e.Event.Type == "User.RolesChanged" && e.Event.Actor.ID == u.ID && strings.Contains(string(e.Event.Data), `"ownRights":true`)
	}
	if !found {
		t.Error("not on record")
	}
	// Submitting is nobody's by role.
	if w := b.ask(t, token, "POST", "SigningRequests/SignHash", signHashBody("rsa2048")); w.Code != http.StatusForbidden {
		t.Errorf("%d", w.Code)
	}
}

// A right that went away between the request's look at the configuration and
// its change is gone: another replica took it.
func TestRightsAreCheckedWithTheChange(t *testing.T) {
	b := newBench(t)
	u, token := b.addUser(t, "administrator", model.CIUser, model.GlobalAdministrator)
	for what, take := range map[string]func(tx store.Tx) error{
		"role": func(tx store.Tx) error { u := u; u.Roles = nil; return tx.PutUser(u) },
		"user": func(tx store.Tx) error { u := u; u.Active = false; return tx.PutUser(u) },
	} {
		b.change(t, func(tx store.Tx) error { return tx.PutUser(u) })
		service := b.service
		b.service = nil // change refreshes nothing
		b.change(t, take)
		b.service = service
		w := b.ask(t, token, "POST", "Projects", `{"slug":"x`+what+`"}`)
		if w.Code != 403 && w.Code != 401 {
			t.Errorf("%s: %d %s", what, w.Code, w.Body)
		}
		must(t, b.service.Refresh(t.Context()))
		if _, ok := b.service.Snapshot().Project(b.org, "x"+what); ok {
			t.Errorf("%s: the project was made", what)
		}
	}
	// And what another replica granted counts.
	b.change(t, func(tx store.Tx) error { u := u; u.Roles = nil; return tx.PutUser(u) })
	service := b.service
	b.service = nil
	b.change(t, func(tx store.Tx) error { return tx.PutUser(u) })
	b.service = service
	decoded[any](t, b.ask(t, token, "POST", "Projects", `{"slug":"granted"}`), 201)
}
