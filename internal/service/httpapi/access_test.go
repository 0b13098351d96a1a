package httpapi

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"signpath/internal/secret"
	"signpath/internal/service/auth"
	"signpath/internal/service/model"
	"signpath/internal/service/store"
	"signpath/internal/wire"
)

// The columns of the access table: users of the organization, each with one
// right and nothing else.
const (
	colGA = iota
	colCA
	colUA
	colPA
	colGR
	colDS
	colSU
	colRegular
	colConfigurator // of project hash-signing
	colReader       // of project hash-signing
	colSubmitter    // of the policies rsa2048 and p256
	colApprover     // of the policy rsa2048
	colGroup        // submitter of rsa2048 through a group
	colSelf         // the user whom the row is about
	columnCount
)

var columnNames = [columnCount]string{"GA", "CA", "UA", "PA", "GR", "DS", "SU", "regular", "configurator", "reader", "submitter", "approver", "group", "self"}

// Sets of columns, as the access table names them.
var (
	everyone   = []int{colGA, colCA, colUA, colPA, colGR, colDS, colSU, colRegular, colConfigurator, colReader, colSubmitter, colApprover, colGroup, colSelf}
	admins     = []int{colGA, colSU}
	projects   = append(slices.Clone(admins), colPA)
	artifacts  = append(slices.Clone(projects), colConfigurator)
	people     = append(slices.Clone(admins), colUA)
	directory  = append(slices.Clone(admins), colDS)
	submitters = []int{colSubmitter, colGroup}
	nobody     []int
	own        = []int{colSelf}
)

// accessRow is one route: who may call it. path and body are made anew for each
// call, so that calls do not disturb each other.
type accessRow struct {
	method, pattern string
	allowed         []int
	status          int // for those who may
	call            func(w *accessWorld) (path, contentType, body string)
	what            string // for a second row of the same route
}

// at is the address of a path in an organization.
func (r accessRow) at(org, path string) string {
	prefix, _, _ := strings.Cut(r.pattern, "{")
	return prefix + org + "/" + path
}

// accessWorld is the bench with a user in every column, and an administrator of
// another organization.
type accessWorld struct {
	*bench
	t          *testing.T
	tokens     [columnCount]secret.Secret
	users      [columnCount]model.User
	foreign    secret.Secret
	foreignOrg string
	person     model.User // interactive, holds the token of column self
	issued     []byte     // PEM, see requested
	serial     int
}

func (w *accessWorld) next() string {
	w.serial++
	return fmt.Sprintf("n%d", w.serial)
}

