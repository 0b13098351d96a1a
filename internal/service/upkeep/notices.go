package upkeep

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"signpath/internal/service/audit"
	"signpath/internal/service/authz"
	"signpath/internal/service/jobs"
	"signpath/internal/service/model"
	"signpath/internal/service/store"
	"signpath/internal/service/webhooks"
	"signpath/internal/wire"
)

// The audit types of notices.
const (
	EntryCertificateExpiring = "Certificate.Expiring"
	EntryCertificateExpired  = "Certificate.Expired"
	EntryTokenExpiring       = "ApiToken.Expiring"
	EntryTokenExpired        = "ApiToken.Expired"
)

// thresholds are the days before the end at which is told, the last one first;
// 0 is the end itself. One that lies before the middle of the life is left out:
// a token for a week is not announced to end on the day that it is made.
var thresholds = []int{0, 1, 10, 30}

// forgotten is how long after the end nobody is told any more.
const forgotten = 30 * 24 * time.Hour

// ending is something that ends.
type ending struct {
	id, organizationID string
	begin, end         time.Time
	expiring, expired  string // audit types
	data               noticeData
}

// noticeData is the data of the entries. A token is named, never shown.
type noticeData struct {
	CertificateID   string   `json:"certificateId,omitempty"`
	CertificateSlug string   `json:"certificateSlug,omitempty"`
	Policies        []string `json:"policies,omitempty"` // active ones that sign with it, project/policy
	TokenID         string   `json:"tokenId,omitempty"`
	TokenName       string   `json:"tokenName,omitempty"`
	UserID          string   `json:"userId,omitempty"`
	UserName        string   `json:"userName,omitempty"`
	Ends            string   `json:"ends"`     // RFC 3339
	DaysLeft        int      `json:"daysLeft"` // of the threshold that was passed; 0: it has ended

	projects []string // IDs of the projects that it matters to
}

// threshold is the one that was passed last; false when there is none to tell of.
func (e *ending) threshold(now time.Time) (int, bool) {
	if now.Sub(e.end) > forgotten {
		return 0, false
	}
	for _, days := range thresholds {
		at := e.end.AddDate(0, 0, -days)
		if now.Before(at) {
			continue
		}
		if days > 0 && at.Before(e.begin.Add(e.end.Sub(e.begin)/2)) {
			return 0, false
		}
		return days, true
	}
	return 0, false
}

// endings are all that can end: certificates and OpenPGP keys that can sign,
// tokens that let somebody in.
func endings(cfg *model.Config) []ending {
	snap := authz.NewSnapshot(cfg)
	var all []ending
	policies := make(map[string][]*model.SigningPolicy, len(cfg.SigningPolicies)) // by certificate
	for i := range cfg.SigningPolicies {
		p := &cfg.SigningPolicies[i]
		policies[p.CertificateID] = append(policies[p.CertificateID], p)
	}
	for i := range cfg.Certificates {
		c := &cfg.Certificates[i]
		key, ok := snap.Key(c)
		if c.NotAfter.IsZero() || !c.Active || !ok || key.Deleted {
			continue
		}
		e := ending{c.ID, c.OrganizationID, c.NotBefore, c.NotAfter, EntryCertificateExpiring, EntryCertificateExpired, noticeData{CertificateID: c.ID, CertificateSlug: c.Slug}}
		for _, p := range policies[c.ID] {
			project, ok := snap.ProjectByID(p.ProjectID)
			if p.Active && ok && project.Active {
				e.data.Policies = append(e.data.Policies, project.Slug+"/"+p.Slug)
				e.data.projects = append(e.data.projects, project.ID)
			}
		}
		all = append(all, e)
	}
	for i := range cfg.Tokens {
		t := &cfg.Tokens[i]
		user, ok := snap.User(t.OrganizationID, t.UserID)
		if t.Expires.IsZero() || !t.Active || !ok || !user.Active {
			continue
		}
		e := ending{t.ID, t.OrganizationID, t.Created, t.Expires, EntryTokenExpiring, EntryTokenExpired, noticeData{TokenID: t.ID, TokenName: t.Name, UserID: user.ID, UserName: user.Name}}
		for _, p := range snap.Submittable(user.ID) {
			e.data.projects = append(e.data.projects, p.ProjectID)
		}
		all = append(all, e)
	}
	return all
}

