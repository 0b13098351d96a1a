package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"

	"signpath/internal/service/admin"
	"signpath/internal/service/audit"
	"signpath/internal/service/store"
)

// auditCommands read the audit log; one that checks it changes nothing.
type auditCommands struct {
	place

	List       auditList       `cmd:"" help:"List entries, newest last."`
	Find       auditFind       `cmd:"" help:"Tell who signed a digest."`
	Export     auditExport     `cmd:"" help:"Write entries as JSON lines, as they were recorded."`
	Verify     auditVerify     `cmd:"" help:"Check that nothing was changed, removed or inserted."`
	Checkpoint auditCheckpoint `cmd:"" help:"Sign the present end of the log, to be kept elsewhere."`
	Key        auditKey        `cmd:"" help:"Print the verifier key of the checkpoints."`
}

// AfterApply hands the common flags to the commands below.
func (c *auditCommands) AfterApply(k *kong.Context) error {
	k.Bind(&c.place)
	return nil
}

// Help implements kong.HelpProvider.
func (auditCommands) Help() string {
	return "The commands work whether the server runs or not. Whoever can write to the database could replace all of the log: keep checkpoints and the verifier key elsewhere, and verify against them.\n\n" + examples(
		"signpath audit --data DIR list --type HashSigning.Intent --from 7d",
		"signpath audit --data DIR key > audit.vkey",
		"signpath audit --data DIR checkpoint --out monday.checkpoint",
		"signpath audit --data DIR verify --anchor monday.checkpoint --key audit.vkey",
	)
}

// auditRunner reads the log, also where the key-encryption key is not at hand:
// the log is not encrypted.
func (p *place) auditRunner(ctx context.Context, t *terminal) (admin.Runner, func() error, error) {
	dsn, err := p.dsn()
	if err != nil {
		return nil, nil, err
	}
	open := func(o installationOptions) (admin.Runner, func() error, error) {
		st, err := openStore(ctx, t, o)
		if err != nil {
			return nil, nil, err
		}
		return admin.Local{Service: &admin.Service{Store: st}}, st.Close, nil
	}
	if dsn != "" {
		return open(installationOptions{dsn: dsn})
	}
	folder, err := p.folder()
	if err != nil {
		return nil, nil, err
	}
	return eitherWay(ctx, folder, func() (admin.Runner, func() error, error) { return open(installationOptions{folder: folder}) })
}

// readLog runs a function on the log, wherever it is.
func (p *place) readLog(ctx context.Context, t *terminal, read func(store.Store) error) error {
	runner, done, err := p.auditRunner(ctx, t)
	if err != nil {
		return err
	}
	return errors.Join(read(&logReader{runner: runner}), done())
}

// logReader is the part of a store that reads the audit log, through operations.
// Nothing else of it may be called.
type logReader struct {
	store.Store
	runner admin.Runner
}

// AuditHead implements store.Store.
func (l *logReader) AuditHead(ctx context.Context) (store.AuditHead, error) {
	var out admin.Head
	if err := l.runner.Run(ctx, "audit.head", struct{}{}, &out); err != nil {
		return store.AuditHead{}, err
	}
	head := store.AuditHead{Size: out.Size}
	copy(head.LastHash[:], out.LastHash)
	for _, h := range out.Frontier {
		var hash [32]byte
		copy(hash[:], h)
		head.Frontier = append(head.Frontier, hash)
	}
	return head, nil
}

// AuditRows implements store.Store; the filter's organization may be a name too.
func (l *logReader) AuditRows(ctx context.Context, after uint64, limit int, f store.AuditFilter) ([]store.AuditRow, error) {
	page := admin.AuditPage{OrganizationReference: admin.OrganizationReference{Organization: f.OrganizationID}, Type: f.Type, FromMillis: f.FromMillis, ToMillis: f.ToMillis, After: after, Limit: limit,
		Before: f.Before, TypePrefixes: f.TypePrefixes, Digest: f.Subject.Digest, User: f.Subject.ActorID, Policy: f.Subject.PolicyID, KeyID: f.Subject.KeyID}
	var out admin.AuditEntries
	if err := l.runner.Run(ctx, "audit.rows", page, &out); err != nil {
		return nil, err
	}
	rows := make([]store.AuditRow, len(out.Items))
	for i, e := range out.Items {
		rows[i] = e.Row()
	}
	return rows, nil
}

// auditFilter are the flags that narrow list and export.
type auditFilter struct {
	Org  string `help:"Organization, by name or identifier." placeholder:"ORG"`
	Type string `help:"Type of the entries, e.g. HashSigning.Intent." placeholder:"TYPE"`
	From moment `help:"Not before: a date, a time (RFC 3339), or a distance back from now (7d)." placeholder:"WHEN"`
	To   moment `help:"Before: a date, a time (RFC 3339), or a distance back from now (1h)." placeholder:"WHEN"`
}