func newAccessWorld(t *testing.T) *accessWorld {
	w := &accessWorld{bench: newBench(t), t: t, foreignOrg: uuid.NewString()}
	w.admin.Issuer = testIssuer{soft: w.soft, ring: w.service.Keys}
	w.sealing(t)
	now := time.Now().UTC().Truncate(time.Millisecond)
	token := func(tx store.Tx, org string, u model.User) secret.Secret {
		text, hash := auth.NewToken()
		must(t, tx.PutToken(model.Token{ID: uuid.NewString(), OrganizationID: org, UserID: u.ID, Name: "default", Hash: hash, Active: true, Created: now}))
		return text
	}
	roles := map[int]model.Role{
		colGA: model.GlobalAdministrator, colCA: model.CertificateAdministrator, colUA: model.UserAdministrator, colPA: model.ProjectAdministrator,
		colGR: model.GlobalReader, colDS: model.DirectorySynchronizer, colSU: model.SupportUser,
	}
	w.change(t, func(tx store.Tx) error {
		for i := range w.users {
			u := model.User{ID: uuid.NewString(), OrganizationID: w.org, Kind: model.CIUser, Name: "column " + columnNames[i], Active: true, Created: now}
			if r, ok := roles[i]; ok {
				u.Roles = []model.Role{r}
			}
			if i == colSelf {
				u.Kind, u.Email = model.InteractiveUser, "self@example.test"
				w.person = u
			}
			must(t, tx.PutUser(u))
			w.users[i], w.tokens[i] = u, token(tx, w.org, u)
		}
		must(t, tx.PutOrganization(model.Organization{ID: w.foreignOrg, Name: "Foreign", Active: true, Created: now}))
		foreign := model.User{ID: uuid.NewString(), OrganizationID: w.foreignOrg, Kind: model.CIUser, Name: "foreign", Roles: model.Roles(), Active: true, Created: now}
		must(t, tx.PutUser(foreign))
		w.foreign = token(tx, w.foreignOrg, foreign)

		group := model.UserGroup{ID: uuid.NewString(), OrganizationID: w.org, Name: "submitters", Members: []string{w.users[colGroup].ID}, Created: now}
		must(t, tx.PutUserGroup(group))
		for _, slug := range []string{"rsa2048", "p256"} {
			p := w.policies[slug]
			p.Submitters, p.Approvers = []string{w.users[colSubmitter].ID, group.ID}, []string{w.users[colApprover].ID}
			must(t, tx.PutSigningPolicy(p))
		}
		return nil
	})
	project, ok := w.service.Snapshot().Project(w.org, "hash-signing")
	if !ok {
		t.Fatal("no project")
	}
	changed := *project
	changed.Configurators, changed.Readers = []string{w.users[colConfigurator].ID}, []string{w.users[colReader].ID}
	w.change(t, func(tx store.Tx) error { return tx.PutProject(changed) })
	return w
}

// newUser is a user without rights, for one call.
func (w *accessWorld) newUser(kind model.UserKind, synchronized bool) model.User {
	u := model.User{ID: uuid.NewString(), OrganizationID: w.org, Kind: kind, Name: w.next(), Synchronized: synchronized, Active: true, Created: time.Now().UTC().Truncate(time.Millisecond)}
	if kind == model.InteractiveUser {
		u.Email = u.Name + "@example.test"
	}
	w.change(w.t, func(tx store.Tx) error { return tx.PutUser(u) })
	return u
}

func (w *accessWorld) newToken(userID string) string {
	_, hash := auth.NewToken()
	k := model.Token{ID: uuid.NewString(), OrganizationID: w.org, UserID: userID, Name: w.next(), Hash: hash, Active: true, Created: time.Now().UTC().Truncate(time.Millisecond)}
	w.change(w.t, func(tx store.Tx) error { return tx.PutToken(k) })
	return k.ID
}

func (w *accessWorld) newGroup(synchronized bool) string {
	g := model.UserGroup{ID: uuid.NewString(), OrganizationID: w.org, Name: w.next(), Synchronized: synchronized, Created: time.Now().UTC().Truncate(time.Millisecond)}
	w.change(w.t, func(tx store.Tx) error { return tx.PutUserGroup(g) })
	return g.ID
}

func (w *accessWorld) newArtifactConfiguration() string {
	project, _ := w.service.Snapshot().Project(w.org, "hash-signing")
	a := model.ArtifactConfiguration{ID: uuid.NewString(), OrganizationID: w.org, ProjectID: project.ID, Slug: w.next(), Name: "x", Type: model.HashSigningData, Active: true, Created: time.Now().UTC().Truncate(time.Millisecond)}
	w.change(w.t, func(tx store.Tx) error { return tx.PutArtifactConfiguration(a) })
	return a.Slug
}

const jsonType = "application/json"

// get is the call of a route without body; path is relative to the organization.
func get(path string) func(*accessWorld) (string, string, string) {
	return func(*accessWorld) (string, string, string) { return path, "", "" }
}

// post is the call of a route with a JSON body. %s in path and body is a name
// that is new in every call.
func post(path, body string) func(*accessWorld) (string, string, string) {
	return func(w *accessWorld) (string, string, string) {
		name := w.next()
		return strings.ReplaceAll(path, "%s", name), jsonType, strings.ReplaceAll(body, "%s", name)
	}
}