// told is what was told of an end last. It is kept as a setting, so that each
// threshold is told once, whatever restarts and replicas there are. Another end
// (a renewal) begins anew.
type told struct {
	End  int64 `json:"end"` // Unix milliseconds
	Days int   `json:"days"`
}

func settingOf(id string) string { return "notice." + id }

func (t *told) covers(e *ending, days int) bool {
	return t != nil && t.End == e.end.UnixMilli() && t.Days <= days
}

func readTold(value []byte) (*told, error) {
	if value == nil {
		return nil, nil
	}
	t := &told{}
	if err := json.Unmarshal(value, t); err != nil {
		return nil, fmt.Errorf("what was told of an end cannot be read: %w", err)
	}
	return t, nil
}

// notify tells of everything that has passed a threshold since the last round.
func (u *Upkeep) notify(ctx context.Context, cfg *model.Config, now time.Time) error {
	sent := false
	for _, e := range endings(cfg) {
		days, due := e.threshold(now)
		if !due {
			continue
		}
		value, err := u.Store.Setting(ctx, settingOf(e.id))
		if err != nil {
			return err
		}
		if t, err := readTold(value); err != nil || t.covers(&e, days) {
			if err != nil {
				return err
			}
			continue
		}
		e.data.Ends, e.data.DaysLeft = e.end.UTC().Format(time.RFC3339), days
		err = u.Log.Change(ctx, func(tx store.Tx) ([]audit.Event, error) { return tell(tx, &e, days, now) })
		if err != nil {
			return err
		}
		sent = true
	}
	if sent && u.Wake != nil {
		u.Wake()
	}
	return nil
}

// tell gives one notice, unless another replica has given it.
func tell(tx store.Tx, e *ending, days int, now time.Time) ([]audit.Event, error) {
	value, err := tx.Setting(settingOf(e.id))
	if err != nil {
		return nil, err
	}
	if t, err := readTold(value); err != nil || t.covers(e, days) {
		return nil, err
	}
	encoded, err := json.Marshal(told{e.end.UnixMilli(), days})
	if err != nil {
		return nil, err
	}
	if err := tx.PutSetting(settingOf(e.id), encoded); err != nil {
		return nil, err
	}
	entry := e.expiring
	if days == 0 {
		entry = e.expired
	}
	if err := enqueue(tx, e, entry, now); err != nil {
		return nil, err
	}
	return []audit.Event{event(entry, e.organizationID, e.data)}, nil
}

// enqueue puts the messages for webhooks that want notices.
func enqueue(tx store.Tx, e *ending, entry string, now time.Time) error {
	hooks, err := tx.Webhooks(e.organizationID, "")
	if err != nil {
		return err
	}
	for _, h := range hooks {
		if !h.Active || !h.Notices || !slices.Contains(e.data.projects, h.ProjectID) {
			continue
		}
		message, err := json.Marshal(wire.WebhookNotice{
			OrganizationID: e.organizationID, Notice: entry, CertificateSlug: e.data.CertificateSlug, SigningPolicies: e.data.Policies,
			APITokenID: e.data.TokenID, APITokenName: e.data.TokenName, UserName: e.data.UserName, Ends: e.data.Ends, DaysLeft: e.data.DaysLeft,
		})
		if err != nil {
			return err
		}
		d := model.WebhookDelivery{ID: uuid.NewString(), OrganizationID: e.organizationID, WebhookID: h.ID, Status: model.RequestStatus(entry), Message: message, Created: now}
		if err := tx.PutWebhookDelivery(d); err != nil {
			return err
		}
		if err := tx.PutJob(jobs.New(webhooks.JobKind, e.organizationID, d.ID, now)); err != nil {
			return err
		}
	}
	return nil
}

func event(entryType, organizationID string, data any) audit.Event {
	encoded, err := json.Marshal(data)
	if err != nil {
		encoded = []byte("not encodable") // the log refuses an entry whose data is no object
	}
	return audit.Event{Type: entryType, OrganizationID: organizationID, Actor: system, Data: encoded}
}
