package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"signpath/internal/secret"
	"signpath/internal/service/auth"
	"signpath/internal/service/model"
)

// Token is an API token as an operator sees it: everything but its text.
type Token struct {
	ID             string     `json:"id"`
	OrganizationID string     `json:"organizationId"`
	UserID         string     `json:"userId"`
	UserName       string     `json:"userName"`
	Name           string     `json:"name"`
	Active         bool       `json:"active"`
	Created        time.Time  `json:"created"`
	Expires        *time.Time `json:"expires,omitempty"`   // absent: never
	LastUsed       *time.Time `json:"lastUsed,omitempty"`  // absent: not known; of lists only
	Addresses      []string   `json:"addresses,omitempty"` // where it may be used from; absent: anywhere
}

func (v *view) showToken(t *model.Token) Token {
	out := Token{ID: t.ID, OrganizationID: t.OrganizationID, UserID: t.UserID, Name: t.Name, Active: t.Active, Created: t.Created, Addresses: t.Addresses}
	if u := v.userByID(t.UserID); u != nil {
		out.UserName = u.Name
	}
	if !t.Expires.IsZero() {
		expires := t.Expires
		out.Expires = &expires
	}
	return out
}

// ShownOnce is a secret on its one way to the person who asked for it: unlike
// secret.Secret it keeps its value in JSON, and only there.
type ShownOnce struct{ secret.Secret }

// MarshalJSON reveals the value.
func (s ShownOnce) MarshalJSON() ([]byte, error) { return json.Marshal(s.Reveal()) }

// MarshalText is not used by encoding/json beside MarshalJSON; it stays redacted.
func (s ShownOnce) MarshalText() ([]byte, error) { return s.Secret.MarshalText() }

// NewToken is the input of token.create.
type NewToken struct {
	OrganizationReference
	User      string     `json:"user"`                // name or identifier
	Name      string     `json:"name,omitempty"`      // default "default"
	Expires   *time.Time `json:"expires,omitempty"`   // absent: never
	Addresses []string   `json:"addresses,omitempty"` // IP addresses and networks (CIDR); absent: anywhere
	Replace   bool       `json:"replace,omitempty"`   // revoke the user's token of this name
}

// CreatedToken is the answer of token.create and token.regenerate.
type CreatedToken struct {
	Token
	Text    ShownOnce `json:"token"` // what the user presents; not kept anywhere
	Revoked []Token   `json:"revoked,omitempty"`
}

// defaultToken is the name of a token that got none.
const defaultToken = "default"

// maxTokens bounds the valid tokens of one user.
const maxTokens = 50

// CreateToken gives a user an API token. A user may have several, each of
// another name; one of the same name is made only together with revoking the
// old one (Replace).
func (s *Service) CreateToken(ctx context.Context, call Call, request NewToken) (CreatedToken, error) {
	return s.makeToken(ctx, call, func(t *transaction, in *input) (*model.User, model.Token, []model.Token) {
		user := t.user(in, "user", t.organization(in, request.Organization), request.User)
		token := model.Token{Name: defaultToken, Expires: in.expiry("expires", request.Expires, t.now), Addresses: in.addresses("addresses", request.Addresses)}
		if strings.TrimSpace(request.Name) != "" {
			token.Name = in.name("name", request.Name)
		}
		valid := t.validTokens(user)
		same := slices.DeleteFunc(slices.Clone(valid), func(o model.Token) bool { return !strings.EqualFold(o.Name, token.Name) })
		switch {
		case len(same) > 0 && !request.Replace:
			in.fail("name", "User %q has a valid token already that is called %q (%s); revoke it, replace it (--replace), or give the new one another name.", user.Name, clip(token.Name), same[0].ID)
		case len(valid)-len(same) >= maxTokens:
			in.fail("user", "User %q has %d valid tokens; revoke those that nobody needs.", user.Name, len(valid))
		}
		return user, token, same
	})
}

// RegeneratedToken is the input of token.regenerate.
type RegeneratedToken struct {
	OrganizationReference
	User    string     `json:"user"`              // name or identifier
	Name    string     `json:"name,omitempty"`    // of the token to replace; absent: every token of the user
	Expires *time.Time `json:"expires,omitempty"` // absent: as long as the old one was made for
}

