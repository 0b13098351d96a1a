package main

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"signpath/internal/service/admin"
)

// adminFlags are the flags of every admin command.
type adminFlags struct {
	place
	Org  string `help:"Organization, by name or identifier; not needed when there is one only." placeholder:"ORG"`
	JSON bool   `name:"json" help:"Print as JSON."`
}

func (f *adminFlags) organization() admin.OrganizationReference {
	return admin.OrganizationReference{Organization: f.Org}
}

// adminCommands are what an operator can do; one file per object.
type adminCommands struct {
	adminFlags

	Organization organizationCommands `cmd:"" aliases:"org" help:"Organizations: create, list, rename, activate, deactivate, quota, set-quota, set-limits, set-retention."`
	User         userCommands         `cmd:"" help:"Users: create, list, edit, invite, activate, deactivate, set-roles."`
	Group        groupCommands        `cmd:"" help:"User groups: create, list, rename, set-members, add-members, remove-members, delete."`
	Token        tokenCommands        `cmd:"" help:"API tokens: create, list, edit, regenerate, revoke."`
	Project      projectCommands      `cmd:"" help:"Projects: create, list, edit, activate, deactivate."`
	Policy       policyCommands       `cmd:"" help:"Signing policies: create, list, edit, activate, deactivate, stop, resume."`
	Certificate  certificateCommands  `cmd:"" help:"Certificates and OpenPGP keys: create, create-csr, csr, upload, import-pfx, create-gpg, revocation, renew, edit, delete-key, list, export, activate, deactivate."`
	Webhook      webhookCommands      `cmd:"" help:"Webhooks: create, list, edit, deliveries, activate, deactivate, delete."`
	Request      requestCommands      `cmd:"" help:"Asynchronous signing requests: list, show, cancel."`
	Key          keyCommands          `cmd:"" help:"Private keys: stop, resume."`

	Backup  backupCommand  `cmd:"" help:"Write the whole installation into one file, also while the server runs."`
	Restore restoreCommand `cmd:"" help:"Make an installation from a backup, on either database."`
	Reseal  resealCommand  `cmd:"" help:"Seal everything with a new key-encryption key."`

	TrustedBuildSystem buildSystemCommands `cmd:"" aliases:"tbs" help:"Trusted build systems: create, list, edit, regenerate, delete."`
}

// AfterApply hands the common flags to the commands below.
func (c *adminCommands) AfterApply(k *kong.Context) error {
	k.Bind(&c.adminFlags)
	return nil
}

// Help implements kong.HelpProvider.
func (adminCommands) Help() string {
	return `The commands work whether the server runs or not: they talk to it through the socket in the data folder, or open the data themselves. With --database they work on PostgreSQL. Every change is written to the audit log with the operating system's user name.

From nothing to the first signature:

` + examples(
		"signpath admin --data DIR organization create Example",
		"signpath admin --data DIR certificate create release --common-name 'Example Inc.'",
		"signpath admin --data DIR project create app",
		"signpath admin --data DIR user create build --kind ci",
		"signpath admin --data DIR policy create app/release --certificate release --submitter build",
		"signpath admin --data DIR token create build",
	)
}

// day is a date for people.
func day(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04")
}

func dayOrNever(t *time.Time) string {
	if t == nil {
		return "never"
	}
	return day(*t)
}

func state(active bool) string {
	if active {
		return "active"
	}
	return "inactive"
}

func listed(names []string) string {
	if len(names) == 0 {
		return "-"
	}
	return strings.Join(names, ",")
}

// moment is a point in time as people type it: a date, a date with time (RFC
// 3339), or a distance from now such as 90d or 12h, whose direction is the
// command's.
type moment struct {
	at       time.Time
	distance time.Duration
}

// UnmarshalText implements encoding.TextUnmarshaler; kong uses it.
func (m *moment) UnmarshalText(text []byte) error {
	s := string(text)
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, s, time.UTC); err == nil {
			m.at = t.UTC()
			return nil
		}
	}
	d, err := distance(s)
	if err != nil || d <= 0 {
		return fmt.Errorf("%q is not a time: give a date (2027-01-31), a time (2027-01-31T12:00:00Z) or a distance from now (90d, 12h)", s)
	}
	m.distance = d
	return nil
}

// future is nil for a moment that was not given; distances count from now on.
func (m moment) future() *time.Time { return m.resolve(m.distance) }

// past is future with distances that count backwards.
func (m moment) past() *time.Time { return m.resolve(-m.distance) }

func (m moment) resolve(d time.Duration) *time.Time {
	t := m.at
	if d != 0 {
		t = time.Now().UTC().Add(d)
	}
	if t.IsZero() {
		return nil
	}
	return &t
}

// distance reads 90d, 3y or what time.ParseDuration knows.
func distance(s string) (time.Duration, error) {
	for suffix, unit := range map[string]time.Duration{"d": 24 * time.Hour, "y": 365 * 24 * time.Hour} {
		if n, ok := strings.CutSuffix(s, suffix); ok {
			v, err := strconv.ParseUint(n, 10, 16)
			if time.Duration(v) > math.MaxInt64/unit {
				return 0, errors.New("too long")
			}
			return time.Duration(v) * unit, err
		}
	}
	return time.ParseDuration(s)
}
