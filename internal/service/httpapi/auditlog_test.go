package httpapi

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"signpath/internal/service/audit"
	"signpath/internal/service/auth"
	"signpath/internal/service/model"
	"signpath/internal/service/store"
	"signpath/internal/wire"
)

var auditReaders = []int{colGA, colSU, colGR}

func auditAccessRows() []accessRow {
	call := func(path string) func(*accessWorld) (string, string, string) {
		return func(*accessWorld) (string, string, string) { return "AuditLog/" + path, "", "" }
	}
	return []accessRow{
		{method: "GET", pattern: "/Api/v1-pre/{organizationId}/AuditLog/Events", allowed: auditReaders, status: 200, call: call("Events?limit=1")},
		{method: "GET", pattern: "/Api/v1-pre/{organizationId}/AuditLog/SigningRequestEvents", allowed: auditReaders, status: 200, call: call("SigningRequestEvents?limit=1")},
	}
}

// auditor makes a user with the role Global Reader, and a header with its token.
func (b *bench) auditor(t *testing.T) string {
	t.Helper()
	text, hash := auth.NewToken()
	now := time.Now().UTC().Truncate(time.Millisecond)
	b.change(t, func(tx store.Tx) error {
		u := model.User{ID: uuid.NewString(), OrganizationID: b.org, Kind: model.CIUser, Name: "auditor", Roles: []model.Role{model.GlobalReader}, Active: true, Created: now}
		must(t, tx.PutUser(u))
		return tx.PutToken(model.Token{ID: uuid.NewString(), OrganizationID: b.org, UserID: u.ID, Name: "t", Hash: hash, Active: true, Created: now})
	})
	return "Authorization: Bearer " + text.Reveal()
}

type auditReader struct {
	b      *bench
	header string
}

func (r auditReader) page(t *testing.T, path string, want int) auditPage {
	t.Helper()
	w := r.b.do(t, "GET", "/Api/v1-pre/"+r.b.org+"/AuditLog/"+path, nil, r.header)
	if w.Code != want {
		t.Fatalf("%s: %d: %s", path, w.Code, w.Body)
	}
	var p auditPage
	if want == 200 {
		must(t, json.Unmarshal(w.Body.Bytes(), &p))
	}
	return p
}

func (r auditReader) types(t *testing.T, path string) []string {
	t.Helper()
	var types []string
	for _, e := range r.page(t, path, 200).Items {
		types = append(types, e.Type)
	}
	return types
}

func tryAuditLog(t *testing.T, b *bench, c *contract) {
	header := b.auditor(t)
	get := func(path string, status int, headers ...string) {
		t.Helper()
		c.check(t, b, b.request(t, "GET", "/Api/v1-pre/"+b.org+"/AuditLog/"+path, nil, append([]string{header}, headers...)...), status)
	}
	for _, list := range []string{"Events", "SigningRequestEvents"} {
		get(list, 200)
		get(list+"?limit=2&cursor=3", 200)
		get(list+"?limit=0", 400)
		get(list, 403, "Authorization: Bearer "+b.token.Reveal())
		get(list, 401, "Authorization")
	}
}

