package sqlite

import (
	"io/fs"
	"path/filepath"
	"slices"
	"testing"

	"signpath/internal/service/model"
	"signpath/internal/service/store/internal/sqlstore"
)

// A database of the first version of the schema is brought up: what was in it
// stays, and what is new has its default.
func TestUpgradeFromFirst(t *testing.T) {
	writer, reader, err := openPools(filepath.Join(t.TempDir(), "x.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	defer writer.Close()
	first, err := migrations.ReadFile("migrations/0001_first.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		string(first), "INSERT INTO schema_version VALUES (1, 0)",
		"INSERT INTO organizations VALUES ('o', 'Old', 1, 5, 7, 9)",
		"INSERT INTO users VALUES ('u', 'o', 'CiUser', 'build', '', NULL, 0, 1, 6)",
		"INSERT INTO projects VALUES ('p', 'o', 'app', 'App', '', '', NULL, NULL, 1, 7)",
		"INSERT INTO signing_requests (id, organization_id, project_id, signing_policy_id, artifact_configuration_id, submitter_id, token_id, description, workflow, artifact_name, artifact_sha256, artifact, key_version, reason, ended_by, ip, user_agent, trace_id, created_ms, finished_ms) " +
			"VALUES ('r', 'o', 'p', '', '', 'u', '', '', 'Completed', '', '', x'00', 1, '', '', '', '', '', 8, 9)",
		"INSERT INTO webhooks VALUES ('w', 'o', 'p', 'https://example.test', NULL, 1, 8)",
	} {
		if _, err := writer.Exec(statement); err != nil {
			t.Fatalf("%s: %v", statement[:min(len(statement), 60)], err)
		}
	}
	steps, err := fs.Sub(migrations, "migrations")
	if err != nil {
		t.Fatal(err)
	}
	if err := sqlstore.Migrate(t.Context(), dialect{}, writer, "x.db", steps); err != nil {
		t.Fatal(err)
	}
	db := sqlstore.New(dialect{}, writer, reader, nil)
	cfg, err := db.Config(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	o := cfg.Organizations[0]
	if o.Name != "Old" || o.YearlySignatures != 7 || o.DocumentRetentionDays != model.DefaultDocumentRetentionDays || o.RequestRetentionDays != 0 || o.MaxUsers != 0 {
		t.Errorf("%+v", o)
	}
	if u := cfg.Users[0]; u.Name != "build" || u.InvitationHash != nil || !u.InvitationExpires.IsZero() {
		t.Errorf("%+v", u)
	}
	r, err := db.SigningRequest(t.Context(), "o", "r")
	if err != nil || len(r.Artifact) != 1 || !r.DocumentsRemoved.IsZero() || r.Certificate != nil {
		t.Errorf("%+v %v", r, err)
	}
	if hooks, err := db.Webhooks(t.Context(), "o", ""); err != nil || len(hooks) != 1 || hooks[0].Notices {
		t.Errorf("%+v %v", hooks, err)
	}
}

// A table that nobody added to the list would be missing in every backup.
func TestEveryTableIsDumped(t *testing.T) {
	writer, reader, err := openPools(filepath.Join(t.TempDir(), "x.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	defer writer.Close()
	if err := migrate(t.Context(), writer, "x"); err != nil {
		t.Fatal(err)
	}
	rows, err := writer.Query("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name <> 'schema_version' ORDER BY name")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var there []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		there = append(there, name)
	}
	listed := slices.Sorted(slices.Values(sqlstore.Tables))
	if !slices.Equal(there, listed) || rows.Err() != nil {
		t.Errorf("the database has %v, the list %v", there, listed)
	}
}
