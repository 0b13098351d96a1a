package ksp

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"signpath/e2e/rig"
	winrig "signpath/e2e/windows/rig"
)

// TestRegistration: regsvr32 makes the provider known behind those of Microsoft, however
// often it runs, and takes away nothing but that. bcrypt.dll of testdata stands in for
// the functions that Wine lacks.
func TestRegistration(t *testing.T) {
	if os.Getenv("E2E_I386") != "" {
		return // the registry is the same; the other prefix has no DLL of its own to replace
	}
	w := winrig.Own(t, false)
	standIn := winrig.Compile(t, "amd64", "bcrypt.dll", "testdata/bcrypt/bcrypt.c", "testdata/bcrypt/bcrypt.def", "-ladvapi32")
	if err := w.Put(standIn, w.System32("bcrypt.dll")); err != nil {
		t.Fatal(err)
	}
	record := filepath.Join(t.TempDir(), "record")
	tl := w.Bare(t, "RECORD="+winrig.Path(record))
	tl.Env = append(tl.Env, "WINEDLLOVERRIDES=bcrypt=n")
	control := `HKLM\SYSTEM\CurrentControlSet\Control\Cryptography`
	list := control + `\Configuration\Local\Default\00010001\KEY_STORAGE`
	const microsoft = "Microsoft Software Key Storage Provider"
	expect := func(what, providers, image string) {
		t.Helper()
		if got := w.Value(t, list, "Providers"); strings.TrimSuffix(got, `\0`) != providers {
			t.Errorf("%s: the list is %q, not %q", what, got, providers)
		}
		if got := w.Value(t, control+`\Providers\SignPathKSP\UM`, "Image"); got != image {
			t.Errorf("%s: the image is %q, not %q", what, got, image)
		}
	}
	// As a machine is before: without us, with others.
	tl.Run(t, "regsvr32", "/s", "/u", dll).OK(t)
	tl.Run(t, "reg", "add", list, "/v", "Providers", "/t", "REG_MULTI_SZ", "/d", microsoft+`\0Microsoft Platform Crypto Provider`, "/f").OK(t)
	others := microsoft + `\0Microsoft Platform Crypto Provider`
	expect("removed", others, "")
	for _, what := range []string{"registered", "registered again"} {
		tl.Run(t, "regsvr32", "/s", dll).OK(t)
		expect(what, others+`\0SignPathKSP`, "SignPath.Ksp.dll")
	}
	um := control + `\Providers\SignPathKSP\UM\00010001`
	if f, n := w.Value(t, um, "Flags"), w.Value(t, um, "Functions"); f != "0x1" || strings.TrimSuffix(n, `\0`) != "KEY_STORAGE" {
		t.Errorf("flags %q, functions %q", f, n)
	}
	for _, what := range []string{"removed", "removed again"} {
		tl.Run(t, "regsvr32", "/s", "/u", dll).OK(t)
		expect(what, others, "")
	}
	// Elsewhere than in system32 the path counts; without the right to, the answer is an error.
	if err := w.Put(w.System32("SignPath.Ksp.dll"), w.C("Program Files", "SignPath", "SignPath.Ksp.dll")); err != nil {
		t.Fatal(err)
	}
	elsewhere := `C:\Program Files\SignPath\SignPath.Ksp.dll`
	tl.Run(t, "regsvr32", "/s", elsewhere).OK(t)
	expect("elsewhere", others+`\0SignPathKSP`, elsewhere)
	tl.Env = append(tl.Env, "REFUSE=1")
	tl.Run(t, "regsvr32", "/s", dll).Fails(t)
	calls := string(rig.Must(os.ReadFile(record)))
	if strings.Contains(calls, "harmful") || strings.Count(calls, "BCryptAddContextFunctionProvider SignPathKSP ffffffff") != 3 {
		t.Errorf("the calls were\n%s", calls)
	}
}
