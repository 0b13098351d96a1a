//go:build linux

package hardening

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A program that has called Process cannot be dumped, and what it starts has no
// core files either. In a process of its own: this one is to be debugged.
func TestProcess(t *testing.T) {
	const inside = "HARDENING_TEST"
	if os.Getenv(inside) == "" {
		c := exec.Command("/proc/self/exe", "-test.run=^TestProcess$", "-test.v")
		c.Env = append(os.Environ(), inside+"=1")
		if out, err := c.CombinedOutput(); err != nil || !strings.Contains(string(out), "PASS") {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	if err := Process(); err != nil {
		t.Fatal(err)
	}
	if err := NoNewRights(); err != nil {
		t.Fatal(err)
	}
	if v, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); err != nil || v != 0 {
		t.Errorf("dumpable: %d, %v", v, err)
	}
	if v, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); err != nil || v != 1 {
		t.Errorf("no new rights: %d, %v", v, err)
	}
	if out, err := exec.Command("sh", "-c", "ulimit -Hc").Output(); err != nil || strings.TrimSpace(string(out)) != "0" {
		t.Errorf("core files of children: %q, %v", out, err)
	}
}