func (f *auditFilter) filter() store.AuditFilter {
	out := store.AuditFilter{OrganizationID: f.Org, Type: f.Type}
	if from := f.From.past(); from != nil {
		out.FromMillis = from.UnixMilli()
	}
	if to := f.To.past(); to != nil {
		out.ToMillis = to.UnixMilli()
	}
	return out
}

type auditList struct {
	auditFilter
	Limit int  `help:"At most so many entries, the newest ones." default:"100" placeholder:"N"`
	JSON  bool `name:"json" help:"Print as JSON."`
}

// Help implements kong.HelpProvider.
func (auditList) Help() string {
	return examples(
		"signpath audit --data DIR list --limit 20",
		"signpath audit --data DIR list --type SigningPolicy.Changed --from 2027-01-01 --json",
	)
}

// Run prints a table.
func (c *auditList) Run(ctx context.Context, t *terminal, p *place) error {
	if c.Limit < 1 {
		return usage(fmt.Errorf("--limit is %d; it must be 1 or more", c.Limit), "")
	}
	return p.readLog(ctx, t, func(log store.Store) error {
		rows, err := newest(ctx, log, c.filter(), c.Limit)
		if err != nil {
			return err
		}
		if c.JSON {
			items := make([]json.RawMessage, len(rows))
			for i, r := range rows {
				items[i] = r.Leaf
			}
			return t.json(map[string]any{"items": items})
		}
		table := [][]string{{"SEQ", "TIME", "TYPE", "WHO", "WHAT"}}
		for _, r := range rows {
			e, err := audit.ParseLeaf(r.Leaf)
			if err != nil {
				return fmt.Errorf("entry %d cannot be read: %w", r.Seq, err)
			}
			table = append(table, []string{strconv.FormatUint(e.Seq, 10), e.Time.UTC().Format("2006-01-02 15:04:05.000"), e.Event.Type, who(e.Event.Actor), what(e.Event.Data)})
		}
		return t.table(table)
	})
}

// newest walks backwards through the log until it has enough entries.
func newest(ctx context.Context, log store.Store, f store.AuditFilter, limit int) ([]store.AuditRow, error) {
	head, err := log.AuditHead(ctx)
	if err != nil {
		return nil, err
	}
	var out []store.AuditRow
	for end := head.Size; end > 0 && len(out) < limit; {
		start := end - min(end, admin.MaxAuditRows)
		rows, err := log.AuditRows(ctx, start, admin.MaxAuditRows, f)
		if err != nil {
			return nil, err
		}
		for len(rows) > 0 && rows[len(rows)-1].Seq > end {
			rows = rows[:len(rows)-1]
		}
		out = append(rows, out...)
		end = start
	}
	return out[max(0, len(out)-limit):], nil
}

func who(a audit.Actor) string {
	name := a.Name
	if name == "" {
		name = a.ID
	}
	return strings.TrimSpace(a.Type + " " + name)
}

// what is the gist of an entry's data: what it is about, in the order of this list.
func what(data json.RawMessage) string {
	var v map[string]any
	if json.Unmarshal(data, &v) != nil {
		return ""
	}
	if after, ok := v["after"].(map[string]any); ok {
		v = after
	}
	var parts []string
	for _, name := range []string{"project", "projectSlug", "slug", "policy", "signingPolicySlug", "name", "userName", "algorithm", "hashAlgorithm", "hash", "reason", "id"} {
		if s, ok := v[name].(string); ok && s != "" && (name != "id" || len(parts) == 0) {
			parts = append(parts, s)
		}
	}
	return clipped(strings.Join(parts, " "), 100)
}

