package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"signpath/internal/service/model"
	"signpath/internal/service/store"
)

// table describes how the objects of one type are kept. The first column is
// the ID.
type table[T any] struct {
	name    string
	noun    string                     // for error texts
	columns func(*T) []column          // bound to the members of the object
	unique  map[string]func(*T) string // name of a unique index → what is taken, for error texts
	aside   bool                       // not a part of the configuration: its version stays
}

// The tables of the configuration. Their SQL definitions are the engines'
// migrations.
var (
	organizations = table[model.Organization]{
		name: "organizations",
		noun: "organization",
		columns: func(o *model.Organization) []column {
			return []column{
				{"id", text[string]{&o.ID}},
				{"name", text[string]{&o.Name}},
				{"active", flag{&o.Active}},
				{"created_ms", millis{&o.Created}},
				{"yearly_signatures", number{&o.YearlySignatures}},
				{"quota_start_ms", millis{&o.QuotaStart}},
				{"document_retention_days", number{&o.DocumentRetentionDays}},
				{"request_retention_days", number{&o.RequestRetentionDays}},
				{"max_users", number{&o.MaxUsers}},
				{"max_projects", number{&o.MaxProjects}},
				{"max_certificates", number{&o.MaxCertificates}},
			}
		},
	}

	users = table[model.User]{
		name: "users",
		noun: "user",
		columns: func(u *model.User) []column {
			return []column{
				{"id", text[string]{&u.ID}},
				{"organization_id", text[string]{&u.OrganizationID}},
				{"kind", text[model.UserKind]{&u.Kind}},
				{"name", text[string]{&u.Name}},
				{"email", text[string]{&u.Email}},
				{"roles", textList[model.Role]{&u.Roles}},
				{"synchronized", flag{&u.Synchronized}},
				{"active", flag{&u.Active}},
				{"created_ms", millis{&u.Created}},
				{"invitation_hash", blob{&u.InvitationHash}},
				{"invitation_expires_ms", millis{&u.InvitationExpires}},
			}
		},
	}

	userGroups = table[model.UserGroup]{
		name: "user_groups",
		noun: "user group",
		columns: func(g *model.UserGroup) []column {
			return []column{
				{"id", text[string]{&g.ID}},
				{"organization_id", text[string]{&g.OrganizationID}},
				{"name", text[string]{&g.Name}},
				{"members", textList[string]{&g.Members}},
				{"synchronized", flag{&g.Synchronized}},
				{"created_ms", millis{&g.Created}},
			}
		},
	}

	tokens = table[model.Token]{
		name: "tokens",
		noun: "API token",
		columns: func(t *model.Token) []column {
			return []column{
				{"id", text[string]{&t.ID}},
				{"organization_id", text[string]{&t.OrganizationID}},
				{"user_id", text[string]{&t.UserID}},
				{"name", text[string]{&t.Name}},
				{"hash", hash32{&t.Hash}},
				{"active", flag{&t.Active}},
				{"created_ms", millis{&t.Created}},
				{"expires_ms", millis{&t.Expires}},
				{"addresses", textList[string]{&t.Addresses}},
			}
		},
		unique: map[string]func(*model.Token) string{
			"tokens_hash": func(*model.Token) string { return "an API token of the same value" },
		},
	}

	projects = table[model.Project]{
		name: "projects",
		noun: "project",
		columns: func(p *model.Project) []column {
			return []column{
				{"id", text[string]{&p.ID}},
				{"organization_id", text[string]{&p.OrganizationID}},
				{"slug", text[string]{&p.Slug}},
				{"name", text[string]{&p.Name}},
				{"description", text[string]{&p.Description}},
				{"repository_url", text[string]{&p.RepositoryURL}},
				{"readers", textList[string]{&p.Readers}},
				{"configurators", textList[string]{&p.Configurators}},
				{"active", flag{&p.Active}},
				{"created_ms", millis{&p.Created}},
			}
		},
		unique: map[string]func(*model.Project) string{
			"projects_slug": func(p *model.Project) string {
				return fmt.Sprintf("a project with the slug %q", p.Slug)
			},
		},
	}

	artifactConfigurations = table[model.ArtifactConfiguration]{
		name: "artifact_configurations",
		noun: "artifact configuration",
		columns: func(a *model.ArtifactConfiguration) []column {
			return []column{
				{"id", text[string]{&a.ID}},
				{"organization_id", text[string]{&a.OrganizationID}},
				{"project_id", text[string]{&a.ProjectID}},
				{"slug", text[string]{&a.Slug}},
				{"name", text[string]{&a.Name}},
				{"type", text[string]{&a.Type}},
				{"is_default", flag{&a.Default}},
				{"active", flag{&a.Active}},
				{"created_ms", millis{&a.Created}},
			}
		},
		unique: map[string]func(*model.ArtifactConfiguration) string{
			"artifact_configurations_slug": func(a *model.ArtifactConfiguration) string {
				return fmt.Sprintf("an artifact configuration with the slug %q in the project", a.Slug)
			},
		},
	}

	signingPolicies = table[model.SigningPolicy]{
		name: "signing_policies",
		noun: "signing policy",
		columns: func(p *model.SigningPolicy) []column {
			return []column{
				{"id", text[string]{&p.ID}},
				{"organization_id", text[string]{&p.OrganizationID}},
				{"project_id", text[string]{&p.ProjectID}},
				{"slug", text[string]{&p.Slug}},
				{"name", text[string]{&p.Name}},
				{"certificate_id", reference{&p.CertificateID}},
				{"submitters", textList[string]{&p.Submitters}},
				{"approvers", textList[string]{&p.Approvers}},
				{"required_approvals", number{&p.RequiredApprovals}},
				{"requires_trusted_build_system", flag{&p.RequiresTrustedBuildSystem}},
				{"hashes", hashNames{&p.Hashes}},
				{"active", flag{&p.Active}},
				{"created_ms", millis{&p.Created}},
			}
		},
		unique: map[string]func(*model.SigningPolicy) string{
			"signing_policies_slug": func(p *model.SigningPolicy) string {
				return fmt.Sprintf("a signing policy with the slug %q in the project", p.Slug)
			},
		},
	}

	certificates = table[model.Certificate]{
		name: "certificates",
		noun: "certificate",
		columns: func(c *model.Certificate) []column {
			return []column{
				{"id", text[string]{&c.ID}},
				{"organization_id", text[string]{&c.OrganizationID}},
				{"slug", text[string]{&c.Slug}},
				{"name", text[string]{&c.Name}},
				{"type", textOf(&c.Type)},
				{"creation_method", textOf(&c.Creation)},
				{"key_id", reference{&c.KeyID}},
				{"csr", blob{&c.CSR}},
				{"leaf", blob{&c.Leaf}},
				{"chain", list[[]byte]{&c.Chain}},
				{"openpgp", blob{&c.OpenPGP}},
				{"not_before_ms", millis{&c.NotBefore}},
				{"not_after_ms", millis{&c.NotAfter}},
				{"active", flag{&c.Active}},
				{"created_ms", millis{&c.Created}},
				{"requires_approval", flag{&c.RequiresApproval}},
			}
		},
		unique: map[string]func(*model.Certificate) string{
			"certificates_slug": func(c *model.Certificate) string {
				return fmt.Sprintf("a certificate with the slug %q", c.Slug)
			},
		},
	}

	trustedBuildSystems = table[model.TrustedBuildSystem]{
		name: "trusted_build_systems",
		noun: "trusted build system",
		columns: func(b *model.TrustedBuildSystem) []column {
			return []column{
				{"id", text[string]{&b.ID}},
				{"organization_id", text[string]{&b.OrganizationID}},
				{"name", text[string]{&b.Name}},
				{"projects", textList[string]{&b.Projects}},
				{"token_hash", hash32{&b.TokenHash}},
				{"active", flag{&b.Active}},
				{"created_ms", millis{&b.Created}},
			}
		},
		unique: map[string]func(*model.TrustedBuildSystem) string{
			"trusted_build_systems_token": func(*model.TrustedBuildSystem) string { return "a trusted build system token of the same value" },
		},
	}

	// The sealed private part is a further column that only PutKey writes and
	// only SealedKey reads.
	keys = table[model.Key]{
		name: "keys",
		noun: "key",
		columns: func(k *model.Key) []column {
			return []column{
				{"id", text[string]{&k.ID}},
				{"organization_id", text[string]{&k.OrganizationID}},
				{"version", number{&k.Version}},
				{"type", textOf(&k.Type)},
				{"bits", number{&k.Bits}},
				{"public", blob{&k.Public}},
				{"backend", text[string]{&k.Backend}},
				{"deleted", flag{&k.Deleted}},
				{"created_ms", millis{&k.Created}},
			}
		},
	}
)

