package httpapi

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"signpath/internal/service/admin"
	"signpath/internal/service/audit"
	"signpath/internal/service/authz"
	"signpath/internal/wire"
)

// Bounds of one page of the audit log.
const (
	auditPageDefault = 100
	auditWindow      = 20_000 // entries that are looked at in one query when no index narrows it
	auditPageTime    = 2 * time.Second
	maxDigest        = 64 // bytes
)

// signingRequestGroups are the groups of types that tell of signing requests.
var signingRequestGroups = []string{"HashSigning.", "SigningRequest."}

// auditRoutes are the routes of the audit log.
func auditRoutes(a *api) []route {
	const log = "/Api/v1-pre/{organizationId}/AuditLog"
	return []route{
		{method: "GET", pattern: log + "/Events", access: tokenFor, handler: a.auditEvents},
		{method: "GET", pattern: log + "/SigningRequestEvents", access: tokenFor, handler: a.signingRequestEvents},
	}
}

// auditAnswer is an entry of the audit log.
type auditAnswer struct {
	ID             string          `json:"id"` // UUID made of the entry's hash
	Sequence       uint64          `json:"sequence"`
	Timestamp      string          `json:"timestamp"` // RFC 3339, UTC, milliseconds
	Type           string          `json:"type"`
	Metadata       auditMetadata   `json:"metadata"`
	IntentSequence uint64          `json:"intentSequence,omitempty"` // of the intent that this ends
	Data           json.RawMessage `json:"data"`
}

type auditMetadata struct {
	Actor     auditActor `json:"actor"`
	IP        string     `json:"ip,omitempty"`
	UserAgent string     `json:"userAgent,omitempty"`
	TraceID   string     `json:"traceId,omitempty"`
}

type auditActor struct {
	Type string `json:"type,omitempty"`
	ID   string `json:"id,omitempty"`
	Name string `json:"name,omitempty"`
}

// auditPage is the answer of both lists.
type auditPage struct {
	Items      []auditAnswer `json:"items"`
	NextCursor *string       `json:"nextCursor"` // null: that was the end of the log
}

func (a *api) auditEvents(x *exchange) error { return a.auditList(x, nil) }

func (a *api) signingRequestEvents(x *exchange) error { return a.auditList(x, signingRequestGroups) }

// auditList answers a page of entries of the caller's organization in
// ascending order. Pages are found by the sequence number, never by counting.
// A page that takes long to fill is answered as far as it came.
func (a *api) auditList(x *exchange, groups []string) error {
	page, indexed, err := x.auditQuery(groups)
	if err != nil {
		return err
	}
	allowed := organization(authz.ReadAuditLog)
	if err := allowed(x.snapshot, x.principal); err != nil {
		return err
	}
	var head admin.Head
	if err := a.administer(x, allowed, "audit.head", struct{}{}, &head); err != nil {
		return err
	}
	out := auditPage{Items: []auditAnswer{}}
	want, end := page.Limit, time.Now().Add(auditPageTime)
	for page.After < head.Size {
		page.Limit, page.Before = want-len(out.Items), head.Size+1
		if !indexed {
			page.Before = min(page.Before, page.After+auditWindow+1)
		}
		var found admin.AuditEntries
		if err := a.administer(x, allowed, "audit.rows", page, &found); err != nil {
			return err
		}
		for _, e := range found.Items {
			entry, err := showEntry(e)
			if err != nil {
				return err
			}
			out.Items = append(out.Items, entry)
		}
		if len(found.Items) < page.Limit {
			page.After = page.Before - 1 // nothing more up to there
		} else {
			page.After = found.Items[len(found.Items)-1].Seq
		}
		if len(out.Items) == want || time.Now().After(end) {
			break
		}
	}
	if page.After < head.Size {
		cursor := strconv.FormatUint(page.After, 10)
		out.NextCursor = &cursor
	}
	return x.compressibleJSON(http.StatusOK, out)
}

// showEntry reads a stored entry.
func showEntry(e admin.AuditEntry) (auditAnswer, error) {
	entry, err := audit.ParseLeaf(e.Leaf)
	if err != nil {
		return auditAnswer{}, fmt.Errorf("reading entry %d of the audit log: %w", e.Seq, err)
	}
	ev := entry.Event
	out := auditAnswer{
		ID: entryID(e.Leaf), Sequence: entry.Seq, Timestamp: entry.Time.UTC().Format("2006-01-02T15:04:05.000Z"), Type: ev.Type,
		Metadata:       auditMetadata{Actor: auditActor(ev.Actor), IP: ev.IP, UserAgent: ev.UserAgent, TraceID: ev.TraceID},
		IntentSequence: ev.Outcome, Data: ev.Data,
	}
	if len(out.Data) == 0 {
		out.Data = json.RawMessage("{}")
	}
	return out, nil
}