// accessRows is the access table: every route that needs a token, and who may
// call it. A route without a row fails TestWhoMayCall.
func accessRows() []accessRow {
	const project, policy = "Projects/hash-signing", "Projects/hash-signing/SigningPolicies/rsa2048"
	const org = "/Api/v1/{organizationId}/"
	rows := []accessRow{
		{"GET", "Cryptoki/MySigningPolicies", everyone, 200, get("Cryptoki/MySigningPolicies"), ""},
		{"POST", "SigningRequests", submitters, 200, classicCall("SigningRequests"), ""},
		{"POST", "SigningRequests/SubmitWithArtifact", submitters, 200, classicCall("SigningRequests/SubmitWithArtifact"), ""},
		{"POST", "SigningRequests/SignHash", submitters, 200, func(*accessWorld) (string, string, string) {
			return "SigningRequests/SignHash", jsonType, signHashBody("rsa2048")
		}, ""},

		{"GET", "Organization", everyone, 200, get("Organization"), ""},
		{"POST", "Organization/Edit", admins, 200, post("Organization/Edit", `{"name":"%s"}`), ""},
		{"GET", "Projects", everyone, 200, get("Projects"), ""},
		{"POST", "Projects", projects, 201, post("Projects", `{"slug":"%s"}`), ""},
		{"GET", "Projects/{projectSlug}", everyone, 200, get(project), ""},
		{"POST", "Projects/{projectSlug}/Edit", projects, 200, post(project+"/Edit", `{"description":"%s"}`), ""},
		{"GET", "Projects/{projectSlug}/ArtifactConfigurations", everyone, 200, get(project + "/ArtifactConfigurations"), ""},
		{"POST", "Projects/{projectSlug}/ArtifactConfigurations", artifacts, 201, post(project+"/ArtifactConfigurations", `{"slug":"%s"}`), ""},
		{"GET", "Projects/{projectSlug}/ArtifactConfigurations/{artifactConfigurationSlug}", everyone, 200, get(project + "/ArtifactConfigurations/initial"), ""},
		{"POST", "Projects/{projectSlug}/ArtifactConfigurations/{artifactConfigurationSlug}/Edit", artifacts, 200, func(w *accessWorld) (string, string, string) {
			return project + "/ArtifactConfigurations/" + w.newArtifactConfiguration() + "/Edit", jsonType, `{"name":"y"}`
		}, ""},
		{"POST", "Projects/{projectSlug}/SetDefaultArtifactConfiguration", artifacts, 200, func(w *accessWorld) (string, string, string) {
			return project + "/SetDefaultArtifactConfiguration", jsonType, `{"artifactConfigurationSlug":"` + w.newArtifactConfiguration() + `"}`
		}, ""},
		{"GET", "Projects/{projectSlug}/SigningPolicies", everyone, 200, get(project + "/SigningPolicies"), ""},
		{"POST", "Projects/{projectSlug}/SigningPolicies", projects, 201, post(project+"/SigningPolicies", `{"slug":"%s","certificateSlug":"rsa2048","submitters":["group:submitters"]}`), ""},
		{"GET", "Projects/{projectSlug}/SigningPolicies/{signingPolicySlug}", everyone, 200, get(policy), ""},
		{"POST", "Projects/{projectSlug}/SigningPolicies/{signingPolicySlug}/Edit", projects, 200, post(policy+"/Edit", `{"name":"%s"}`), ""},
		{"GET", "Projects/{projectSlug}/SigningPolicies/{signingPolicySlug}/Certificate", everyone, 200, get(policy + "/Certificate"), ""},
		{"GET", "Projects/{projectSlug}/SigningPolicies/{signingPolicySlug}/Certificate/X509Certificate", everyone, 200, get(policy + "/Certificate/X509Certificate"), ""},
		{"GET", "Projects/{projectSlug}/SigningPolicies/{signingPolicySlug}/Certificate/GpgPublicKey", everyone, 200, get("Projects/hash-signing/SigningPolicies/gpg-rsa3072/Certificate/GpgPublicKey"), ""},

		{"GET", "UserGroups", everyone, 200, get("UserGroups"), ""},
		{"POST", "UserGroups", people, 201, post("UserGroups", `{"name":"%s"}`), ""},
		{"POST", "UserGroups", directory, 201, post("UserGroups", `{"name":"%s","directorySynchronized":true}`), "synchronized"},
		{"GET", "UserGroups/{userGroupId}", everyone, 200, groupCall("", "", false), ""},
		{"DELETE", "UserGroups/{userGroupId}", people, 204, groupCall("", "", false), ""},
		{"POST", "UserGroups/{userGroupId}/Edit", people, 200, groupCall("/Edit", `{"name":"%s"}`, false), ""},
		{"POST", "UserGroups/{userGroupId}/ChangeMembers", people, 200, groupCall("/ChangeMembers", `{"members":["column self"]}`, false), ""},
		{"POST", "UserGroups/{userGroupId}/ModifyMembers", people, 200, groupCall("/ModifyMembers", `{"add":["column self"]}`, false), ""},
		{"DELETE", "UserGroups/{userGroupId}", directory, 204, groupCall("", "", true), "synchronized"},
		{"POST", "UserGroups/{userGroupId}/Edit", directory, 200, groupCall("/Edit", `{"name":"%s"}`, true), "synchronized"},
		{"POST", "UserGroups/{userGroupId}/ChangeMembers", directory, 200, groupCall("/ChangeMembers", `{"members":["column self"]}`, true), "synchronized"},
		{"POST", "UserGroups/{userGroupId}/ModifyMembers", directory, 200, groupCall("/ModifyMembers", `{"add":["column self"]}`, true), "synchronized"},
	}
	for _, k := range []struct {
		path   string
		kind   model.UserKind
		create string // members of the body that creates one, besides the name
		tokens []int
	}{
		{"CIUsers", model.CIUser, "", people},
		{"InteractiveUsers", model.InteractiveUser, `,"email":"%s@example.test"`, nobody},
	} {
		rows = append(rows,
			accessRow{"GET", k.path, everyone, 200, get(k.path), ""},
			accessRow{"POST", k.path, people, 201, post(k.path, `{"name":"%s"`+k.create+`}`), ""},
			accessRow{"POST", k.path, people, 201, post(k.path, `{"name":"%s","roles":["GlobalReader"]`+k.create+`}`), "with a role"},
			accessRow{"POST", k.path, directory, 201, post(k.path, `{"name":"%s","directorySynchronized":true`+k.create+`}`), "synchronized"},
			accessRow{"POST", k.path, admins, 201, post(k.path, `{"name":"%s","directorySynchronized":true,"roles":["GlobalReader"]`+k.create+`}`), "synchronized with a role"},
			accessRow{"GET", k.path + "/{userId}", everyone, 200, userCall(k.path, k.kind, "", "", false), ""},
			accessRow{"POST", k.path + "/{userId}/Edit", people, 200, userCall(k.path, k.kind, "/Edit", `{"name":"%s"}`, false), ""},
			accessRow{"POST", k.path + "/{userId}/Edit", people, 200, userCall(k.path, k.kind, "/Edit", `{"roles":["UserAdministrator"]}`, false), "roles"},
			accessRow{"POST", k.path + "/{userId}/Edit", directory, 200, userCall(k.path, k.kind, "/Edit", `{"isActive":false}`, true), "synchronized"},
			accessRow{"POST", k.path + "/{userId}/Edit", admins, 200, userCall(k.path, k.kind, "/Edit", `{"roles":["UserAdministrator"]}`, true), "roles, synchronized"},
			accessRow{"POST", k.path + "/{userId}/RegenerateApiToken", k.tokens, 200, userCall(k.path, k.kind, "/RegenerateApiToken", "", false), ""},
			accessRow{"GET", k.path + "/{userId}/ApiTokens", k.tokens, 200, userCall(k.path, k.kind, "/ApiTokens", "", false), ""},
			accessRow{"POST", k.path + "/{userId}/ApiTokens", k.tokens, 201, userCall(k.path, k.kind, "/ApiTokens", `{"name":"%s"}`, false), ""},
			accessRow{"POST", k.path + "/{userId}/ApiTokens/{tokenId}/Edit", k.tokens, 200, tokenCall(k.path, k.kind, "/Edit", `{"addresses":["192.0.2.0/24"]}`), ""},
			accessRow{"POST", k.path + "/{userId}/ApiTokens/{tokenId}/Revoke", k.tokens, 200, tokenCall(k.path, k.kind, "/Revoke", ""), ""},
		)
	}
	// A person and the person's own tokens.
	rows = append(rows,
		accessRow{"POST", "InteractiveUsers/{userId}/ApiTokens", own, 201, ownCall("/ApiTokens", `{"name":"%s"}`), "own"},
		accessRow{"GET", "InteractiveUsers/{userId}/ApiTokens", own, 200, ownCall("/ApiTokens", ""), "own"},
		accessRow{"POST", "InteractiveUsers/{userId}/RegenerateApiToken", own, 200, func(w *accessWorld) (string, string, string) {
			w.newNamedToken(w.person.ID, "spare")
			return "InteractiveUsers/" + w.person.ID + "/RegenerateApiToken", jsonType, `{"name":"spare"}`
		}, "own"},
		accessRow{"POST", "InteractiveUsers/{userId}/ApiTokens/{tokenId}/Revoke", own, 200, func(w *accessWorld) (string, string, string) {
			return "InteractiveUsers/" + w.person.ID + "/ApiTokens/" + w.newToken(w.person.ID) + "/Revoke", "", ""
		}, "own"},
		accessRow{"POST", "InteractiveUsers/{userId}/Edit", people, 200, ownCall("/Edit", `{"roles":[]}`), "own roles"},
		accessRow{"GET", "InteractiveUsers/{userId}", own, 200, get("InteractiveUsers/Me"), "Me"},
		accessRow{"GET", "CIUsers/{userId}", slices.DeleteFunc(slices.Clone(everyone), func(c int) bool { return c == colSelf }), 200, get("CIUsers/me"), "Me"},
	)
	for i := range rows {
		if !strings.HasPrefix(rows[i].pattern, "/") {
			rows[i].pattern = org + rows[i].pattern
		}
	}
	return slices.Concat(rows, moreAccessRows())
}

