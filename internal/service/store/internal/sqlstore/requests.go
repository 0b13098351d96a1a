package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"signpath/internal/service/model"
	"signpath/internal/service/store"
)

// The tables beside the configuration.
var (
	signingRequests = table[model.SigningRequest]{
		name: "signing_requests", noun: "signing request", aside: true,
		columns: func(r *model.SigningRequest) []column {
			return append(requestColumns(r), requestContents(r)...)
		},
	}

	jobs = table[model.Job]{
		name: "jobs", noun: "job", aside: true,
		columns: func(j *model.Job) []column {
			return []column{
				{"id", text[string]{&j.ID}},
				{"kind", text[string]{&j.Kind}},
				{"organization_id", text[string]{&j.OrganizationID}},
				{"subject", text[string]{&j.Subject}},
				{"due_ms", millis{&j.Due}},
				{"attempts", number{&j.Attempts}},
				{"lease", text[string]{&j.Lease}},
				{"lease_until_ms", millis{&j.LeaseUntil}},
			}
		},
	}

	webhooks = table[model.Webhook]{
		name: "webhooks", noun: "webhook", aside: true,
		columns: func(w *model.Webhook) []column {
			return []column{
				{"id", text[string]{&w.ID}},
				{"organization_id", text[string]{&w.OrganizationID}},
				{"project_id", text[string]{&w.ProjectID}},
				{"url", text[string]{&w.URL}},
				{"sealed_authorization", blob{&w.SealedAuthorization}},
				{"notices", flag{&w.Notices}},
				{"active", flag{&w.Active}},
				{"created_ms", millis{&w.Created}},
			}
		},
	}

	webhookDeliveries = table[model.WebhookDelivery]{
		name: "webhook_deliveries", noun: "webhook message", aside: true,
		columns: func(d *model.WebhookDelivery) []column {
			return []column{
				{"id", text[string]{&d.ID}},
				{"organization_id", text[string]{&d.OrganizationID}},
				{"webhook_id", text[string]{&d.WebhookID}},
				{"signing_request_id", text[string]{&d.SigningRequestID}},
				{"status", textOf(&d.Status)},
				{"message", blob{&d.Message}},
				{"answers", list[model.WebhookAnswer]{&d.Answers}},
				{"delivered", flag{&d.Delivered}},
				{"created_ms", millis{&d.Created}},
				{"finished_ms", millis{&d.Finished}},
			}
		},
	}
)

// requestColumns are what lists of requests show; requestContents the rest.
func requestColumns(r *model.SigningRequest) []column {
	return []column{
		{"id", text[string]{&r.ID}},
		{"organization_id", text[string]{&r.OrganizationID}},
		{"project_id", text[string]{&r.ProjectID}},
		{"signing_policy_id", text[string]{&r.SigningPolicyID}},
		{"artifact_configuration_id", text[string]{&r.ArtifactConfigurationID}},
		{"submitter_id", text[string]{&r.SubmitterID}},
		{"token_id", text[string]{&r.TokenID}},
		{"description", text[string]{&r.Description}},
		{"workflow", textOf(&r.Workflow)},
		{"artifact_name", text[string]{&r.ArtifactName}},
		{"artifact_sha256", text[string]{&r.ArtifactSHA256}},
		{"key_version", number{&r.KeyVersion}},
		{"original_id", reference{&r.OriginalID}},
		{"trusted_build_system_id", reference{&r.TrustedBuildSystemID}},
		{"parameters", list[model.RequestParameter]{&r.Parameters}},
		{"origin", rawJSON{&r.Origin}},
		{"approvals", list[model.RequestApproval]{&r.Approvals}},
		{"reason", text[string]{&r.Reason}},
		{"ended_by", text[string]{&r.EndedBy}},
		{"ip", text[string]{&r.IP}},
		{"user_agent", text[string]{&r.UserAgent}},
		{"trace_id", text[string]{&r.TraceID}},
		{"created_ms", millis{&r.Created}},
		{"changed_ms", millis{&r.Changed}},
		{"finished_ms", millis{&r.Finished}},
		{"deadline_ms", millis{&r.Deadline}},
		{"documents_removed_ms", millis{&r.DocumentsRemoved}},
	}
}