// entryID is a UUID of the version for own schemes (RFC 9562 section 5.8): the
// first bytes of the entry's hash.
func entryID(leaf []byte) string {
	hash := audit.LeafHash(leaf)
	id := uuid.UUID(hash[:16])
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	return id.String()
}

// auditParameter is one line of the table of query parameters.
type auditParameter struct {
	name string
	// read puts the value, which is not empty, into the page; its error ends a sentence.
	read func(p *admin.AuditPage, value string) error
}

var auditParameters = []auditParameter{
	{"cursor", func(p *admin.AuditPage, v string) (err error) {
		if p.After, err = strconv.ParseUint(v, 10, 63); err != nil {
			return fmt.Errorf("must be a nextCursor of an earlier answer or the sequence of an entry")
		}
		return nil
	}},
	{"limit", func(p *admin.AuditPage, v string) (err error) {
		if p.Limit, err = strconv.Atoi(v); err != nil || p.Limit < 1 || p.Limit > admin.MaxAuditRows {
			return fmt.Errorf("must be a number from 1 to %d", admin.MaxAuditRows)
		}
		return nil
	}},
	{"from", func(p *admin.AuditPage, v string) (err error) { p.FromMillis, err = auditTime(v); return err }},
	{"to", func(p *admin.AuditPage, v string) (err error) { p.ToMillis, err = auditTime(v); return err }},
	{"type", func(p *admin.AuditPage, v string) error { p.Type = v; return nil }},
	{"policy", func(p *admin.AuditPage, v string) error { p.Policy = v; return nil }},
	{"user", func(p *admin.AuditPage, v string) error { p.User = v; return nil }},
	{"digest", func(p *admin.AuditPage, v string) (err error) {
		if p.Digest, err = hex.DecodeString(v); err != nil || len(p.Digest) > maxDigest {
			return fmt.Errorf("must be a digest in hexadecimal, at most %d bytes", maxDigest)
		}
		return nil
	}},
}

// auditTime reads RFC 3339 or a date in UTC. The epoch itself would mean "no limit".
func auditTime(v string) (int64, error) {
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, v); err == nil && t.UnixMilli() > 0 {
			return t.UnixMilli(), nil
		}
	}
	return 0, fmt.Errorf("must be a time such as 2027-01-31T12:00:00Z, or a date")
}

// auditQuery reads the query. A parameter that is unknown is refused: a filter
// that was misspelt must not look as if it had matched everything. indexed
// tells that the database finds the entries without looking at all of them.
func (x *exchange) auditQuery(groups []string) (page admin.AuditPage, indexed bool, err error) {
	query, err := url.ParseQuery(x.r.URL.RawQuery)
	if err != nil {
		return page, false, wire.NewProblem(http.StatusBadRequest, "The query string is malformed.")
	}
	page = admin.AuditPage{OrganizationReference: x.org(), Limit: auditPageDefault, TypePrefixes: groups}
	wrong := wire.FieldErrors{}
	seen := map[string]bool{}
	for name, values := range query {
		i := slices.IndexFunc(auditParameters, func(p auditParameter) bool { return strings.EqualFold(p.name, name) })
		switch {
		case i < 0:
			wrong[clipped(name)] = []string{"There is no such parameter."}
		case len(values) > 1 || seen[auditParameters[i].name]:
			wrong[auditParameters[i].name] = []string{auditParameters[i].name + " is given more than once."}
		case values[0] == "":
			wrong[auditParameters[i].name] = []string{auditParameters[i].name + " is empty; leave it away."}
		default:
			p := auditParameters[i]
			seen[p.name] = true
			if err := p.read(&page, values[0]); err != nil {
				wrong[p.name] = []string{p.name + " " + err.Error() + "."}
			}
		}
	}
	if group, ok := typeGroup(page.Type); ok {
		page.Type, page.TypePrefixes = "", []string{group}
		if groups != nil && !slices.Contains(groups, group) {
			wrong["type"] = []string{"No signing request event has a type of this group; see AuditLog/Events."}
		}
	}
	if len(wrong) > 0 {
		return page, false, wrong
	}
	return page, page.Type != "" || page.Policy != "" || len(page.Digest) > 0, nil
}

// typeGroup tells that a type names a group of types, "Webhook" or "Webhook.*".
func typeGroup(t string) (string, bool) {
	name := strings.TrimSuffix(t, ".*")
	if t == "" || strings.Contains(name, ".") {
		return "", false
	}
	return name + ".", true
}
