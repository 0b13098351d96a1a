-- Texts compare byte by byte (collation "C"), whatever the database's language,
-- so that lower() and the order of IDs are the same everywhere.

-- One row: what every write transaction locks first and writes last. Pages are
-- left mostly empty so that its many versions stay on one.
CREATE TABLE head (
    id             bigint PRIMARY KEY CHECK (id = 1),
    config_version bigint NOT NULL,
    audit_size     bigint NOT NULL,
    audit_hash     bytea NOT NULL CHECK (length(audit_hash) = 32),
    audit_frontier bytea NOT NULL CHECK (length(audit_frontier) % 32 = 0)
) WITH (fillfactor = 10);
INSERT INTO head VALUES (1, 0, 0, decode(repeat('00', 32), 'hex'), '');

CREATE TABLE schema_version (
    version    bigint PRIMARY KEY,
    applied_ms bigint NOT NULL
);

CREATE TABLE settings (
    name  text COLLATE "C" PRIMARY KEY,
    value bytea NOT NULL
);

-- References name the organization too, so that none can cross to another one.
-- They are checked at the commit: within a transaction any order will do.
CREATE TABLE organizations (
    id         text COLLATE "C" PRIMARY KEY CHECK (id <> ''),
    name       text COLLATE "C" NOT NULL,
    active     boolean NOT NULL,
    created_ms bigint,
    yearly_signatures bigint NOT NULL,
    quota_start_ms    bigint
);

CREATE TABLE users (
    id              text COLLATE "C" PRIMARY KEY CHECK (id <> ''),
    organization_id text COLLATE "C" NOT NULL REFERENCES organizations (id) DEFERRABLE INITIALLY DEFERRED,
    kind            text COLLATE "C" NOT NULL,
    name            text COLLATE "C" NOT NULL,
    email           text COLLATE "C" NOT NULL,
    roles           text COLLATE "C",
    synchronized    boolean NOT NULL,
    active          boolean NOT NULL,
    created_ms      bigint,
    UNIQUE (organization_id, id)
);

CREATE TABLE user_groups (
    id              text COLLATE "C" PRIMARY KEY CHECK (id <> ''),
    organization_id text COLLATE "C" NOT NULL REFERENCES organizations (id) DEFERRABLE INITIALLY DEFERRED,
    name            text COLLATE "C" NOT NULL,
    members         text COLLATE "C",
    synchronized    boolean NOT NULL,
    created_ms      bigint
);

CREATE TABLE tokens (
    id              text COLLATE "C" PRIMARY KEY CHECK (id <> ''),
    organization_id text COLLATE "C" NOT NULL REFERENCES organizations (id) DEFERRABLE INITIALLY DEFERRED,
    user_id         text COLLATE "C" NOT NULL,
    name            text COLLATE "C" NOT NULL,
    hash            bytea NOT NULL CHECK (length(hash) = 32),
    active          boolean NOT NULL,
    created_ms      bigint,
    expires_ms      bigint,
    addresses       text COLLATE "C",
    FOREIGN KEY (organization_id, user_id) REFERENCES users (organization_id, id) DEFERRABLE INITIALLY DEFERRED
);
CREATE UNIQUE INDEX tokens_hash ON tokens (hash);

-- Apart from tokens, because a use is no change of the configuration.
CREATE TABLE token_uses (
    token_id text COLLATE "C" PRIMARY KEY REFERENCES tokens (id) DEFERRABLE INITIALLY DEFERRED,
    used_ms  bigint NOT NULL
);

CREATE TABLE projects (
    id              text COLLATE "C" PRIMARY KEY CHECK (id <> ''),
    organization_id text COLLATE "C" NOT NULL REFERENCES organizations (id) DEFERRABLE INITIALLY DEFERRED,
    slug            text COLLATE "C" NOT NULL,
    name            text COLLATE "C" NOT NULL,
    description     text COLLATE "C" NOT NULL,
    repository_url  text COLLATE "C" NOT NULL,
    readers         text COLLATE "C",
    configurators   text COLLATE "C",
    active          boolean NOT NULL,
    created_ms      bigint,
    UNIQUE (organization_id, id)
);
CREATE UNIQUE INDEX projects_slug ON projects (organization_id, lower(slug));