func requestContents(r *model.SigningRequest) []column {
	return []column{
		{"artifact", blob{&r.Artifact}},
		{"result", blob{&r.Result}},
		{"build_settings", blob{&r.BuildSettings}},
		{"certificate", blob{&r.Certificate}},
	}
}

// rawJSON is a JSON text as it came, byte for byte; nil is NULL.
type rawJSON struct{ p *json.RawMessage }

func (f rawJSON) Value() (driver.Value, error) { return blob{(*[]byte)(f.p)}.Value() }

func (f rawJSON) Scan(src any) error { return blob{(*[]byte)(f.p)}.Scan(src) }

// querier is a pool or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, values ...any) (*sql.Rows, error)
}

// query gives the objects that a statement finds. columns says which of an
// object's columns are read; the statement begins after FROM table.
func query[T any](ctx context.Context, d Dialect, from querier, name string, columns func(*T) []column, rest string, values ...any) ([]T, error) {
	var names []string
	for _, c := range columns(new(T)) {
		names = append(names, c.name)
	}
	rows, err := from.QueryContext(ctx, d.Rebind("SELECT "+strings.Join(names, ", ")+" FROM "+name+" "+rest), values...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		var object T
		if err := rows.Scan(targets(columns(&object))...); err != nil {
			return nil, err
		}
		all = append(all, object)
	}
	return all, rows.Err()
}

// signingRequest reads with a pool or a transaction; nil when there is none.
func (db *DB) signingRequest(ctx context.Context, from querier, organizationID, id string) (*model.SigningRequest, error) {
	all, err := query(ctx, db.dialect, from, signingRequests.name, signingRequests.columns, "WHERE organization_id = ? AND id = ?", organizationID, id)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return &all[0], nil
}

// SigningRequest is one request.
func (db *DB) SigningRequest(ctx context.Context, organizationID, id string) (*model.SigningRequest, error) {
	r, err := db.signingRequest(ctx, db.reader, organizationID, id)
	switch {
	case err != nil:
		return nil, db.failed(ctx, "the signing request cannot be read", err)
	case r == nil:
		return nil, fmt.Errorf("the signing request %q: %w", id, store.ErrNotFound)
	}
	return r, nil
}

// SigningRequests lists requests, newest first.
func (db *DB) SigningRequests(ctx context.Context, f store.RequestFilter) ([]model.SigningRequest, error) {
	if f.Limit <= 0 || f.OrganizationID == "" {
		return nil, errors.New("a list of signing requests needs an organization and a limit above 0")
	}
	where, values := []string{"organization_id = ?"}, []any{f.OrganizationID}
	add := func(set bool, condition string, more ...any) {
		if set {
			where, values = append(where, condition), append(values, more...)
		}
	}
	add(f.ProjectID != "", "project_id = ?", f.ProjectID)
	add(f.SigningPolicyID != "", "signing_policy_id = ?", f.SigningPolicyID)
	add(f.SubmitterID != "", "submitter_id = ?", f.SubmitterID)
	if len(f.Workflows) > 0 {
		marks := make([]string, len(f.Workflows))
		for i, w := range f.Workflows {
			marks[i] = "?"
			values = append(values, string(w))
		}
		where = append(where, "workflow IN ("+strings.Join(marks, ", ")+")")
	}
	add(!f.From.IsZero(), "created_ms >= ?", f.From.UnixMilli())
	add(!f.To.IsZero(), "created_ms < ?", f.To.UnixMilli())
	before := f.Before.UnixMilli()
	add(!f.Before.IsZero(), "created_ms <= ? AND (created_ms < ? OR id < ?)", before, before, f.BeforeID)
	all, err := query(ctx, db.dialect, db.reader, signingRequests.name, requestColumns,
		"WHERE "+strings.Join(where, " AND ")+" ORDER BY organization_id DESC, created_ms DESC, id DESC LIMIT ?", append(values, f.Limit)...)
	if err != nil {
		return nil, db.failed(ctx, "the signing requests cannot be read", err)
	}
	return all, nil
}