// RegenerateToken replaces a user's token by a new one with the same name and
// the same limits. Without a name it replaces all tokens that the user has: then
// nothing that was given out before works any more. A user without a token gets
// the first one.
func (s *Service) RegenerateToken(ctx context.Context, call Call, request RegeneratedToken) (CreatedToken, error) {
	return s.makeToken(ctx, call, func(t *transaction, in *input) (*model.User, model.Token, []model.Token) {
		user := t.user(in, "user", t.organization(in, request.Organization), request.User)
		token := model.Token{Name: defaultToken}
		var old []model.Token
		if user != nil {
			// Expired tokens count: they are what one regenerates.
			for _, o := range t.cfg.Tokens {
				if o.UserID == user.ID && o.Active && (request.Name == "" || strings.EqualFold(o.Name, strings.TrimSpace(request.Name))) {
					old = append(old, o)
				}
			}
			if len(old) == 0 && request.Name != "" {
				in.fail("name", "User %q has no token %q.", user.Name, clip(request.Name))
			}
		}
		if n := len(old); n > 0 {
			last := old[n-1]
			token.Name, token.Addresses = last.Name, last.Addresses
			if !last.Expires.IsZero() {
				token.Expires = t.now.Add(last.Expires.Sub(last.Created))
			}
		}
		if request.Expires != nil {
			token.Expires = in.expiry("expires", request.Expires, t.now)
		}
		return user, token, old
	})
}

// makeToken makes the token that decide describes and revokes those that it names.
func (s *Service) makeToken(ctx context.Context, call Call, decide func(*transaction, *input) (*model.User, model.Token, []model.Token)) (CreatedToken, error) {
	var out CreatedToken
	err := s.change(ctx, call, func(t *transaction) error {
		out = CreatedToken{}
		in := newInput()
		user, token, old := decide(t, in)
		if user != nil && !user.Active {
			in.fail("user", "User %q is deactivated.", user.Name)
		}
		if err := in.err(); err != nil {
			return err
		}
		for _, o := range old {
			o.Active = false
			if err := t.PutToken(o); err != nil {
				return err
			}
			shown := t.showToken(&o)
			out.Revoked = append(out.Revoked, shown)
			if err := t.record("ApiToken.Revoked", user.OrganizationID, changeData{After: shown}); err != nil {
				return err
			}
		}
		text, hash := auth.NewToken()
		token.ID, token.Active, token.Created = newID(), true, t.now
		token.OrganizationID, token.UserID, token.Hash = user.OrganizationID, user.ID, hash
		out.Token, out.Text = t.showToken(&token), ShownOnce{text}
		if err := t.PutToken(token); err != nil {
			return err
		}
		return t.record("ApiToken.Created", user.OrganizationID, changeData{After: out.Token})
	})
	if err != nil {
		return CreatedToken{}, err
	}
	return out, nil
}

// validTokens are the tokens of a user that would be accepted now.
func (t *transaction) validTokens(user *model.User) []model.Token {
	var out []model.Token
	for _, o := range t.cfg.Tokens {
		if user != nil && o.UserID == user.ID && o.Active && (o.Expires.IsZero() || o.Expires.After(t.now)) {
			out = append(out, o)
		}
	}
	return out
}

// TokenFilter is the input of token.list.
type TokenFilter struct {
	OrganizationReference
	Paging
	User string `json:"user,omitempty"` // empty: of every user
}

// Tokens is a list of tokens.
type Tokens struct {
	Items []Token `json:"items"`
	Next
}

// ListTokens lists tokens, revoked ones too.
func (s *Service) ListTokens(ctx context.Context, _ Call, request TokenFilter) (Tokens, error) {
	out := Tokens{Items: []Token{}}
	v, err := s.read(ctx)
	if err != nil {
		return out, err
	}
	in := newInput()
	org := v.organization(in, request.Organization)
	var user *model.User
	if request.User != "" {
		user = v.user(in, "user", org, request.User)
	}
	if err := in.err(); err != nil {
		return out, err
	}
	uses, err := s.Store.TokenUses(ctx)
	if err != nil {
		return out, err
	}
	found, next := page(in, request.Paging, v.cfg.Tokens,
		func(t *model.Token) (time.Time, string) { return t.Created, t.ID },
		func(t *model.Token) bool {
			return t.OrganizationID == org.ID && (user == nil || user.ID == t.UserID)
		})
	for _, t := range found {
		shown := v.showToken(t)
		shown.LastUsed = s.lastUse(t.ID, uses)
		out.Items = append(out.Items, shown)
	}
	out.Next = next
	return out, in.err()
}

