-- One row: what every write transaction reads first and writes last.
CREATE TABLE head (
    id             INTEGER PRIMARY KEY CHECK (id = 1),
    config_version INTEGER NOT NULL,
    audit_size     INTEGER NOT NULL,
    audit_hash     BLOB NOT NULL CHECK (length(audit_hash) = 32),
    audit_frontier BLOB NOT NULL CHECK (length(audit_frontier) % 32 = 0)
) STRICT;
INSERT INTO head VALUES (1, 0, 0, zeroblob(32), x'');

CREATE TABLE schema_version (
    version    INTEGER PRIMARY KEY,
    applied_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT;

-- References name the organization too, so that none can cross to another one.
-- They are checked at the commit: within a transaction any order will do.
CREATE TABLE organizations (
    id         TEXT PRIMARY KEY CHECK (id <> ''),
    name       TEXT NOT NULL,
    active     INTEGER NOT NULL,
    created_ms INTEGER,
    yearly_signatures INTEGER NOT NULL,
    quota_start_ms    INTEGER
) STRICT;

CREATE TABLE users (
    id              TEXT PRIMARY KEY CHECK (id <> ''),
    organization_id TEXT NOT NULL REFERENCES organizations (id) DEFERRABLE INITIALLY DEFERRED,
    kind            TEXT NOT NULL,
    name            TEXT NOT NULL,
    email           TEXT NOT NULL,
    roles           TEXT,
    synchronized    INTEGER NOT NULL,
    active          INTEGER NOT NULL,
    created_ms      INTEGER,
    UNIQUE (organization_id, id)
) STRICT;

CREATE TABLE user_groups (
    id              TEXT PRIMARY KEY CHECK (id <> ''),
    organization_id TEXT NOT NULL REFERENCES organizations (id) DEFERRABLE INITIALLY DEFERRED,
    name            TEXT NOT NULL,
    members         TEXT,
    synchronized    INTEGER NOT NULL,
    created_ms      INTEGER
) STRICT;

CREATE TABLE tokens (
    id              TEXT PRIMARY KEY CHECK (id <> ''),
    organization_id TEXT NOT NULL REFERENCES organizations (id) DEFERRABLE INITIALLY DEFERRED,
    user_id         TEXT NOT NULL,
    name            TEXT NOT NULL,
    hash            BLOB NOT NULL CHECK (length(hash) = 32),
    active          INTEGER NOT NULL,
    created_ms      INTEGER,
    expires_ms      INTEGER,
    addresses       TEXT,
    FOREIGN KEY (organization_id, user_id) REFERENCES users (organization_id, id) DEFERRABLE INITIALLY DEFERRED
) STRICT;
CREATE UNIQUE INDEX tokens_hash ON tokens (hash);

-- Apart from tokens, because a use is no change of the configuration.
CREATE TABLE token_uses (
    token_id TEXT PRIMARY KEY REFERENCES tokens (id) DEFERRABLE INITIALLY DEFERRED,
    used_ms  INTEGER NOT NULL
) STRICT;

CREATE TABLE projects (
    id              TEXT PRIMARY KEY CHECK (id <> ''),
    organization_id TEXT NOT NULL REFERENCES organizations (id) DEFERRABLE INITIALLY DEFERRED,
    slug            TEXT NOT NULL,
    name            TEXT NOT NULL,
    description     TEXT NOT NULL,
    repository_url  TEXT NOT NULL,
    readers         TEXT,
    configurators   TEXT,
    active          INTEGER NOT NULL,
    created_ms      INTEGER,
    UNIQUE (organization_id, id)
) STRICT;
CREATE UNIQUE INDEX projects_slug ON projects (organization_id, lower(slug));

CREATE TABLE artifact_configurations (
    id              TEXT PRIMARY KEY CHECK (id <> ''),
    organization_id TEXT NOT NULL REFERENCES organizations (id) DEFERRABLE INITIALLY DEFERRED,
    project_id      TEXT NOT NULL,
    slug            TEXT NOT NULL,
    name            TEXT NOT NULL,
    type            TEXT NOT NULL,
    is_default      INTEGER NOT NULL,
    active          INTEGER NOT NULL,
    created_ms      INTEGER,
    FOREIGN KEY (organization_id, project_id) REFERENCES projects (organization_id, id) DEFERRABLE INITIALLY DEFERRED
) STRICT;
CREATE UNIQUE INDEX artifact_configurations_slug ON artifact_configurations (project_id, lower(slug));

-- sealed is the encrypted private part; NULL when it was deleted or lives elsewhere.
CREATE TABLE keys (
    id              TEXT PRIMARY KEY CHECK (id <> ''),
    organization_id TEXT NOT NULL REFERENCES organizations (id) DEFERRABLE INITIALLY DEFERRED,
    version         INTEGER NOT NULL,
    type            TEXT NOT NULL,
    bits            INTEGER NOT NULL,
    public          BLOB,
    backend         TEXT NOT NULL,
    deleted         INTEGER NOT NULL,
    created_ms      INTEGER,
    sealed          BLOB,
    UNIQUE (organization_id, id),
    CHECK (deleted = 0 OR sealed IS NULL)
) STRICT;

CREATE TABLE certificates (
    id              TEXT PRIMARY KEY CHECK (id <> ''),
    organization_id TEXT NOT NULL REFERENCES organizations (id) DEFERRABLE INITIALLY DEFERRED,
    slug            TEXT NOT NULL,
    name            TEXT NOT NULL,
    type            TEXT NOT NULL,
    creation_method TEXT NOT NULL,
    key_id          TEXT,
    csr             BLOB,
    leaf            BLOB,
    chain           TEXT,
    openpgp         BLOB,
    not_before_ms   INTEGER,
    not_after_ms    INTEGER,
    active          INTEGER NOT NULL,
    created_ms      INTEGER,
    UNIQUE (organization_id, id),
    FOREIGN KEY (organization_id, key_id) REFERENCES keys (organization_id, id) DEFERRABLE INITIALLY DEFERRED
) STRICT;
CREATE UNIQUE INDEX certificates_slug ON certificates (organization_id, lower(slug));

CREATE TABLE signing_policies (
    id                            TEXT PRIMARY KEY CHECK (id <> ''),
    organization_id               TEXT NOT NULL REFERENCES organizations (id) DEFERRABLE INITIALLY DEFERRED,
    project_id                    TEXT NOT NULL,
    slug                          TEXT NOT NULL,
    name                          TEXT NOT NULL,
    certificate_id                TEXT,
    submitters                    TEXT,
    approvers                     TEXT,
    required_approvals            INTEGER NOT NULL,
    requires_trusted_build_system INTEGER NOT NULL,
    hashes                        TEXT,
    active                        INTEGER NOT NULL,
    created_ms                    INTEGER,
    FOREIGN KEY (organization_id, project_id) REFERENCES projects (organization_id, id) DEFERRABLE INITIALLY DEFERRED,
    FOREIGN KEY (organization_id, certificate_id) REFERENCES certificates (organization_id, id) DEFERRABLE INITIALLY DEFERRED
) STRICT;
CREATE UNIQUE INDEX signing_policies_slug ON signing_policies (project_id, lower(slug));

-- Asynchronous signing requests. Those that a request names are not deleted.
CREATE TABLE signing_requests (
    id                        TEXT PRIMARY KEY CHECK (id <> ''),
    organization_id           TEXT NOT NULL REFERENCES organizations (id) DEFERRABLE INITIALLY DEFERRED,
    project_id                TEXT NOT NULL,
    signing_policy_id         TEXT NOT NULL,
    artifact_configuration_id TEXT NOT NULL,
    submitter_id              TEXT NOT NULL,
    token_id                  TEXT NOT NULL,
    description               TEXT NOT NULL,
    workflow                  TEXT NOT NULL,
    artifact_name             TEXT NOT NULL,
    artifact_sha256           TEXT NOT NULL,
    artifact                  BLOB,
    result                    BLOB,
    key_version               INTEGER NOT NULL,
    original_id               TEXT,
    parameters                TEXT,
    origin                    BLOB,
    build_settings            BLOB,
    approvals                 TEXT,
    reason                    TEXT NOT NULL,
    ended_by                  TEXT NOT NULL,
    ip                        TEXT NOT NULL,
    user_agent                TEXT NOT NULL,
    trace_id                  TEXT NOT NULL,
    created_ms                INTEGER NOT NULL,
    changed_ms                INTEGER,
    finished_ms               INTEGER,
    deadline_ms               INTEGER,
    FOREIGN KEY (organization_id, project_id) REFERENCES projects (organization_id, id) DEFERRABLE INITIALLY DEFERRED,
    FOREIGN KEY (organization_id, submitter_id) REFERENCES users (organization_id, id) DEFERRABLE INITIALLY DEFERRED
) STRICT;
CREATE INDEX signing_requests_created ON signing_requests (organization_id, created_ms, id);

-- Work that outlives a restart.
CREATE TABLE jobs (
    id              TEXT PRIMARY KEY CHECK (id <> ''),
    kind            TEXT NOT NULL,
    organization_id TEXT NOT NULL REFERENCES organizations (id) DEFERRABLE INITIALLY DEFERRED,
    subject         TEXT NOT NULL,
    due_ms          INTEGER NOT NULL,
    attempts        INTEGER NOT NULL,
    lease           TEXT NOT NULL,
    lease_until_ms  INTEGER
) STRICT;
CREATE INDEX jobs_due ON jobs (kind, due_ms);
CREATE INDEX jobs_subject ON jobs (subject);

CREATE TABLE webhooks (
    id                   TEXT PRIMARY KEY CHECK (id <> ''),
    organization_id      TEXT NOT NULL REFERENCES organizations (id) DEFERRABLE INITIALLY DEFERRED,
    project_id           TEXT NOT NULL,
    url                  TEXT NOT NULL,
    sealed_authorization BLOB,
    active               INTEGER NOT NULL,
    created_ms           INTEGER,
    UNIQUE (organization_id, id),
    FOREIGN KEY (organization_id, project_id) REFERENCES projects (organization_id, id) DEFERRABLE INITIALLY DEFERRED
) STRICT;

CREATE TABLE webhook_deliveries (
    id                 TEXT PRIMARY KEY CHECK (id <> ''),
    organization_id    TEXT NOT NULL REFERENCES organizations (id) DEFERRABLE INITIALLY DEFERRED,
    webhook_id         TEXT NOT NULL,
    signing_request_id TEXT NOT NULL,
    status             TEXT NOT NULL,
    answers            TEXT,
    delivered          INTEGER NOT NULL,
    created_ms         INTEGER NOT NULL,
    finished_ms        INTEGER,
    FOREIGN KEY (organization_id, webhook_id) REFERENCES webhooks (organization_id, id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED
) STRICT;
CREATE INDEX webhook_deliveries_created ON webhook_deliveries (webhook_id, created_ms, id);

-- The audit log. Rows are final.
CREATE TABLE audit_log (
    seq             INTEGER PRIMARY KEY CHECK (seq > 0),
    leaf            BLOB NOT NULL,
    organization_id TEXT NOT NULL,
    type            TEXT NOT NULL,
    time_ms         INTEGER NOT NULL,
    opens           INTEGER NOT NULL,
    closes          INTEGER,
    -- What entries are searched by; NULL: nothing of that kind.
    actor_id        TEXT,
    policy_id       TEXT,
    key_id          TEXT,
    digest          BLOB
) STRICT;
CREATE INDEX audit_log_organization ON audit_log (organization_id, seq);
CREATE INDEX audit_log_type ON audit_log (organization_id, type, seq);
CREATE INDEX audit_log_policy ON audit_log (policy_id, organization_id, seq) WHERE policy_id IS NOT NULL;
CREATE INDEX audit_log_key ON audit_log (key_id, organization_id, seq) WHERE key_id IS NOT NULL;
CREATE INDEX audit_log_digest ON audit_log (digest, organization_id, seq) WHERE digest IS NOT NULL;

CREATE TRIGGER audit_log_no_update BEFORE UPDATE ON audit_log
BEGIN SELECT RAISE(ABORT, 'entries of the audit log cannot be changed'); END;
CREATE TRIGGER audit_log_no_delete BEFORE DELETE ON audit_log
BEGIN SELECT RAISE(ABORT, 'entries of the audit log cannot be deleted'); END;

-- Intents that wait for their outcome: few, however long the log is.
CREATE TABLE audit_open (
    seq INTEGER PRIMARY KEY
) STRICT;