func (w *accessWorld) newNamedToken(userID, name string) {
	for _, k := range must1(w.admin.Store.Config(w.t.Context()))(w.t).Tokens {
		if k.UserID == userID && k.Name == name && k.Active {
			return
		}
	}
	_, hash := auth.NewToken()
	w.change(w.t, func(tx store.Tx) error {
		return tx.PutToken(model.Token{ID: uuid.NewString(), OrganizationID: w.org, UserID: userID, Name: name, Hash: hash, Active: true, Created: time.Now().UTC().Truncate(time.Millisecond)})
	})
}

func must1[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		must(t, err)
		return v
	}
}

func classicCall(path string) func(*accessWorld) (string, string, string) {
	return func(w *accessWorld) (string, string, string) {
		contentType, body := classic(w.t, "rsa2048", wire.Scheme{Algorithm: wire.RSAPKCS1, Hash: wire.SHA256}, "")
		return path, strings.TrimPrefix(contentType, "Content-Type: "), string(must1(io.ReadAll(body))(w.t))
	}
}

func userCall(users string, kind model.UserKind, path, body string, synchronized bool) func(*accessWorld) (string, string, string) {
	return func(w *accessWorld) (string, string, string) {
		return users + "/" + w.newUser(kind, synchronized).ID + path, jsonType, strings.ReplaceAll(body, "%s", w.next())
	}
}

