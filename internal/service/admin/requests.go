package admin

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"signpath/internal/service/authz"
	"signpath/internal/service/model"
	"signpath/internal/service/requests"
	"signpath/internal/service/store"
	"signpath/internal/wire"
)

// RequestFilter is the input of request.list.
type RequestFilter struct {
	OrganizationReference
	Project string `json:"project,omitempty"` // slug
	Status  string `json:"status,omitempty"`  // status or workflow status
	Cursor  string `json:"cursor,omitempty"`  // identifier of the last request of the page before
	Limit   int    `json:"limit,omitempty"`   // at most MaxRequests, which is the default
}

// MaxRequests is the most requests that one request.list gives.
const MaxRequests = 200

// RequestReference names a signing request.
type RequestReference struct {
	OrganizationReference
	Request string `json:"request"`          // identifier
	Reason  string `json:"reason,omitempty"` // request.cancel only
}

// room is the part of package requests that needs no signing.
func (s *Service) room() *requests.Service {
	if s.Requests != nil {
		return s.Requests
	}
	return &requests.Service{Store: s.Store, Log: s.Log, Now: s.Now}
}

// ListRequests lists asynchronous signing requests, newest first.
func (s *Service) ListRequests(ctx context.Context, _ Call, request RequestFilter) (wire.SigningRequestList, error) {
	out := wire.SigningRequestList{Items: []wire.SigningRequestAnswer{}}
	v, err := s.read(ctx)
	if err != nil {
		return out, err
	}
	in := newInput()
	org := v.organization(in, request.Organization)
	f := store.RequestFilter{Limit: request.Limit}
	if f.Limit <= 0 || f.Limit > MaxRequests {
		f.Limit = MaxRequests
	}
	if org != nil {
		f.OrganizationID = org.ID
	}
	if request.Project != "" {
		if p := v.project(in, "project", org, request.Project); p != nil {
			f.ProjectID = p.ID
		}
	}
	if request.Status != "" {
		if f.Workflows = requests.Workflows(request.Status); f.Workflows == nil {
			in.fail("status", "There is no status %q.", clip(request.Status))
		}
	}
	if err := in.err(); err != nil {
		return out, err
	}
	if request.Cursor != "" {
		last, err := s.request(ctx, org, request.Cursor)
		if err != nil {
			return out, err
		}
		f.Before, f.BeforeID = last.Created, last.ID
	}
	f.Limit++
	list, err := s.room().List(ctx, f)
	if err != nil {
		return out, err
	}
	if len(list) == f.Limit {
		list = list[:f.Limit-1]
		out.NextCursor = list[len(list)-1].ID
	}
	snap := authz.NewSnapshot(v.cfg)
	for i := range list {
		out.Items = append(out.Items, s.room().Describe(snap, &list[i]))
	}
	return out, nil
}

// request finds a request of an organization.
func (s *Service) request(ctx context.Context, org *model.Organization, id string) (*model.SigningRequest, error) {
	r, err := s.Store.SigningRequest(ctx, org.ID, strings.ToLower(strings.TrimSpace(id)))
	if errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("the signing request %q %w in organization %q", clip(id), ErrNotFound, org.Name)
	}
	return r, err
}

// ShowRequest shows one request.
func (s *Service) ShowRequest(ctx context.Context, _ Call, request RequestReference) (wire.SigningRequestAnswer, error) {
	v, err := s.read(ctx)
	if err != nil {
		return wire.SigningRequestAnswer{}, err
	}
	in := newInput()
	org := v.organization(in, request.Organization)
	if err := in.err(); err != nil {
		return wire.SigningRequestAnswer{}, err
	}
	r, err := s.request(ctx, org, request.Request)
	if err != nil {
		return wire.SigningRequestAnswer{}, err
	}
	return s.room().Describe(authz.NewSnapshot(v.cfg), r), nil
}

// CancelRequest ends a request that is not final.
func (s *Service) CancelRequest(ctx context.Context, call Call, request RequestReference) (wire.SigningRequestAnswer, error) {
	shown, err := s.ShowRequest(ctx, call, request)
	if err != nil {
		return shown, err
	}
	v, err := s.read(ctx)
	if err != nil {
		return shown, err
	}
	in := newInput()
	org := v.organization(in, request.Organization)
	if err := in.err(); err != nil {
		return shown, err
	}
	err = s.room().CancelAs(ctx, call.Actor, org.ID, shown.SigningRequestID, request.Reason)
	var p *wire.Problem
	if errors.As(err, &p) {
		return shown, fmt.Errorf("%w: %s", ErrConflict, p.Detail)
	}
	if err != nil {
		return shown, err
	}
	return s.ShowRequest(ctx, call, request)
}