// lastUse is when a token was used last, as far as the database and this
// process know.
func (s *Service) lastUse(tokenID string, uses map[string]time.Time) *time.Time {
	at := uses[tokenID]
	if s.LastUse != nil {
		if here := s.LastUse(tokenID); here.After(at) {
			at = here
		}
	}
	if at.IsZero() {
		return nil
	}
	return &at
}

// TokenReference is the input of token.revoke.
type TokenReference struct {
	OrganizationReference
	User string `json:"user,omitempty"` // whose token it must be; empty: anybody's
	ID   string `json:"id"`
}

// RevokeToken makes a token useless for good.
func (s *Service) RevokeToken(ctx context.Context, call Call, request TokenReference) (Token, error) {
	return s.changeToken(ctx, call, "ApiToken.Revoked", request, func(_ *transaction, _ *input, k *model.Token) { k.Active = false })
}

// TokenEdit is the input of token.edit: absent members leave things as they are.
type TokenEdit struct {
	TokenReference
	Name      *string    `json:"name,omitempty"`
	Expires   *time.Time `json:"expires,omitempty"`
	Addresses *[]string  `json:"addresses,omitempty"` // all of them; an empty list allows every address
}

// EditToken changes name and limits of a token that is not revoked.
func (s *Service) EditToken(ctx context.Context, call Call, request TokenEdit) (Token, error) {
	return s.changeToken(ctx, call, "ApiToken.Changed", request.TokenReference, func(t *transaction, in *input, k *model.Token) {
		if !k.Active {
			in.fail("id", "The token %s is revoked; make a new one.", k.ID)
		}
		if request.Name != nil {
			k.Name = in.name("name", *request.Name)
			for _, o := range t.validTokens(t.userByID(k.UserID)) {
				if o.ID != k.ID && strings.EqualFold(o.Name, k.Name) {
					in.fail("name", "The user has a valid token %q already (%s).", clip(k.Name), o.ID)
				}
			}
		}
		if request.Expires != nil {
			k.Expires = in.expiry("expires", request.Expires, t.now)
		}
		if request.Addresses != nil {
			k.Addresses = in.addresses("addresses", *request.Addresses)
		}
	})
}

// changeToken applies edit to a copy and writes it when anything changed.
func (s *Service) changeToken(ctx context.Context, call Call, eventType string, ref TokenReference, edit func(*transaction, *input, *model.Token)) (Token, error) {
	var out Token
	err := s.change(ctx, call, func(t *transaction) error {
		in := newInput()
		var org *model.Organization
		var user *model.User
		if ref.Organization != "" || ref.User != "" {
			org = t.organization(in, ref.Organization)
		}
		if ref.User != "" {
			user = t.user(in, "user", org, ref.User)
		}
		if err := in.err(); err != nil {
			return err
		}
		found := match(t.cfg.Tokens, func(o *model.Token) bool {
			return strings.EqualFold(o.ID, ref.ID) && (org == nil || o.OrganizationID == org.ID) && (user == nil || o.UserID == user.ID)
		})
		if found == nil {
			return fmt.Errorf("the token %q %w", clip(ref.ID), ErrNotFound)
		}
		token := *found
		edit(t, in, &token)
		if err := in.err(); err != nil {
			return err
		}
		before := t.showToken(found)
		out = t.showToken(&token)
		if reflect.DeepEqual(before, out) {
			return nil
		}
		if err := t.PutToken(token); err != nil {
			return err
		}
		if eventType == "ApiToken.Revoked" {
			return t.record(eventType, token.OrganizationID, changeData{After: out})
		}
		return t.record(eventType, token.OrganizationID, changeData{before, out})
	})
	return out, err
}

// expiry checks the end of a token's validity; nil is none.
func (in *input) expiry(field string, at *time.Time, now time.Time) time.Time {
	if at == nil {
		return time.Time{}
	}
	expires := at.UTC().Truncate(time.Millisecond)
	if !expires.After(now) {
		in.fail(field, "The token would expire at %s, which is past.", expires.Format(time.RFC3339))
	}
	if expires.Year() > 9999 {
		in.fail(field, "The token would expire after the year 9999; leave the time away for a token that never does.")
	}
	return expires
}

// maxAddresses bounds the list that every request of a token is held against.
const maxAddresses = 100

// addresses checks where a token may be used from.
func (in *input) addresses(field string, texts []string) []string {
	if len(texts) > maxAddresses {
		in.fail(field, "There are %d addresses; %d are allowed.", len(texts), maxAddresses)
		return nil
	}
	out, err := auth.ParseAddresses(texts)
	if err != nil {
		in.fail(field, "%s.", err)
	}
	return out
}