// signed makes one signature of SHA-256("abc") under a policy.
func (b *bench) signed(t *testing.T, policy string, want int) {
	t.Helper()
	scheme := wire.Scheme{Algorithm: wire.RSAPKCS1, Hash: wire.SHA256}
	if policy == "p256" {
		scheme = wire.Scheme{Algorithm: wire.ECDSA}
	}
	contentType, body := classic(t, policy, scheme, "")
	if w := b.do(t, "POST", "SigningRequests", body, contentType); w.Code != want {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
}

func TestAuditLog(t *testing.T) {
	b := newBench(t)
	r := auditReader{b, b.auditor(t)}
	b.signed(t, "rsa2048", 200)
	b.signed(t, "p256", 200)
	b.signed(t, "inactive", 400)
	digest := hex.EncodeToString(abc[:])
	wait := func() { // outcomes are written later
		for range 200 {
			if len(r.page(t, "SigningRequestEvents", 200).Items) == 5 {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Fatalf("%+v", r.page(t, "SigningRequestEvents", 200))
	}
	wait()

	all := r.page(t, "Events", 200)
	if all.NextCursor != nil || len(all.Items) != 7 { // two changes of the bench, five of signatures
		t.Fatalf("%+v", all)
	}
	for _, e := range all.Items {
		if _, err := uuid.Parse(e.ID); err != nil || e.Timestamp[len(e.Timestamp)-1] != 'Z' || len(e.Timestamp) != len("2027-01-31T12:00:00.000Z") {
			t.Errorf("%+v", e)
		}
	}
	intent := r.page(t, "Events?type=HashSigning.Intent", 200).Items[0]
	if a := intent.Metadata; a.Actor.ID != b.submitter.ID || a.Actor.Name != "submitter" || a.Actor.Type != "CiUser" || a.IP == "" || a.TraceID == "" || !strings.Contains(string(intent.Data), digest) {
		t.Errorf("%+v %s", a, intent.Data)
	}

	now := time.Now().UTC()
	signatures := []string{"HashSigning.Intent", "HashSigning.Completed"}
	for _, c := range []struct {
		query string
		want  []string // sorted
	}{
		{"Events?type=HashSigning.Refused", []string{"HashSigning.Refused"}},
		{"Events?TYPE=Test", []string{"Test.Changed", "Test.Changed"}},
		{"Events?type=Test.*", []string{"Test.Changed", "Test.Changed"}},
		{"Events?type=Tes", nil},
		{"SigningRequestEvents?type=Test.Changed", nil},
		{"SigningRequestEvents?type=HashSigning&policy=hash-signing/RSA2048", signatures},
		{"Events?policy=" + b.policies["p256"].ID, signatures},
		{"Events?policy=hash-signing/inactive", []string{"HashSigning.Refused"}},
		{"Events?digest=" + digest, []string{"HashSigning.Intent", "HashSigning.Completed", "HashSigning.Intent", "HashSigning.Completed", "HashSigning.Refused"}},
		{"Events?digest=" + strings.ToUpper(digest) + "&policy=hash-signing/p256", signatures},
		{"Events?digest=" + digest[2:], nil},
		{"Events?user=submitter&type=HashSigning.Refused", []string{"HashSigning.Refused"}},
		{"Events?user=" + b.submitter.ID + "&limit=1", []string{"HashSigning.Intent"}},
		{"Events?user=other", nil},
		{"Events?to=2020-01-01", nil},
		{"Events?from=" + now.Add(time.Hour).Format(time.RFC3339), nil},
		{"Events?from=" + now.Add(-time.Hour).Format(time.RFC3339) + "&to=" + now.Add(time.Hour).Format(time.RFC3339) + "&type=Test", []string{"Test.Changed", "Test.Changed"}},
	} {
		got := r.types(t, c.query)
		slices.Sort(got)
		slices.Sort(c.want)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.query, got, c.want)
		}
		slices.Sort(signatures)
	}
	for query, field := range map[string]string{
		"limit=0": "limit", "limit=1001": "limit", "limit=x": "limit", "cursor=-1": "cursor", "cursor=x": "cursor",
		"digest=xyz": "digest", "digest=" + strings.Repeat("00", 65): "digest", "from=yesterday": "from", "to=1970-01-01": "to",
		"polcy=a/b": "polcy", "limit=1&LIMIT=2": "limit", "type=": "type", "user=nobody": "User", "policy=hash-signing/nowhere": "Policy",
	} {
		w := b.do(t, "GET", "/Api/v1-pre/"+b.org+"/AuditLog/Events?"+query, nil, r.header)
		if p := problemIn(t, w); w.Code != 400 || len(p.Errors[field]) != 1 {
			t.Errorf("%s: %d %v", query, w.Code, p.Errors)
		}
	}
	r.page(t, "SigningRequestEvents?type=User", 400)
	w := b.do(t, "POST", "/Api/v1-pre/"+b.org+"/AuditLog/Events", nil, r.header)
	if w.Code != 405 {
		t.Errorf("POST: %d", w.Code)
	}
}

// Every entry comes exactly once, in order, whatever the page size is, and
// those who follow the log see what is appended meanwhile.
func TestAuditLogPages(t *testing.T) {
	b := newBench(t)
	r := auditReader{b, b.auditor(t)}
	for i := range 25 {
		_, err := b.admin.Log.Record(t.Context(), audit.Event{Type: "Test.Entry", OrganizationID: []string{b.org, ""}[i%2], Actor: audit.Actor{Type: "System"}})
		must(t, err)
	}
	for _, filter := range []string{"", "&type=Test.Entry", "&from=2020-01-01"} {
		var got []uint64
		cursor := "0"
		for range 30 {
			p := r.page(t, fmt.Sprintf("Events?limit=3&cursor=%s%s", cursor, filter), 200)
			for _, e := range p.Items {
				got = append(got, e.Sequence)
			}
			if p.NextCursor == nil {
				break
			}
			cursor = *p.NextCursor
		}
		want := 13
		if filter != "&type=Test.Entry" {
			want += 2
		}
		if len(got) != want || !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != want {
			t.Errorf("%q: %v", filter, got)
		}
	}
	last := r.page(t, "Events", 200).Items
	_, err := b.admin.Log.Record(t.Context(), audit.Event{Type: "Other.Entry", OrganizationID: b.org})
	must(t, err)
	if p := r.page(t, fmt.Sprintf("Events?cursor=%d", last[len(last)-1].Sequence), 200); len(p.Items) != 1 || p.Items[0].Type != "Other.Entry" {
		t.Errorf("%+v", p)
	}
}

// Nobody sees the entries of another organization, whatever they filter by.
func TestAuditLogOfOthers(t *testing.T) {
	w := newAccessWorld(t)
	b := w.bench
	token := b.token
	b.token = w.tokens[colSubmitter]
	b.signed(t, "rsa2048", 200)
	b.token = token
	digest := hex.EncodeToString(abc[:])
	for _, query := range []string{"", "?digest=" + digest, "?type=HashSigning"} {
		for _, list := range []string{"Events", "SigningRequestEvents"} {
			a := b.do(t, "GET", "/Api/v1-pre/"+w.foreignOrg+"/AuditLog/"+list+query, nil, "Authorization: Bearer "+w.foreign.Reveal())
			var p auditPage
			must(t, json.Unmarshal(a.Body.Bytes(), &p))
			if a.Code != http.StatusOK || len(p.Items) != 0 || p.NextCursor != nil {
				t.Errorf("%s%s: %d %s", list, query, a.Code, a.Body)
			}
		}
	}
	for _, query := range []string{"?policy=" + w.policies["rsa2048"].ID, "?policy=hash-signing/rsa2048", "?user=" + w.users[colSubmitter].ID} {
		if a := b.do(t, "GET", "/Api/v1-pre/"+w.foreignOrg+"/AuditLog/Events"+query, nil, "Authorization: Bearer "+w.foreign.Reveal()); a.Code != 400 {
			t.Errorf("%s: %d %s", query, a.Code, a.Body)
		}
	}
	if p := (auditReader{b, "Authorization: Bearer " + w.tokens[colGR].Reveal()}).page(t, "Events?digest="+digest, 200); len(p.Items) == 0 {
		t.Error("the own organization does not see it")
	}
}
