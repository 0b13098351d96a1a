package ksp

import (
	"path/filepath"
	"strings"
	"testing"

	"signpath/e2e/rig"
	winrig "signpath/e2e/windows/rig"
)

// TestHostile: NULL, pointers that lead nowhere, handles that were freed, swapped or made
// up. Every call answers by the book; the program survives and nothing is signed.
func TestHostile(t *testing.T) {
	s := rig.TheService(t)
	everywhere(t, func(t *testing.T, h *host) {
		tl := h.tool(t, s)
		r := h.probe(t, tl, step("hostile", container(rig.Keys()[0]))).Says(t, "hostile: survived\n")
		calls := 0
		for _, l := range strings.Split(r.Output, "\n") {
			kind, rest, _ := strings.Cut(l, " ")
			what, status, _ := strings.Cut(rest, ": ")
			want := ""
			switch kind {
			case "NULL", "low", "wild", "closed", "guard":
				want = badParameter
			case "zero", "freed", "swapped", "foreign":
				want = badHandle
			case "valid":
				want = map[string]string{
					"OpenKey": badKeyset, "SignHash": "", "VerifySignature": badSignature, "FreeProvider": ok, "FreeKey": ok,
					"CreatePersistedKey": notSupported,
				}[what]
			}
			if want == "" {
				continue
			}
			if calls++; status != want {
				t.Errorf("%s: %s is %s, not %s", kind, what, status, want)
			}
		}
		if calls < 200 {
			t.Errorf("only %d calls:\n%s", calls, r.Output)
		}
		// The one signature is that of the valid handles.
		if strings.Count(tl.Log(), "signed key=") != 1 || strings.Contains(tl.Log(), "please report it") {
			t.Errorf("something was signed, or broke:\n%s", tl.Log())
		}
	})
}

// TestQuiet: nothing on the console unless asked for, and with closed standard handles
// everything works as ever.
func TestQuiet(t *testing.T) {
	s := rig.TheService(t)
	key := container(ecKey)
	everywhere(t, func(t *testing.T, h *host) {
		steps := []string{step("open", "p0"), step("key", "k0", "p0", "no/such", 0, 0), step("key", "k0", "p0", key, 0, 0), step("sign", "k0", "none", "", 0, winrig.Path(quick(t)), 0, 512, "")}
		r := h.probe(t, h.tool(t, s), steps...)
		for _, l := range strings.Split(strings.TrimSpace(r.Output), "\n") {
			if !strings.Contains(l, ": 0x") && l != "GetLastError was left alone" {
				t.Errorf("a line of the provider: %s", l)
			}
		}
		h.probe(t, h.tool(t, s, "SIGNPATH_LOG_CONSOLE_LEVEL=error"), steps...).Says(t, "Submitter of the signing policy")
		for _, level := range []string{"SIGNPATH_LOG_CONSOLE_LEVEL=", "SIGNPATH_LOG_CONSOLE_LEVEL=debug"} {
			results := filepath.Join(t.TempDir(), "results")
			h.toFile(t, h.tool(t, s, level), results, steps...).Says(t, "sign k0: "+ok+" 64\n")
		}
	})
}

// TestSecrets: neither the token nor a PIN that a program gives stands anywhere, at the
// most talkative level.
func TestSecrets(t *testing.T) {
	s := rig.TheService(t)
	const pin = "a-pin-of-a-smart-card"
	everywhere(t, func(t *testing.T, h *host) {
		tl := h.tool(t, s, "SIGNPATH_LOG_FILE_LEVEL=verbose", "SIGNPATH_LOG_CONSOLE_LEVEL=verbose")
		arguments := filepath.Join(t.TempDir(), "pin")
		rig.Write(t, arguments, wide(pin)) // in a file: the command line is sent to the service
		r := h.probe(t, tl, step("open", "p0"), step("key", "k0", "p0", container(ecKey), 0, 0), step("setfile", "k0", "SmartCardPin", winrig.Path(arguments), 0x40),
			step("prop", "k0", "SmartCardPin", 0), step("sign", "k0", "none", "", 0, winrig.Path(quick(t)), 0, 512, ""))
		r.Says(t, "setfile k0: "+ok+"\n").Says(t, "prop k0: "+notSupported+" SmartCardPin\n").Says(t, "sign k0: "+ok+" 64\n").Says(t, "[SignHash@")
		for _, secret := range []string{pin, s.Env["SIGNPATH_API_TOKEN"]} {
			s.Nowhere(t, secret, tl.Tool, r)
		}
	})
}
