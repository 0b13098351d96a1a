package winrig

import (
	"os"
	"os/exec"

	"signpath/e2e/rig"
)

// Make makes a taught prefix for a program that is not a test; remove ends it.
func Make() (p *Prefix, remove func(), err error) {
	if p, err = create(rig.Here, "amd64", true); err != nil {
		return nil, nil, err
	}
	return p, p.remove, nil
}

// AddLocalKSP installs a key storage provider whose key answers at once (localksp.c)
// under a name; the variable RIG_LOCAL_KEY of the program names its key.
func (p *Prefix) AddLocalKSP(name string) error {
	dll, err := compile(p.Arch, "localksp.dll", source("localksp.c"), "-lbcrypt")
	if err != nil {
		return err
	}
	if err := p.Put(dll, p.System32("localksp.dll")); err != nil {
		return err
	}
	return p.importText(kspRegistry(name, "localksp.dll"))
}

// Run runs a Windows program with these variables and returns what it printed, for
// programs that are not tests.
func (p *Prefix) Run(vars []string, program string, args ...string) (string, error) {
	name, rest := p.line(program, args)
	out, err := os.CreateTemp(p.home(), "output-")
	if err != nil {
		return "", err
	}
	defer func() { _ = out.Close(); _ = os.Remove(out.Name()) }()
	c := exec.Command(name, rest...)
	c.Env, c.Stdout, c.Stderr = p.environment(vars), out, out
	err = c.Run()
	text, _ := os.ReadFile(out.Name())
	return string(text), err
}
