package httpapi

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"signpath/internal/service/admin"
	"signpath/internal/service/authz"
	"signpath/internal/service/signing"
	"signpath/internal/wire"
)

// stopRoutes are the routes of emergency stops and of what was signed. Who may
// edit a policy may stop it, who may manage certificates may stop a key; and
// whoever may stop may see what was signed, as those who read the audit log.
func stopRoutes(a *api, org string) []route {
	policy := org + "/Projects/{projectSlug}/SigningPolicies/{signingPolicySlug}"
	certificate := org + "/Certificates/{certificateSlug}"
	return []route{
		{method: "POST", pattern: policy + "/Stop", access: tokenFor, handler: a.stopPolicy("policy.stop")},
		{method: "POST", pattern: policy + "/Resume", access: tokenFor, handler: a.stopPolicy("policy.resume")},
		{method: "GET", pattern: policy + "/Signatures", access: tokenFor, handler: a.policySignatures},
		{method: "POST", pattern: certificate + "/Stop", access: tokenFor, handler: a.stopKey("key.stop")},
		{method: "POST", pattern: certificate + "/Resume", access: tokenFor, handler: a.stopKey("key.resume")},
		{method: "GET", pattern: certificate + "/Signatures", access: tokenFor, handler: a.keySignatures},
	}
}

// stopAnswer tells what a stop or its end did.
type stopAnswer struct {
	SigningPolicies []string `json:"signingPolicies"` // project/policy that it concerns
	Certificates    []string `json:"certificates"`    // slugs that were switched; of keys only
	IsUnchanged     bool     `json:"isUnchanged"`     // it was in this state already
	Warnings        []string `json:"warnings,omitempty"`
	// Signatures are the first ones that were made, and SignaturesLink leads to all
	// of them. Absent when signing was resumed.
	Signatures     *signatureList `json:"signatures,omitempty"`
	SignaturesLink string         `json:"signaturesLink,omitempty"`
}

type signatureList = items[signing.Signature]

// onPolicy is the check for actions on the signing policy that the path names.
func (x *exchange) onPolicy(actions ...authz.Action) check {
	return func(s *authz.Snapshot, p *authz.Principal) error {
		project, err := x.findProject(s)
		if err != nil {
			return err
		}
		slug := x.params["signingPolicySlug"]
		policy, ok := s.SigningPolicy(project.ID, slug)
		if !ok {
			return forbidden("Project '%s' has no signing policy '%s', or you may not see it.", project.Slug, clipped(slug))
		}
		return permitAny(s, p, authz.Resource{Project: project, Policy: policy}, actions)
	}
}

// permitAny is nil when one of the actions is allowed.
func permitAny(s *authz.Snapshot, p *authz.Principal, on authz.Resource, actions []authz.Action) (err error) {
	for _, action := range actions {
		if err = permit(s, p, action, on); err == nil {
			return nil
		}
	}
	return err
}

// mayStopKeys is the check for keys; mayListKeys for what they signed.
var mayStopKeys = manageCertificates

func mayListKeys(s *authz.Snapshot, p *authz.Principal) error {
	return permitAny(s, p, authz.Resource{}, []authz.Action{authz.ManageCertificates, authz.ReadAuditLog})
}

// reason reads the body of a stop.
func (x *exchange) reason() (string, error) {
	var r struct{ Reason string }
	if err := x.readJSON(&r, false); err != nil {
		return "", err
	}
	if strings.TrimSpace(r.Reason) == "" {
		return "", missing("Reason", "it will stand in the audit log")
	}
	return r.Reason, nil
}

func (a *api) stopPolicy(operation string) func(*exchange) error {
	return func(x *exchange) error {
		allowed := x.onPolicy(authz.ManageProjects)
		reason, err := x.reason()
		if err != nil {
			return err
		}
		var out admin.Stop
		input := admin.PolicyStop{Reason: reason, PolicyReference: admin.PolicyReference{
			OrganizationReference: x.org(), Project: x.params["projectSlug"], Policy: x.params["signingPolicySlug"],
		}}
		if err := a.administer(x, allowed, operation, input, &out); err != nil {
			return err
		}
		return a.stopped(x, allowed, out, operation == "policy.stop", x.policySignatureFilter(),
			"Projects/"+url.PathEscape(x.params["projectSlug"])+"/SigningPolicies/"+url.PathEscape(x.params["signingPolicySlug"]))
	}
}

