-- How long an organization keeps the documents of finished signing requests with
-- the messages about them, and the requests themselves, in days; 0: without end.
ALTER TABLE organizations ADD COLUMN document_retention_days INTEGER NOT NULL DEFAULT 31;
ALTER TABLE organizations ADD COLUMN request_retention_days INTEGER NOT NULL DEFAULT 0;
-- Quotas; 0: no limit.
ALTER TABLE organizations ADD COLUMN max_users INTEGER NOT NULL DEFAULT 0;
ALTER TABLE organizations ADD COLUMN max_projects INTEGER NOT NULL DEFAULT 0;
ALTER TABLE organizations ADD COLUMN max_certificates INTEGER NOT NULL DEFAULT 0;

-- An invitation that waits: SHA-256 of its code, and its end.
ALTER TABLE users ADD COLUMN invitation_hash BLOB CHECK (length(invitation_hash) = 32);
ALTER TABLE users ADD COLUMN invitation_expires_ms INTEGER;

-- Every signing policy of the certificate must demand approval.
ALTER TABLE certificates ADD COLUMN requires_approval INTEGER NOT NULL DEFAULT 0;

-- The certificate (DER) that a completed request was signed with, who built it,
-- and when its documents were removed.
ALTER TABLE signing_requests ADD COLUMN certificate BLOB;
ALTER TABLE signing_requests ADD COLUMN trusted_build_system_id TEXT;
ALTER TABLE signing_requests ADD COLUMN documents_removed_ms INTEGER;
CREATE INDEX signing_requests_documents ON signing_requests (organization_id, finished_ms)
    WHERE finished_ms IS NOT NULL AND documents_removed_ms IS NULL;
CREATE INDEX signing_requests_finished ON signing_requests (organization_id, finished_ms)
    WHERE finished_ms IS NOT NULL;
CREATE INDEX webhook_deliveries_finished ON webhook_deliveries (organization_id, finished_ms)
    WHERE finished_ms IS NOT NULL;

-- Whether a webhook wants to be told of ends that are near too, and the body of
-- such a message; NULL: what is told of a signing request.
ALTER TABLE webhooks ADD COLUMN notices INTEGER NOT NULL DEFAULT 0;
ALTER TABLE webhook_deliveries ADD COLUMN message BLOB;

CREATE TABLE trusted_build_systems (
    id              TEXT PRIMARY KEY CHECK (id <> ''),
    organization_id TEXT NOT NULL REFERENCES organizations (id) DEFERRABLE INITIALLY DEFERRED,
    name            TEXT NOT NULL,
    projects        TEXT,
    token_hash      BLOB NOT NULL CHECK (length(token_hash) = 32),
    active          INTEGER NOT NULL,
    created_ms      INTEGER
) STRICT;
CREATE UNIQUE INDEX trusted_build_systems_token ON trusted_build_systems (token_hash);