func textOf[S ~string](p *S) field { return text[S]{p} }

// load reads all objects of a table, in the order in which they were created.
func load[T any](ctx context.Context, tx *sql.Tx, t table[T]) ([]T, error) {
	var names []string
	for _, c := range t.columns(new(T)) {
		names = append(names, c.name)
	}
	rows, err := tx.QueryContext(ctx, "SELECT "+strings.Join(names, ", ")+" FROM "+t.name+
		" ORDER BY COALESCE(created_ms, 0), id")
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", t.name, err)
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		var object T
		if err := rows.Scan(targets(t.columns(&object))...); err != nil {
			return nil, fmt.Errorf("reading %s: %w", t.name, err)
		}
		all = append(all, object)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading %s: %w", t.name, err)
	}
	return all, nil
}

// put inserts an object or replaces the one with the same ID. An object never
// moves to another organization: an ID taken there is a duplicate.
func put[T any](t *tx, tbl table[T], object *T, more ...column) error {
	return t.do(func() error {
		columns := append(tbl.columns(object), more...)
		names := make([]string, len(columns))
		values := make([]any, len(columns))
		updates := make([]string, 0, len(columns))
		guard := ""
		for i, c := range columns {
			v, err := c.Value()
			if err != nil {
				return fmt.Errorf("the %s's %s cannot be stored: %w", tbl.noun, c.name, err)
			}
			names[i], values[i] = c.name, v
			switch c.name {
			case "id":
				if v == "" {
					return fmt.Errorf("the %s has no ID", tbl.noun)
				}
			case "organization_id":
				guard = " WHERE " + tbl.name + ".organization_id = excluded.organization_id"
			default:
				updates = append(updates, c.name+" = excluded."+c.name)
			}
		}
		query := "INSERT INTO " + tbl.name + " (" + strings.Join(names, ", ") + ") VALUES (?" +
			strings.Repeat(", ?", len(names)-1) + ") ON CONFLICT (id) DO UPDATE SET " +
			strings.Join(updates, ", ") + guard
		result, err := t.tx.ExecContext(t.ctx, t.db.dialect.Rebind(query), values...)
		if err != nil {
			if f := t.db.dialect.Failure(err); f.Kind == Duplicate {
				what := "an equal " + tbl.noun
				if say, ok := tbl.unique[f.Constraint]; ok {
					what = say(object)
				}
				return fmt.Errorf("%s %w", what, store.ErrDuplicate)
			}
			return fmt.Errorf("storing the %s: %w", tbl.noun, err)
		}
		n, err := result.RowsAffected()
		if err != nil {
			return fmt.Errorf("storing the %s: %w", tbl.noun, err)
		}
		if n != 1 {
			return fmt.Errorf("the ID %v in another organization %w", values[0], store.ErrDuplicate)
		}
		if tbl.aside {
			t.set = true
		} else {
			t.changed = true
		}
		return nil
	})
}

// targets is what rows.Scan wants.
func targets(columns []column) []any {
	all := make([]any, len(columns))
	for i, c := range columns {
		all[i] = c.field
	}
	return all
}