CREATE TABLE artifact_configurations (
    id              text COLLATE "C" PRIMARY KEY CHECK (id <> ''),
    organization_id text COLLATE "C" NOT NULL REFERENCES organizations (id) DEFERRABLE INITIALLY DEFERRED,
    project_id      text COLLATE "C" NOT NULL,
    slug            text COLLATE "C" NOT NULL,
    name            text COLLATE "C" NOT NULL,
    type            text COLLATE "C" NOT NULL,
    is_default      boolean NOT NULL,
    active          boolean NOT NULL,
    created_ms      bigint,
    FOREIGN KEY (organization_id, project_id) REFERENCES projects (organization_id, id) DEFERRABLE INITIALLY DEFERRED
);
CREATE UNIQUE INDEX artifact_configurations_slug ON artifact_configurations (project_id, lower(slug));

-- sealed is the encrypted private part; NULL when it was deleted or lives elsewhere.
CREATE TABLE keys (
    id              text COLLATE "C" PRIMARY KEY CHECK (id <> ''),
    organization_id text COLLATE "C" NOT NULL REFERENCES organizations (id) DEFERRABLE INITIALLY DEFERRED,
    version         bigint NOT NULL,
    type            text COLLATE "C" NOT NULL,
    bits            bigint NOT NULL,
    public          bytea,
    backend         text COLLATE "C" NOT NULL,
    deleted         boolean NOT NULL,
    created_ms      bigint,
    sealed          bytea,
    UNIQUE (organization_id, id),
    CHECK (NOT deleted OR sealed IS NULL)
);

CREATE TABLE certificates (
    id              text COLLATE "C" PRIMARY KEY CHECK (id <> ''),
    organization_id text COLLATE "C" NOT NULL REFERENCES organizations (id) DEFERRABLE INITIALLY DEFERRED,
    slug            text COLLATE "C" NOT NULL,
    name            text COLLATE "C" NOT NULL,
    type            text COLLATE "C" NOT NULL,
    creation_method text COLLATE "C" NOT NULL,
    key_id          text COLLATE "C",
    csr             bytea,
    leaf            bytea,
    chain           text COLLATE "C",
    openpgp         bytea,
    not_before_ms   bigint,
    not_after_ms    bigint,
    active          boolean NOT NULL,
    created_ms      bigint,
    UNIQUE (organization_id, id),
    FOREIGN KEY (organization_id, key_id) REFERENCES keys (organization_id, id) DEFERRABLE INITIALLY DEFERRED
);
CREATE UNIQUE INDEX certificates_slug ON certificates (organization_id, lower(slug));

CREATE TABLE signing_policies (
    id                            text COLLATE "C" PRIMARY KEY CHECK (id <> ''),
    organization_id               text COLLATE "C" NOT NULL REFERENCES organizations (id) DEFERRABLE INITIALLY DEFERRED,
    project_id                    text COLLATE "C" NOT NULL,
    slug                          text COLLATE "C" NOT NULL,
    name                          text COLLATE "C" NOT NULL,
    certificate_id                text COLLATE "C",
    submitters                    text COLLATE "C",
    approvers                     text COLLATE "C",
    required_approvals            bigint NOT NULL,
    requires_trusted_build_system boolean NOT NULL,
    hashes                        text COLLATE "C",
    active                        boolean NOT NULL,
    created_ms                    bigint,
    FOREIGN KEY (organization_id, project_id) REFERENCES projects (organization_id, id) DEFERRABLE INITIALLY DEFERRED,
    FOREIGN KEY (organization_id, certificate_id) REFERENCES certificates (organization_id, id) DEFERRABLE INITIALLY DEFERRED
);
CREATE UNIQUE INDEX signing_policies_slug ON signing_policies (project_id, lower(slug));

