package main

import (
	"context"

	"signpath/internal/service/admin"
)

type tokenCommands struct {
	Create tokenCreate `cmd:"" help:"Make an API token for a user and print it, once."`
	List   tokenList   `cmd:"" help:"List tokens (never their text)."`
	Edit   tokenEdit   `cmd:"" help:"Change the name or the limits of a token."`
	Revoke tokenRevoke `cmd:"" help:"Make a token useless for good."`

	Regenerate tokenRegenerate `cmd:"" help:"Replace a token, or all tokens of a user, and print the new one, once."`
}

// Help implements kong.HelpProvider.
func (tokenCommands) Help() string {
	return examples("signpath admin --data DIR token create build --expires 90d", "signpath admin --data DIR token list")
}

type tokenCreate struct {
	User    string   `arg:"" help:"Name or identifier of the user."`
	Name    string   `help:"Name of the token, of which the user has only one. Default: default." placeholder:"NAME"`
	Expires moment   `help:"End of its validity: a date, a time (RFC 3339) or a distance from now (90d). Default: never." placeholder:"WHEN"`
	From    []string `help:"IP address or network (192.0.2.0/24) that it may be used from; may be repeated. Default: anywhere." placeholder:"ADDRESS"`
	Replace bool     `help:"Revoke the user's token of this name in the same step."`
}

// Help implements kong.HelpProvider.
func (tokenCreate) Help() string {
	return "A user may have several tokens, each with a name of its own. The text is printed on stdout and not kept: only its hash is.\n\n" + examples(
		"signpath admin --data DIR token create build",
		"signpath admin --data DIR token create build --name runner-2 --from 192.0.2.0/24 --expires 90d",
		"signpath admin --data DIR token create build --replace --expires 2027-01-31",
	)
}

// Run prints the token's text.
func (c *tokenCreate) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	var out admin.CreatedToken
	request := admin.NewToken{OrganizationReference: f.organization(), User: c.User, Name: c.Name, Expires: c.Expires.future(), Addresses: c.From, Replace: c.Replace}
	if err := f.do(ctx, t, "token.create", request, &out); err != nil {
		return err
	}
	return tokenShow(t, f, out)
}

func tokenShow(t *terminal, f *adminFlags, out admin.CreatedToken) error {
	if f.JSON {
		return t.json(out)
	}
	for _, old := range out.Revoked {
		t.progress("token %s (%s) of user %q is revoked", old.ID, old.Name, old.UserName)
	}
	t.progress("token %s of user %q, expires: %s; it is shown only now", out.ID, out.UserName, dayOrNever(out.Expires))
	return t.print(out.Text.Reveal())
}

type tokenRegenerate struct {
	User    string `arg:"" help:"Name or identifier of the user."`
	Name    string `help:"Only the token of this name. Default: every token of the user." placeholder:"NAME"`
	Expires moment `help:"End of the new one's validity. Default: as long as the old one was made for." placeholder:"WHEN"`
}

// Help implements kong.HelpProvider.
func (tokenRegenerate) Help() string {
	return "The new token has the name and the limits of the old one. Without --name nothing that was given out before works any more.\n\n" + examples(
		"signpath admin --data DIR token regenerate build",
		"signpath admin --data DIR token regenerate build --name runner-2",
	)
}

// Run prints the new token's text.
func (c *tokenRegenerate) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	var out admin.CreatedToken
	request := admin.RegeneratedToken{OrganizationReference: f.organization(), User: c.User, Name: c.Name, Expires: c.Expires.future()}
	if err := f.do(ctx, t, "token.regenerate", request, &out); err != nil {
		return err
	}
	return tokenShow(t, f, out)
}

type tokenEdit struct {
	ID       string   `arg:"" help:"Identifier of the token; see token list."`
	Name     *string  `help:"Another name." placeholder:"NAME"`
	Expires  moment   `help:"Another end of its validity." placeholder:"WHEN"`
	From     []string `help:"IP address or network that it may be used from, all of them; may be repeated." placeholder:"ADDRESS" xor:"from"`
	Anywhere bool     `help:"Let it be used from any address." xor:"from"`
}

// Help implements kong.HelpProvider.
func (tokenEdit) Help() string {
	return examples("signpath admin --data DIR token edit 7f8d1c1e-7b5f-4a51-9c5c-0b8d2f3a4e6d --from 192.0.2.7 --expires 30d")
}

// Run changes what was given.
func (c *tokenEdit) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	var out admin.Token
	request := admin.TokenEdit{TokenReference: admin.TokenReference{ID: c.ID}, Name: c.Name, Expires: c.Expires.future()}
	if c.From != nil || c.Anywhere {
		request.Addresses = &c.From
		if c.From == nil {
			request.Addresses = &[]string{}
		}
	}
	if err := f.do(ctx, t, "token.edit", request, &out); err != nil {
		return err
	}
	if f.JSON {
		return t.json(out)
	}
	t.progress("token %s (%s) of user %q expires: %s, may be used from: %s", out.ID, out.Name, out.UserName, dayOrNever(out.Expires), anywhere(out.Addresses))
	return nil
}

// anywhere lists the addresses that a token is limited to.
func anywhere(addresses []string) string {
	if len(addresses) == 0 {
		return "anywhere"
	}
	return listed(addresses)
}

type tokenList struct {
	User string `help:"Only the tokens of this user." placeholder:"USER"`
}

// Help implements kong.HelpProvider.
func (tokenList) Help() string { return examples("signpath admin --data DIR token list --user build") }

// Run prints a table.
func (c *tokenList) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	var out admin.Tokens
	if err := f.do(ctx, t, "token.list", admin.TokenFilter{OrganizationReference: f.organization(), User: c.User}, &out); err != nil {
		return err
	}
	if f.JSON {
		return t.json(out)
	}
	rows := [][]string{{"ID", "USER", "NAME", "STATE", "CREATED", "EXPIRES", "LAST USED", "FROM"}}
	for _, k := range out.Items {
		used := "-"
		if k.LastUsed != nil {
			used = day(*k.LastUsed)
		}
		rows = append(rows, []string{k.ID, k.UserName, k.Name, state(k.Active), day(k.Created), dayOrNever(k.Expires), used, anywhere(k.Addresses)})
	}
	return t.table(rows)
}

type tokenRevoke struct {
	ID string `arg:"" help:"Identifier of the token; see token list."`
}

// Help implements kong.HelpProvider.
func (tokenRevoke) Help() string {
	return examples("signpath admin --data DIR token revoke 7f8d1c1e-7b5f-4a51-9c5c-0b8d2f3a4e6d")
}

// Run revokes.
func (c *tokenRevoke) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	var out admin.Token
	if err := f.do(ctx, t, "token.revoke", admin.TokenReference{ID: c.ID}, &out); err != nil {
		return err
	}
	if f.JSON {
		return t.json(out)
	}
	t.progress("token %s of user %q is revoked", out.ID, out.UserName)
	return nil
}