func tokenCall(users string, kind model.UserKind, path, body string) func(*accessWorld) (string, string, string) {
	return func(w *accessWorld) (string, string, string) {
		u := w.newUser(kind, false)
		return users + "/" + u.ID + "/ApiTokens/" + w.newToken(u.ID) + path, jsonType, body
	}
}

func groupCall(path, body string, synchronized bool) func(*accessWorld) (string, string, string) {
	return func(w *accessWorld) (string, string, string) {
		return "UserGroups/" + w.newGroup(synchronized) + path, jsonType, strings.ReplaceAll(body, "%s", w.next())
	}
}

func ownCall(path, body string) func(*accessWorld) (string, string, string) {
	return func(w *accessWorld) (string, string, string) {
		return "InteractiveUsers/" + w.person.ID + path, jsonType, strings.ReplaceAll(body, "%s", w.next())
	}
}

// Every route × (no token, an unknown token, a token of another organization,
// every role): whoever may call gets the route's answer, everybody else 403,
// or 401 without a good token, and changes nothing.
func TestWhoMayCall(t *testing.T) {
	w := newAccessWorld(t)
	rows := accessRows()
	for _, rt := range newRoutes(&api{}) {
		has := slices.ContainsFunc(rows, func(r accessRow) bool { return r.method == rt.method && r.pattern == rt.pattern })
		if has == (rt.access == public) {
			t.Errorf("%s %s: a row in the access table: %v, public: %v", rt.method, rt.pattern, has, rt.access == public)
		}
	}
	for _, r := range rows {
		if !slices.ContainsFunc(newRoutes(&api{}), func(rt route) bool { return r.method == rt.method && r.pattern == rt.pattern }) {
			t.Errorf("%s %s is in the access table and not among the routes", r.method, r.pattern)
		}
	}
	cells := 0
	try := func(r accessRow, who, authorization, org string, want int) {
		t.Helper()
		cells++
		path, contentType, body := r.call(w)
		before, err := w.admin.Store.ConfigVersion(t.Context())
		must(t, err)
		headers := []string{"Authorization: " + authorization}
		if contentType != "" && body != "" {
			headers = append(headers, "Content-Type: "+contentType)
		}
		answer := w.do(t, r.method, r.at(org, path), strings.NewReader(body), headers...)
		if answer.Code != want {
			t.Errorf("%s %s %s by %s: %d, want %d: %s", r.method, r.pattern, r.what, who, answer.Code, want, answer.Body)
		}
		if answer.Code < 400 {
			return
		}
		problemIn(t, answer)
		if after, err := w.admin.Store.ConfigVersion(t.Context()); err != nil || after != before {
			t.Errorf("%s %s by %s was refused and changed something (%v)", r.method, r.pattern, who, err)
		}
	}
	for _, r := range rows {
		try(r, "nobody", "", w.org, http.StatusUnauthorized)
		try(r, "an unknown token", "Bearer AQunknownunknownunknown", w.org, http.StatusUnauthorized)
		try(r, "another organization's administrator", "Bearer "+w.foreign.Reveal(), w.org, http.StatusUnauthorized)
		for column, token := range w.tokens {
			want := http.StatusForbidden
			if slices.Contains(r.allowed, column) {
				want = r.status
			}
			try(r, columnNames[column], "Bearer "+token.Reveal(), w.org, want)
		}
	}
	// Objects of this organization are not there for another one.
	for _, r := range rows {
		path, contentType, body := r.call(w)
		if !strings.Contains(r.pattern, "Id}/") && !strings.HasSuffix(r.pattern, "Id}") || r.what == "Me" || strings.Count(r.pattern, "{") < 2 {
			continue
		}
		cells++
		answer := w.do(t, r.method, r.at(w.foreignOrg, path), strings.NewReader(body), "Authorization: Bearer "+w.foreign.Reveal(), "Content-Type: "+contentType)
		if answer.Code != http.StatusForbidden {
			t.Errorf("%s %s: an object of another organization: %d %s", r.method, r.pattern, answer.Code, answer.Body)
		}
	}
	t.Logf("%d rows, %d cells", len(rows), cells)
}
