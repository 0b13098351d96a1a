package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"signpath/internal/service/audit"
	"signpath/internal/service/model"
	"signpath/internal/wire"
)

// Call is who asks for an operation.
type Call struct {
	Actor     audit.Actor
	IP        string // address without port; "" for local administration
	UserAgent string
	TraceID   string
	// Guard is asked before every decision, with the configuration that the
	// change is made on: a right that was taken away a moment ago is gone. Its
	// error ends the operation. Nil: the operating system has let the caller in.
	Guard func(*model.Config) error
}

// Operation is one line of the table: input and output are JSON documents.
type Operation struct {
	Name string
	run  func(ctx context.Context, s *Service, call Call, input json.RawMessage) (any, error)
}

// operation binds a typed function to its name.
func operation[In, Out any](name string, run func(*Service, context.Context, Call, In) (Out, error)) Operation {
	return Operation{Name: name, run: func(ctx context.Context, s *Service, call Call, input json.RawMessage) (any, error) {
		var in In
		if err := decode(input, &in); err != nil {
			return nil, wire.Field("", err.Error())
		}
		return run(s, ctx, call, in)
	}}
}

// Operations is the table of everything that an operator can do.
func Operations() []Operation {
	return []Operation{
		operation("organization.create", (*Service).CreateOrganization),
		operation("organization.list", (*Service).ListOrganizations),
		operation("organization.rename", (*Service).RenameOrganization),
		operation("organization.set-active", (*Service).SetOrganizationActive),
		operation("user.create", (*Service).CreateUser),
		operation("user.list", (*Service).ListUsers),
		operation("user.set-active", (*Service).SetUserActive),
		operation("user.set-roles", (*Service).SetUserRoles),
		operation("user.show", (*Service).ShowUser),
		operation("user.edit", (*Service).EditUser),
		operation("group.create", (*Service).CreateUserGroup),
		operation("group.list", (*Service).ListUserGroups),
		operation("group.show", (*Service).ShowUserGroup),
		operation("group.rename", (*Service).RenameUserGroup),
		operation("group.set-members", (*Service).SetGroupMembers),
		operation("group.modify-members", (*Service).ModifyGroupMembers),
		operation("group.delete", (*Service).DeleteUserGroup),
		operation("token.create", (*Service).CreateToken),
		operation("token.regenerate", (*Service).RegenerateToken),
		operation("token.edit", (*Service).EditToken),
		operation("token.list", (*Service).ListTokens),
		operation("token.revoke", (*Service).RevokeToken),
		operation("project.create", (*Service).CreateProject),
		operation("project.list", (*Service).ListProjects),
		operation("project.show", (*Service).ShowProject),
		operation("project.edit", (*Service).EditProject),
		operation("artifact-configuration.create", (*Service).CreateArtifactConfiguration),
		operation("artifact-configuration.list", (*Service).ListArtifactConfigurations),
		operation("artifact-configuration.edit", (*Service).EditArtifactConfiguration),
		operation("artifact-configuration.set-default", (*Service).SetDefaultArtifactConfiguration),
		operation("project.set-active", (*Service).SetProjectActive),
		operation("policy.create", (*Service).CreatePolicy),
		operation("policy.list", (*Service).ListPolicies),
		operation("policy.edit", (*Service).EditPolicy),
		operation("certificate.create", (*Service).CreateCertificate),
		operation("certificate.create-gpg", (*Service).CreateOpenPGPKey),
		operation("certificate.list", (*Service).ListCertificates),
		operation("certificate.export", (*Service).ExportCertificate),
		operation("certificate.set-active", (*Service).SetCertificateActive),
		operation("certificate.create-csr", (*Service).CreateCertificateRequest),
		operation("certificate.upload", (*Service).UploadCertificate),
		operation("certificate.import-pfx", (*Service).ImportPFX),
		operation("certificate.renew", (*Service).RenewCertificate),
		operation("certificate.renew-gpg", (*Service).RenewOpenPGPKey),
		operation("certificate.key-use", (*Service).UseOfKey),
		operation("certificate.delete-key", (*Service).DeleteKey),
		operation("policy.stop", (*Service).StopPolicy),
		operation("policy.resume", (*Service).ResumePolicy),
		operation("key.stop", (*Service).StopKey),
		operation("key.resume", (*Service).ResumeKey),
		operation("organization.set-quota", (*Service).SetQuota),
		operation("organization.quota", (*Service).ShowQuota),
		operation("organization.edit", (*Service).EditOrganization),
		operation("organization.set-object-quotas", (*Service).SetObjectQuotas),
		operation("organization.set-retention", (*Service).SetRetention),
		operation("user.invite", (*Service).InviteUser),
		operation("user.accept-invitation", (*Service).AcceptInvitation),
		operation("trusted-build-system.create", (*Service).CreateTrustedBuildSystem),
		operation("trusted-build-system.list", (*Service).ListTrustedBuildSystems),
		operation("trusted-build-system.show", (*Service).ShowTrustedBuildSystem),
		operation("trusted-build-system.edit", (*Service).EditTrustedBuildSystem),
		operation("trusted-build-system.regenerate", (*Service).RegenerateBuildSystemToken),
		operation("trusted-build-system.delete", (*Service).DeleteTrustedBuildSystem),
		operation("certificate.edit", (*Service).EditCertificate),
		operation("certificate.revocation", (*Service).OpenPGPRevocation),
		operation("signatures.list", (*Service).ListSignatures),
		operation("webhook.edit", (*Service).EditWebhook),
		operation("webhook.create", (*Service).CreateWebhook),
		operation("webhook.list", (*Service).ListWebhooks),
		operation("webhook.set-active", (*Service).SetWebhookActive),
		operation("webhook.delete", (*Service).DeleteWebhook),
		operation("webhook.deliveries", (*Service).ListWebhookDeliveries),
		operation("request.list", (*Service).ListRequests),
		operation("request.show", (*Service).ShowRequest),
		operation("request.cancel", (*Service).CancelRequest),
		operation("installation.reseal", (*Service).Reseal),
		operation("audit.head", (*Service).AuditHead),
		operation("audit.rows", (*Service).AuditRows),
		operation("audit.checkpoint", (*Service).AuditCheckpoint),
		operation("audit.key", (*Service).AuditVerifierKey),
	}
}

// Run does the operation with this name. Errors that callers decide on:
// wire.FieldErrors (wrong input, by field), ErrNotFound, ErrConflict.
func (s *Service) Run(ctx context.Context, call Call, name string, input json.RawMessage) (json.RawMessage, error) {
	table := Operations()
	i := slices.IndexFunc(table, func(o Operation) bool { return o.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("the operation %q %w", name, ErrNotFound)
	}
	out, err := table[i].run(ctx, s, call, input)
	if err != nil {
		return nil, err
	}
	encoded, err := json.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("encoding the result of %s: %w", name, err)
	}
	return encoded, nil
}

// decode reads strictly: no doubled and no unknown members.
func decode(input json.RawMessage, v any) error {
	if len(input) == 0 {
		input = json.RawMessage("{}")
	}
	if err := wire.CheckJSON(input); err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(input))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil && err != io.EOF {
		return fmt.Errorf("the input cannot be read: %w", err)
	}
	return nil
}