func clipped(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

type auditExport struct {
	auditFilter
	Out string `help:"File to write in place of stdout; it appears when it is complete." placeholder:"FILE"`
}

// Help implements kong.HelpProvider.
func (auditExport) Help() string {
	return "Only an export without filters can be verified.\n\n" + examples("signpath audit --data DIR export --out audit.jsonl", "signpath audit --data DIR export --from 30d | jq .type")
}

// Run writes JSON lines.
func (c *auditExport) Run(ctx context.Context, t *terminal, p *place) error {
	return p.readLog(ctx, t, func(log store.Store) error {
		_, err := slow(t, "exporting the audit log", func() (struct{}, error) {
			return struct{}{}, t.output(c.Out, func(w io.Writer) error { return audit.Export(ctx, log, w, c.filter()) })
		})
		return err
	})
}

type auditCheckpoint struct {
	Out string `help:"File to write in place of stdout." placeholder:"FILE"`
}

// Help implements kong.HelpProvider.
func (auditCheckpoint) Help() string {
	return examples("signpath audit --data DIR checkpoint --out \"$(date +%F).checkpoint\"")
}

// Run writes the signed note.
func (c *auditCheckpoint) Run(ctx context.Context, t *terminal, p *place) error {
	var out admin.Checkpoint
	if err := p.do(ctx, t, "audit.checkpoint", struct{}{}, &out); err != nil {
		return err
	}
	return t.output(c.Out, func(w io.Writer) error { _, err := io.WriteString(w, out.Note); return err })
}

type auditKey struct{}

// Help implements kong.HelpProvider.
func (auditKey) Help() string { return examples("signpath audit --data DIR key > audit.vkey") }

// Run prints the verifier key.
func (c *auditKey) Run(ctx context.Context, t *terminal, p *place) error {
	var out admin.AuditKey
	if err := p.do(ctx, t, "audit.key", struct{}{}, &out); err != nil {
		return err
	}
	return t.print(out.VerifierKey)
}

type auditVerify struct {
	Exported string   `name:"export" help:"Verify this export in place of an installation." placeholder:"FILE"`
	Anchor   []string `help:"Checkpoint that was kept; may be repeated." placeholder:"FILE"`
	Key      string   `help:"Verifier key of the checkpoints, or a file with it." placeholder:"VKEY|FILE"`
	JSON     bool     `name:"json" help:"Print the report as JSON."`
}

// Help implements kong.HelpProvider.
func (auditVerify) Help() string {
	return "Without --anchor it proves only that the log is consistent in itself.\n\n" + examples(
		"signpath audit --data DIR verify --anchor monday.checkpoint --key audit.vkey",
		"signpath audit verify --export audit.jsonl --anchor monday.checkpoint --key audit.vkey",
	)
}

// Run tells whether the log is intact.
func (c *auditVerify) Run(ctx context.Context, t *terminal, p *place) error {
	options, err := c.options()
	if err != nil {
		return err
	}
	report, err := slow(t, "verifying the audit log", func() (*audit.Report, error) {
		if c.Exported != "" {
			f, err := os.Open(c.Exported)
			if err != nil {
				return nil, badInput(err, "")
			}
			defer f.Close()
			return audit.Verify(audit.Lines(f), options)
		}
		var report *audit.Report
		err := p.readLog(ctx, t, func(log store.Store) (err error) {
			report, err = audit.VerifyStore(ctx, log, options)
			return err
		})
		return report, err
	})
	if err != nil {
		return err
	}
	if report.Anchored == 0 {
		t.warning("no checkpoint was given: the log is consistent in itself, but whoever can write to the database could have replaced all of it")
	}
	if c.JSON {
		return t.json(map[string]any{
			"size": report.Size, "root": hex.EncodeToString(report.Root[:]), "anchored": report.Anchored, "intents": report.Intents,
			"openIntents": numbers(report.OpenIntents), "unknownOutcomes": report.Unknown, "strayOutcomes": numbers(report.StrayOutcomes),
		})
	}
	return t.print(verdict(report))
}

// numbers is a list that is [] in JSON when there is nothing in it.
func numbers(list []uint64) []uint64 { return append([]uint64{}, list...) }

// options reads the checkpoints and the key that were kept.
func (c *auditVerify) options() (audit.VerifyOptions, error) {
	var o audit.VerifyOptions
	for _, file := range c.Anchor {
		data, err := os.ReadFile(file)
		if err != nil {
			return o, badInput(err, "")
		}
		o.Anchors = append(o.Anchors, data)
	}
	if len(c.Anchor) > 0 && c.Key == "" {
		return o, usage(errors.New("--anchor needs the verifier key of the checkpoints"), "give --key; the key was printed by: signpath audit --data DIR key")
	}
	o.VerifierKey = c.Key
	if _, err := os.Stat(c.Key); c.Key != "" && err == nil {
		if o.VerifierKey, err = readSecretFile(c.Key); err != nil {
			return o, err
		}
	}
	return o, nil
}

// verdict is the report of an intact log in a sentence.
func verdict(r *audit.Report) string {
	s := fmt.Sprintf("intact: %d entries, %d signatures announced", r.Size, r.Intents)
	if r.Unknown > 0 {
		s += fmt.Sprintf(", %d of them with unknown outcome", r.Unknown)
	}
	if n := len(r.OpenIntents); n > 0 {
		s += fmt.Sprintf(", %d under way", n)
	}
	if n := len(r.StrayOutcomes); n > 0 {
		s += fmt.Sprintf(", %d outcomes without announcement (first: entry %d)", n, r.StrayOutcomes[0])
	}
	if r.Anchored > 0 {
		s += fmt.Sprintf("; entries up to %d are proven by a checkpoint", r.Anchored)
	}
	return s
}
