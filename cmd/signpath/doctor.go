package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"unicode/utf8"

	"signpath/internal/buildinfo"
	"signpath/internal/provider/doctor"
	"signpath/internal/provider/settings"
)

// providerFlags are settings that stand above environment and file.
type providerFlags struct {
	Config string `help:"Configuration file, in place of the one that SIGNPATH_CONFIG_FILE names." placeholder:"FILE"`
}

// doctorCommand finds out why signing does not work.
type doctorCommand struct {
	providerFlags
	Project string `help:"Look at the keys of this project, as ProjectSlug does." placeholder:"SLUG"`
	Policy  string `help:"Look at this signing policy, as SigningPolicySlug does; PROJECT/POLICY names both." placeholder:"SLUG"`
	Module  string `help:"Check whether this PKCS #11 module can be loaded here. Default: that of PKCS11_MODULE_PATH, else the one beside signpath." placeholder:"FILE.so"`
	JSON    bool   `name:"json" help:"Print as JSON."`
}

// Help implements kong.HelpProvider.
func (doctorCommand) Help() string {
	return `It looks at what a crypto provider would use (environment and configuration file, the same names), at the way to the service and at the keys in sight, and prints one line per check:

  ok        works
  note      works; worth knowing
  warning   works, but may not for every tool, or not for long
  failed    signing cannot work like this
  skipped   could not be looked at; the line says why

Below a line stands what to do. Nothing is signed and nothing is changed; the module is loaded in another process (signpath-hsm; on Windows this program once more), never in this one; of the token only length and form are shown. Exit code: 0 when nothing failed (warnings do not count), 1 when something did, 130 when it was stopped.

` + examples(
		"signpath doctor",
		"signpath doctor --config /etc/signpath.json --policy my-project/release",
		"signpath doctor --module /usr/lib/libSignPath.Cryptoki.so --json",
	)
}

// Run prints the report.
func (c *doctorCommand) Run(ctx context.Context, t *terminal) error {
	ctx, stop := untilStopped(ctx)
	defer stop()
	explicit := settings.Explicit{ConfigFile: c.Config, ProjectSlug: c.Project, SigningPolicySlug: c.Policy}
	if project, policy, ok := strings.Cut(c.Policy, "/"); ok {
		if c.Project != "" && c.Project != project {
			return usage(fmt.Errorf("--project %s and --policy %s contradict each other", c.Project, c.Policy), "")
		}
		explicit.ProjectSlug, explicit.SigningPolicySlug = project, policy
	}
	module := c.Module
	if module == "" {
		module = os.Getenv("PKCS11_MODULE_PATH") // what OpenSSL's engine will load
	}
	if module == "" {
		module = moduleBeside()
	}
	facts, _ := slow(t, "looking at the way to the service", func() (*doctor.Facts, error) {
		return doctor.Gather(ctx, doctor.Input{Environ: os.Environ(), Explicit: explicit, Module: module, Helper: workerBeside(), Version: buildinfo.Version()}), nil
	})
	if facts.Canceled {
		return stopped()
	}
	results := doctor.Examine(facts)
	counts := map[doctor.Status]int{}
	for _, r := range results {
		counts[r.Status]++
	}
	print := c.lines
	if c.JSON {
		print = c.document
	}
	if err := print(t, facts, results, counts); err != nil {
		return err
	}
	if n := counts[doctor.Failed]; n > 0 {
		return &failure{exitFailed, fmt.Errorf("%d of %d lines say failed", n, len(results)), "what to do stands below each of them"}
	}
	return nil
}

// moduleBeside is this product's module when it lies in this program's folder.
func moduleBeside() string {
	self, err := os.Executable()
	if err != nil {
		return ""
	}
	name := "libSignPath.Cryptoki.so"
	switch runtime.GOOS {
	case "windows":
		name = "SignPath.Cryptoki.dll"
	case "darwin":
		name = "libSignPath.Cryptoki.dylib"
	}
	path := filepath.Join(filepath.Dir(self), name)
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}

// workerBeside is signpath-hsm where this program looks for it; "" when it is not there.
// On Windows it is this program.
func workerBeside() string {
	self, err := os.Executable()
	if err != nil {
		return ""
	}
	if runtime.GOOS == "windows" {
		return self
	}
	for _, folder := range workerFolders {
		path := filepath.Join(filepath.Dir(self), folder, workerName)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path
		}
	}
	return ""
}

// lines prints for people.
func (c *doctorCommand) lines(t *terminal, facts *doctor.Facts, results []doctor.Result, counts map[doctor.Status]int) error {
	rows := [][]string{{"SETTING", "VALUE", "FROM"}}
	for _, v := range facts.Settings.InForce() {
		name, from := v.JSON, v.Source
		if name == "" {
			name = "(configuration file)"
		}
		switch {
		case from == "" && v.Value == "":
			continue
		case from == "":
			from = "default"
		case from == "the tool":
			from = "command line"
		}
		rows = append(rows, []string{name, v.Value, from})
	}
	if err := t.table(rows); err != nil {
		return err
	}
	if err := t.print(""); err != nil {
		return err
	}
	width := 0
	for _, i := range doctor.Checks() {
		width = max(width, utf8.RuneCountInString(i.Name))
	}
	for _, r := range results {
		if err := t.print(fmt.Sprintf("%-7s  %-*s  %s", r.Status, width, r.Check, oneLine(r.Text))); err != nil {
			return err
		}
		if r.Cure != "" {
			if err := t.print(fmt.Sprintf("%-7s  %-*s  -> %s", "", width, "", oneLine(r.Cure))); err != nil {
				return err
			}
		}
	}
	return t.print(fmt.Sprintf("\nok %d, note %d, warning %d, failed %d, skipped %d", counts[doctor.OK], counts[doctor.Note], counts[doctor.Warning], counts[doctor.Failed], counts[doctor.Skipped]))
}

// document prints for scripts.
func (c *doctorCommand) document(t *terminal, facts *doctor.Facts, results []doctor.Result, counts map[doctor.Status]int) error {
	type value struct {
		Name        string `json:"name"`
		Environment string `json:"environment,omitempty"`
		Value       string `json:"value"`
		Source      string `json:"source"` // "default" when nobody gave it
	}
	values := []value{}
	for _, v := range facts.Settings.InForce() {
		source := v.Source
		if source == "" {
			source = "default"
		}
		values = append(values, value{v.JSON, v.Environment, v.Value, source})
	}
	return t.json(struct {
		OK       bool            `json:"ok"`
		Failed   int             `json:"failed"`
		Warnings int             `json:"warnings"`
		Checks   []doctor.Result `json:"checks"`
		Settings []value         `json:"settings"`
	}{counts[doctor.Failed] == 0, counts[doctor.Failed], counts[doctor.Warning], results, values})
}

// stopped is how a command ends that was told to stop.
func stopped() error { return &failure{exitStopped, errors.New("stopped"), ""} }