func (a *api) stopKey(operation string) func(*exchange) error {
	return func(x *exchange) error {
		reason, err := x.reason()
		if err != nil {
			return err
		}
		if err := a.allowed(x, mayStopKeys); err != nil {
			return err
		}
		if _, err := a.certificateInPath(x); err != nil {
			return err
		}
		var out admin.Stop
		if err := a.administer(x, mayStopKeys, operation, admin.KeyStop{CertificateReference: x.certificateReference(), Reason: reason}, &out); err != nil {
			return err
		}
		return a.stopped(x, mayStopKeys, out, operation == "key.stop", x.keySignatureFilter(), "Certificates/"+url.PathEscape(x.params["certificateSlug"]))
	}
}

// stopped answers a stop. The stop holds, whether or not the list can be read.
func (a *api) stopped(x *exchange, allowed check, out admin.Stop, list bool, filter admin.SignatureFilter, path string) error {
	answer := stopAnswer{SigningPolicies: texts(out.Policies), Certificates: texts(out.Certificates), IsUnchanged: out.Unchanged, Warnings: out.Warnings}
	if list {
		answer.SignaturesLink = a.PublicURL + "/Api/v1/" + x.organizationID + "/" + path + "/Signatures"
		var found admin.Signatures
		if err := a.administer(x, allowed, "signatures.list", filter, &found); err != nil {
			a.log.Warn("what was signed cannot be listed; the stop holds", "trace_id", x.caller.TraceID, "error", err)
			answer.Warnings = append(answer.Warnings, "The stop holds, but what was signed cannot be listed now. Ask signaturesLink later.")
		} else {
			answer.Signatures = &signatureList{Items: found.Items, NextCursor: found.NextCursor}
		}
	}
	return x.json(http.StatusOK, answer)
}

func (x *exchange) policySignatureFilter() admin.SignatureFilter {
	return admin.SignatureFilter{OrganizationReference: x.org(), Project: x.params["projectSlug"], Policy: x.params["signingPolicySlug"]}
}

func (x *exchange) keySignatureFilter() admin.SignatureFilter {
	return admin.SignatureFilter{OrganizationReference: x.org(), Certificate: x.params["certificateSlug"]}
}

func (a *api) policySignatures(x *exchange) error {
	return a.signatures(x, x.onPolicy(authz.ManageProjects, authz.ReadAuditLog), x.policySignatureFilter())
}

func (a *api) keySignatures(x *exchange) error {
	if err := a.allowed(x, mayListKeys); err != nil {
		return err
	}
	if _, err := a.certificateInPath(x); err != nil {
		return err
	}
	return a.signatures(x, mayListKeys, x.keySignatureFilter())
}

func (a *api) signatures(x *exchange, allowed check, filter admin.SignatureFilter) error {
	p, err := x.paging()
	if err != nil {
		return err
	}
	filter.Cursor, filter.Limit = p.Cursor, min(p.Limit, admin.MaxSignatures)
	for name, values := range x.r.URL.Query() {
		if !strings.EqualFold(name, "from") || len(values) == 0 || values[0] == "" {
			continue
		}
		millis, err := auditTime(values[0])
		if err != nil {
			return wire.Field("from", "from "+err.Error()+".")
		}
		since := time.UnixMilli(millis).UTC()
		filter.Since = &since
	}
	var out admin.Signatures
	if err := a.administer(x, allowed, "signatures.list", filter, &out); err != nil {
		return err
	}
	return x.compressibleJSON(http.StatusOK, signatureList{Items: out.Items, NextCursor: out.NextCursor})
}
