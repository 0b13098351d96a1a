package rig

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Program is the path of a program that scripts/test built or fetched, named by an
// environment variable.
func Program(t *testing.T, variable string) string {
	t.Helper()
	p := os.Getenv(variable)
	if p == "" {
		t.Fatalf("%s is not set (run scripts/test, which builds the program)", variable)
	}
	return p
}

// Registry is a container registry on loopback.
type Registry struct {
	Address string // 127.0.0.1:PORT
	program string
}

// StartRegistry starts e2e/notation/registry; it ends with the test.
func StartRegistry(t *testing.T) *Registry {
	t.Helper()
	g := &Registry{program: Program(t, "E2E_REGISTRY")}
	c := exec.Command(g.program, "serve")
	in := Must(c.StdinPipe())
	out := Must(c.StdoutPipe())
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close(); _ = c.Wait() })
	line := Must(bufio.NewReader(out).ReadString('\n'))
	address, ok := strings.CutPrefix(strings.TrimSpace(line), "ready ")
	if !ok {
		t.Fatalf("the registry said %q", line)
	}
	g.Address = address
	return g
}

// Push makes an image in a repository and gives its digest, sha256:….
func (g *Registry) Push(t *testing.T, repository, content string) string {
	t.Helper()
	return strings.TrimSpace(g.Do(t, "push", repository, content).Output)
}

// Do runs another command of the program; see its comment.
func (g *Registry) Do(t *testing.T, command, repository string, args ...string) *Result {
	t.Helper()
	return Run(t, nil, g.program, append([]string{command, g.Address + "/" + repository}, args...)...).OK(t)
}
