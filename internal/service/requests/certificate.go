package requests

import (
	"context"
	"crypto/sha1" //nolint:gosec // the audit log names certificates by their SHA-1 thumbprint; nothing is decided on it
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"signpath/internal/service/audit"
	"signpath/internal/service/authz"
	"signpath/internal/service/model"
	"signpath/internal/service/signing"
	"signpath/internal/service/store"
	"signpath/internal/wire"
)

// Certificate is the X.509 certificate (DER) that the signature of a completed
// request belongs to, whatever its signing policy has by now. Refusals are
// problems: 400 as long as the request is not completed, 404 when there is no
// X.509 certificate (any more).
func (s *Service) Certificate(ctx context.Context, snap *authz.Snapshot, r *model.SigningRequest) ([]byte, error) {
	switch {
	case r.Workflow != model.WorkflowCompleted:
		return nil, wire.Field("", "The signing request has no certificate: it is "+string(r.Workflow)+".")
	case r.Certificate != nil:
		return r.Certificate, nil
	}
	// An OpenPGP key, or a request from before certificates were kept with requests.
	row, err := s.lastIntent(ctx, r)
	if err != nil {
		return nil, err
	}
	return recordedCertificate(snap, r.OrganizationID, row)
}

// FastCertificate is Certificate for a fast request, which is found in the
// audit log.
func (s *Service) FastCertificate(ctx context.Context, snap *authz.Snapshot, organizationID, id string) ([]byte, error) {
	a, err := s.Fast(ctx, snap, organizationID, id)
	if err != nil {
		return nil, err
	}
	// The outcome follows within moments of the answer; the certificate is the
	// announced one.
	if a.IsFinalStatus && a.WorkflowStatus != string(model.WorkflowCompleted) {
		return nil, wire.Field("", "The signing request has no certificate: it is "+a.WorkflowStatus+".")
	}
	row, err := s.findIntent(ctx, organizationID, a.SigningRequestID, a.CreatedAt)
	if err != nil {
		return nil, err
	}
	return recordedCertificate(snap, organizationID, row)
}

// lastIntent is the audit entry of the last use of the key for a request.
func (s *Service) lastIntent(ctx context.Context, r *model.SigningRequest) (*store.AuditRow, error) {
	f := store.AuditFilter{
		OrganizationID: r.OrganizationID, Type: signing.EntryIntent, Subject: store.AuditSubject{PolicyID: r.SigningPolicyID},
		FromMillis: r.Created.Add(-clockSkew).UnixMilli(), ToMillis: r.Finished.Add(clockSkew).UnixMilli(),
	}
	after, err := s.seekAudit(ctx, f.FromMillis)
	if err != nil {
		return nil, err
	}
	var last *store.AuditRow
	for range maxPages {
		rows, err := s.Store.AuditRows(ctx, after, searchPage, f)
		if err != nil {
			return nil, err
		}
		for i := range rows {
			if strings.Contains(string(rows[i].Leaf), `"signingRequestId":"`+r.ID+`"`) {
				last = &rows[i]
			}
			after = rows[i].Seq
		}
		if len(rows) < searchPage {
			break
		}
	}
	if last == nil {
		return nil, wire.NewProblem(http.StatusNotFound, "The audit log does not tell which certificate the request was signed with.")
	}
	return last, nil
}

// recordedCertificate finds the certificate that an intent names, if the
// organization still has it as it was.
func recordedCertificate(snap *authz.Snapshot, organizationID string, row *store.AuditRow) ([]byte, error) {
	e, err := audit.ParseLeaf(row.Leaf)
	if err != nil {
		return nil, err
	}
	var d struct{ CertificateID, CertificateSlug, CertificateThumbprint string }
	if err := json.Unmarshal(e.Event.Data, &d); err != nil {
		return nil, fmt.Errorf("reading entry %d of the audit log: %w", row.Seq, err)
	}
	if d.CertificateThumbprint == "" {
		return nil, wire.NewProblem(http.StatusNotFound, "The request was signed with an OpenPGP key, which has no X.509 certificate. Ask for the GpgPublicKey of its signing policy.")
	}
	if c, ok := snap.CertificateByID(organizationID, d.CertificateID); ok {
		sum := sha1.Sum(c.Leaf) //nolint:gosec // see the import
		if hex.EncodeToString(sum[:]) == d.CertificateThumbprint {
			return c.Leaf, nil
		}
	}
	return nil, wire.NewProblem(http.StatusNotFound, fmt.Sprintf("The certificate '%s' was replaced since; the one of this request had the SHA-1 thumbprint %s.", clip(d.CertificateSlug), d.CertificateThumbprint))
}

// documentsRemoved is the answer for contents that the organization keeps no
// longer.
func documentsRemoved(r *model.SigningRequest) error {
	return wire.NewProblem(http.StatusGone, fmt.Sprintf("The documents of the signing request were removed on %s: the organization keeps them for a limited time. What is told of the request, and the audit log, stay.", r.DocumentsRemoved.UTC().Format(time.DateOnly)))
}

// Contents decides whether the artifacts of a request can be given out: nil, or
// a problem with status 410.
func Contents(r *model.SigningRequest) error {
	if !r.DocumentsRemoved.IsZero() {
		return documentsRemoved(r)
	}
	return nil
}