// kindsIn is a condition on the column kind, with its values.
func kindsIn(kinds []string) (string, []any) {
	values := make([]any, len(kinds))
	for i, k := range kinds {
		values[i] = k
	}
	return "kind IN (" + strings.TrimSuffix(strings.Repeat("?, ", len(kinds)), ", ") + ")", values
}

// NextJob is when the next job can be taken up.
func (db *DB) NextJob(ctx context.Context, kinds []string) (time.Time, error) {
	if len(kinds) == 0 {
		return time.Time{}, nil
	}
	in, values := kindsIn(kinds)
	var next time.Time
	err := db.reader.QueryRowContext(ctx, db.dialect.Rebind("SELECT MIN(CASE WHEN lease = '' THEN due_ms ELSE lease_until_ms END) FROM jobs WHERE "+in), values...).Scan(millis{&next})
	if err != nil {
		return time.Time{}, db.failed(ctx, "the jobs cannot be read", err)
	}
	return next, nil
}

func (db *DB) webhooks(ctx context.Context, from querier, organizationID, projectID string) ([]model.Webhook, error) {
	where, values := "WHERE organization_id = ?", []any{organizationID}
	if projectID != "" {
		where, values = where+" AND project_id = ?", append(values, projectID)
	}
	return query(ctx, db.dialect, from, webhooks.name, webhooks.columns, where+" ORDER BY COALESCE(created_ms, 0), id", values...)
}

// Webhooks lists webhooks.
func (db *DB) Webhooks(ctx context.Context, organizationID, projectID string) ([]model.Webhook, error) {
	all, err := db.webhooks(ctx, db.reader, organizationID, projectID)
	if err != nil {
		return nil, db.failed(ctx, "the webhooks cannot be read", err)
	}
	return all, nil
}

// WebhookDelivery is one message.
func (db *DB) WebhookDelivery(ctx context.Context, id string) (*model.WebhookDelivery, error) {
	all, err := query(ctx, db.dialect, db.reader, webhookDeliveries.name, webhookDeliveries.columns, "WHERE id = ?", id)
	switch {
	case err != nil:
		return nil, db.failed(ctx, "the webhook message cannot be read", err)
	case len(all) == 0:
		return nil, fmt.Errorf("the webhook message %q: %w", id, store.ErrNotFound)
	}
	return &all[0], nil
}

// WebhookDeliveries lists the messages of a webhook, newest first.
func (db *DB) WebhookDeliveries(ctx context.Context, f store.DeliveryFilter) ([]model.WebhookDelivery, error) {
	where, values := "WHERE organization_id = ? AND webhook_id = ?", []any{f.OrganizationID, f.WebhookID}
	if !f.Before.IsZero() {
		before := f.Before.UnixMilli()
		where, values = where+" AND created_ms <= ? AND (created_ms < ? OR id < ?)", append(values, before, before, f.BeforeID)
	}
	all, err := query(ctx, db.dialect, db.reader, webhookDeliveries.name, webhookDeliveries.columns,
		where+" ORDER BY created_ms DESC, id DESC LIMIT ?", append(values, f.Limit)...)
	if err != nil {
		return nil, db.failed(ctx, "the webhook messages cannot be read", err)
	}
	return all, nil
}

// CountAudit counts audit rows up to the present end of the log.
func (db *DB) CountAudit(ctx context.Context, after uint64, f store.AuditFilter) (count, upTo uint64, err error) {
	where, values := auditConditions(after, f)
	err = db.snapshot(ctx, func(tx *sql.Tx) error {
		if err := tx.QueryRowContext(ctx, "SELECT audit_size FROM head").Scan(&upTo); err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, db.dialect.Rebind("SELECT count(*) FROM audit_log WHERE "+strings.Join(where, " AND ")+" AND seq <= ?"),
			append(values, int64(upTo))...).Scan(&count)
	})
	if err != nil {
		return 0, 0, db.failed(ctx, "the audit log cannot be counted", err)
	}
	return count, upTo, nil
}