-- Asynchronous signing requests. Those that a request names are not deleted.
CREATE TABLE signing_requests (
    id                        text COLLATE "C" PRIMARY KEY CHECK (id <> ''),
    organization_id           text COLLATE "C" NOT NULL REFERENCES organizations (id) DEFERRABLE INITIALLY DEFERRED,
    project_id                text COLLATE "C" NOT NULL,
    signing_policy_id         text COLLATE "C" NOT NULL,
    artifact_configuration_id text COLLATE "C" NOT NULL,
    submitter_id              text COLLATE "C" NOT NULL,
    token_id                  text COLLATE "C" NOT NULL,
    description               text COLLATE "C" NOT NULL,
    workflow                  text COLLATE "C" NOT NULL,
    artifact_name             text COLLATE "C" NOT NULL,
    artifact_sha256           text COLLATE "C" NOT NULL,
    artifact                  bytea,
    result                    bytea,
    key_version               bigint NOT NULL,
    original_id               text COLLATE "C",
    parameters                text COLLATE "C",
    origin                    bytea,
    build_settings            bytea,
    approvals                 text COLLATE "C",
    reason                    text COLLATE "C" NOT NULL,
    ended_by                  text COLLATE "C" NOT NULL,
    ip                        text COLLATE "C" NOT NULL,
    user_agent                text COLLATE "C" NOT NULL,
    trace_id                  text COLLATE "C" NOT NULL,
    created_ms                bigint NOT NULL,
    changed_ms                bigint,
    finished_ms               bigint,
    deadline_ms               bigint,
    FOREIGN KEY (organization_id, project_id) REFERENCES projects (organization_id, id) DEFERRABLE INITIALLY DEFERRED,
    FOREIGN KEY (organization_id, submitter_id) REFERENCES users (organization_id, id) DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX signing_requests_created ON signing_requests (organization_id, created_ms, id);

-- Work that outlives a restart.
CREATE TABLE jobs (
    id              text COLLATE "C" PRIMARY KEY CHECK (id <> ''),
    kind            text COLLATE "C" NOT NULL,
    organization_id text COLLATE "C" NOT NULL REFERENCES organizations (id) DEFERRABLE INITIALLY DEFERRED,
    subject         text COLLATE "C" NOT NULL,
    due_ms          bigint NOT NULL,
    attempts        bigint NOT NULL,
    lease           text COLLATE "C" NOT NULL,
    lease_until_ms  bigint
);
CREATE INDEX jobs_due ON jobs (kind, due_ms);
CREATE INDEX jobs_subject ON jobs (subject);

CREATE TABLE webhooks (
    id                   text COLLATE "C" PRIMARY KEY CHECK (id <> ''),
    organization_id      text COLLATE "C" NOT NULL REFERENCES organizations (id) DEFERRABLE INITIALLY DEFERRED,
    project_id           text COLLATE "C" NOT NULL,
    url                  text COLLATE "C" NOT NULL,
    sealed_authorization bytea,
    active               boolean NOT NULL,
    created_ms           bigint,
    UNIQUE (organization_id, id),
    FOREIGN KEY (organization_id, project_id) REFERENCES projects (organization_id, id) DEFERRABLE INITIALLY DEFERRED
);

CREATE TABLE webhook_deliveries (
    id                 text COLLATE "C" PRIMARY KEY CHECK (id <> ''),
    organization_id    text COLLATE "C" NOT NULL REFERENCES organizations (id) DEFERRABLE INITIALLY DEFERRED,
    webhook_id         text COLLATE "C" NOT NULL,
    signing_request_id text COLLATE "C" NOT NULL,
    status             text COLLATE "C" NOT NULL,
    answers            text COLLATE "C",
    delivered          boolean NOT NULL,
    created_ms         bigint NOT NULL,
    finished_ms        bigint,
    FOREIGN KEY (organization_id, webhook_id) REFERENCES webhooks (organization_id, id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX webhook_deliveries_created ON webhook_deliveries (webhook_id, created_ms, id);

-- The audit log. Rows are final.
CREATE TABLE audit_log (
    seq             bigint PRIMARY KEY CHECK (seq > 0),
    leaf            bytea NOT NULL,
    organization_id text COLLATE "C" NOT NULL,
    type            text COLLATE "C" NOT NULL,
    time_ms         bigint NOT NULL,
    opens           boolean NOT NULL,
    closes          bigint,
    -- What entries are searched by; NULL: nothing of that kind.
    actor_id        text COLLATE "C",
    policy_id       text COLLATE "C",
    key_id          text COLLATE "C",
    digest          bytea
);
CREATE INDEX audit_log_organization ON audit_log (organization_id, seq);
CREATE INDEX audit_log_type ON audit_log (organization_id, type, seq);
CREATE INDEX audit_log_policy ON audit_log (policy_id, organization_id, seq) WHERE policy_id IS NOT NULL;
CREATE INDEX audit_log_key ON audit_log (key_id, organization_id, seq) WHERE key_id IS NOT NULL;
CREATE INDEX audit_log_digest ON audit_log (digest, organization_id, seq) WHERE digest IS NOT NULL;

CREATE FUNCTION audit_log_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'entries of the audit log cannot be changed or deleted';
END $$;
CREATE TRIGGER audit_log_final BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION audit_log_refuse();

-- Intents that wait for their outcome: few, however long the log is.
CREATE TABLE audit_open (
    seq bigint PRIMARY KEY
);
