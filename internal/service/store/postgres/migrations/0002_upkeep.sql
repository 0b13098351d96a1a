-- How long an organization keeps the documents of finished signing requests with
-- the messages about them, and the requests themselves, in days; 0: without end.
ALTER TABLE organizations ADD COLUMN document_retention_days bigint NOT NULL DEFAULT 31;
ALTER TABLE organizations ADD COLUMN request_retention_days bigint NOT NULL DEFAULT 0;
-- Quotas; 0: no limit.
ALTER TABLE organizations ADD COLUMN max_users bigint NOT NULL DEFAULT 0;
ALTER TABLE organizations ADD COLUMN max_projects bigint NOT NULL DEFAULT 0;
ALTER TABLE organizations ADD COLUMN max_certificates bigint NOT NULL DEFAULT 0;

-- An invitation that waits: SHA-256 of its code, and its end.
ALTER TABLE users ADD COLUMN invitation_hash bytea CHECK (length(invitation_hash) = 32);
ALTER TABLE users ADD COLUMN invitation_expires_ms bigint;

-- Every signing policy of the certificate must demand approval.
ALTER TABLE certificates ADD COLUMN requires_approval boolean NOT NULL DEFAULT false;

-- The certificate (DER) that a completed request was signed with, who built it,
-- and when its documents were removed.
ALTER TABLE signing_requests ADD COLUMN certificate bytea;
ALTER TABLE signing_requests ADD COLUMN trusted_build_system_id text COLLATE "C";
ALTER TABLE signing_requests ADD COLUMN documents_removed_ms bigint;
CREATE INDEX signing_requests_documents ON signing_requests (organization_id, finished_ms)
    WHERE finished_ms IS NOT NULL AND documents_removed_ms IS NULL;
CREATE INDEX signing_requests_finished ON signing_requests (organization_id, finished_ms)
    WHERE finished_ms IS NOT NULL;
CREATE INDEX webhook_deliveries_finished ON webhook_deliveries (organization_id, finished_ms)
    WHERE finished_ms IS NOT NULL;

-- Whether a webhook wants to be told of ends that are near too, and the body of
-- such a message; NULL: what is told of a signing request.
ALTER TABLE webhooks ADD COLUMN notices boolean NOT NULL DEFAULT false;
ALTER TABLE webhook_deliveries ADD COLUMN message bytea;

CREATE TABLE trusted_build_systems (
    id              text COLLATE "C" PRIMARY KEY CHECK (id <> ''),
    organization_id text COLLATE "C" NOT NULL REFERENCES organizations (id) DEFERRABLE INITIALLY DEFERRED,
    name            text COLLATE "C" NOT NULL,
    projects        text COLLATE "C",
    token_hash      bytea NOT NULL CHECK (length(token_hash) = 32),
    active          boolean NOT NULL,
    created_ms      bigint
);
CREATE UNIQUE INDEX trusted_build_systems_token ON trusted_build_systems (token_hash);