func (t *tx) SigningRequest(organizationID, id string) (r *model.SigningRequest, err error) {
	err = t.do(func() error {
		r, err = t.db.signingRequest(t.ctx, t.tx, organizationID, id)
		return err
	})
	if err == nil && r == nil {
		return nil, fmt.Errorf("the signing request %q: %w", id, store.ErrNotFound) // the transaction can go on
	}
	return r, err
}

func (t *tx) PutSigningRequest(r model.SigningRequest) error { return put(t, signingRequests, &r) }
func (t *tx) PutJob(j model.Job) error                       { return put(t, jobs, &j) }
func (t *tx) PutWebhook(w model.Webhook) error               { return put(t, webhooks, &w) }
func (t *tx) PutWebhookDelivery(d model.WebhookDelivery) error {
	return put(t, webhookDeliveries, &d)
}

func (t *tx) ClaimJobs(kinds []string, lease string, now, until time.Time, limit int) (claimed []model.Job, err error) {
	if len(kinds) == 0 || lease == "" {
		return nil, t.do(func() error { return errors.New("jobs are claimed by kind and with a lease") })
	}
	err = t.do(func() error {
		in, values := kindsIn(kinds)
		values = append(values, now.UnixMilli(), now.UnixMilli(), limit)
		all, err := query(t.ctx, t.db.dialect, t.tx, jobs.name, jobs.columns,
			"WHERE "+in+" AND due_ms <= ? AND (lease = '' OR lease_until_ms <= ?) ORDER BY due_ms, id LIMIT ?", values...)
		claimed = all
		return err
	})
	for i := range claimed {
		j := &claimed[i]
		j.Lease, j.LeaseUntil, j.Attempts = lease, until, j.Attempts+1
		if err := t.PutJob(*j); err != nil {
			return nil, err
		}
	}
	return claimed, err
}

// exec runs a statement beside the configuration and tells how many rows it met.
func (t *tx) exec(query string, values ...any) (n int64, err error) {
	err = t.do(func() error {
		result, err := t.tx.ExecContext(t.ctx, t.db.dialect.Rebind(query), values...)
		if err != nil {
			return err
		}
		n, err = result.RowsAffected()
		t.set = t.set || n > 0
		return err
	})
	return n, err
}

func (t *tx) DeleteJob(id, lease string) error {
	n, err := t.exec("DELETE FROM jobs WHERE id = ? AND lease = ?", id, lease)
	if err == nil && n == 0 {
		return fmt.Errorf("the job %q with this lease: %w", id, store.ErrNotFound)
	}
	return err
}

func (t *tx) DeleteJobsOf(kind, subject string) error {
	_, err := t.exec("DELETE FROM jobs WHERE kind = ? AND subject = ?", kind, subject)
	return err
}

func (t *tx) ReleaseJobs(kinds []string) error {
	if len(kinds) == 0 {
		return nil
	}
	in, values := kindsIn(kinds)
	_, err := t.exec("UPDATE jobs SET lease = '', lease_until_ms = NULL WHERE lease <> '' AND "+in, values...)
	return err
}

func (t *tx) Webhooks(organizationID, projectID string) (all []model.Webhook, err error) {
	err = t.do(func() error {
		all, err = t.db.webhooks(t.ctx, t.tx, organizationID, projectID)
		return err
	})
	return all, err
}

func (t *tx) DeleteWebhook(organizationID, id string) error {
	n, err := t.exec("DELETE FROM webhooks WHERE organization_id = ? AND id = ?", organizationID, id)
	if err == nil && n == 0 {
		return fmt.Errorf("the webhook %q: %w", id, store.ErrNotFound)
	}
	return err
}
