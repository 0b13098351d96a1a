package msi

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"signpath/e2e/rig"
	winrig "signpath/e2e/windows/rig"
)

// distribution is a folder for scripts/package: the real build for x64 and Linux, and for
// 32-bit programs stand-ins, or the real build in the full matrix.
func distribution(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	small := filepath.Join(standIns(t, "0.1.0"), "windows-386")
	if rig.All {
		small = winrig.Dist("386")
	}
	for name, from := range map[string]string{"windows-amd64": winrig.Dist("amd64"), "windows-386": small, "windows-arm64": winrig.Dist("arm64"), filepath.Base(rig.Dist): rig.Dist} {
		if err := os.Symlink(from, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// pack runs scripts/package with the settings of a service.
func pack(t *testing.T, tl *rig.Tool, dist string, args ...string) *rig.Result {
	t.Helper()
	env := append([]string{"DIST=" + dist}, tl.Env...)
	for _, name := range []string{"GOCACHE", "GOPATH", "GOMODCACHE", "GOROOT"} {
		v := strings.TrimSpace(string(rig.Must(exec.Command("go", "env", name).Output())))
		env = append(env, name+"="+v)
	}
	return rig.Run(t, env, filepath.Join(rig.Root, "scripts", "package"), args...)
}

func uri(policy string) string {
	return "pkcs11:id=" + rig.Project + "/" + policy + ";type=private;pin-value=CONFIG"
}

// TestPackage makes the packages of the real build, signed by a key of the service
// through the PKCS #11 module: the signatures of the package and of all programs in it
// verify, break, and are on record; the package installs, and its program runs.
func TestPackage(t *testing.T) {
	s := rig.TheService(t)
	tl := s.Tool(t)
	dist := distribution(t)
	pack(t, tl, dist, "--sign-key", uri("rsa3072"), "--sign-certs", s.File("certificates", "rsa3072.chain.pem"), "windows-amd64").OK(t)
	out := filepath.Join(dist, "packages", "windows-amd64")
	version := strings.TrimSpace(string(rig.Must(os.ReadFile(filepath.Join(rig.Root, "VERSION")))))
	msi := filepath.Join(out, "SignPathCryptoProviders-"+version+".msi")
	for _, file := range []string{msi, filepath.Join(out, "SignPath.Windows.KSP.msi")} {
		s.Authenticode(t, rig.Here, file, "rsa3072")
	}
	// Under the names of the File table: msiextract puts the DLLs of both architectures to one place.
	inside := t.TempDir()
	cab := filepath.Join(inside, "files.cab")
	rig.Write(t, cab, rig.Must(exec.Command("msiinfo", "extract", msi, "files.cab").Output()))
	extract := exec.Command("gcab", "--extract", cab)
	extract.Dir = inside
	if said, err := extract.CombinedOutput(); err != nil {
		t.Fatalf("gcab: %v\n%s", err, said)
	}
	for _, name := range []string{"signpath.exe", "Cryptoki", "Ksp", "Csp"} {
		file := filepath.Join(inside, name)
		if filepath.Ext(name) == "" {
			file += ".dll"
			if err := os.Rename(filepath.Join(inside, name), file); err != nil {
				t.Fatal(err)
			}
		}
		s.Authenticode(t, rig.Here, file, "rsa3072")
	}
	for _, name := range []string{"Ksp32", "Csp32"} {
		verify := func(b []byte) *rig.Result {
			return rig.Run(t, nil, "osslsigncode", "verify", "-CAfile", s.File("ca.pem"), "-in", rig.Write(t, filepath.Join(t.TempDir(), name+".dll"), b))
		}
		b := rig.Must(os.ReadFile(filepath.Join(inside, name)))
		verify(b).OK(t).Says(t, "Signature verification: ok")
		b[0x400] ^= 1
		verify(b).Fails(t)
	}
	sums := exec.Command("sha256sum", "--strict", "-c", "SHA256SUMS")
	sums.Dir = out
	if said, err := sums.CombinedOutput(); err != nil || strings.Count(string(said), ": OK") != 4 {
		t.Errorf("SHA256SUMS: %v\n%s", err, said)
	}
	bom := string(rig.Must(os.ReadFile(filepath.Join(out, "SignPathCryptoProviders.bom.xml"))))
	for _, part := range []string{`<name>SignPathCryptoProviders</name>`, `pkg:generic/go@`, `pkg:golang/golang.org/x/crypto@`} {
		if !strings.Contains(bom, part) {
			t.Errorf("the bill of materials has no %s", part)
		}
	}

	m := newMachine(t)
	m.msiexec(t, "/i", msi).OK(t)
	m.tl.Run(t, m.at(programs+"signpath.exe"), "version").OK(t).Says(t, version)
	for path, from := range map[string]string{ksp64: "SignPath.Ksp.dll", csp64: "SignPath.Csp.dll"} {
		b := rig.Must(os.ReadFile(m.at(path)))
		built := rig.Must(os.ReadFile(winrig.DLL(t, "amd64", from)))
		if len(b) <= len(built) || string(b[1024:len(built)]) != string(built[1024:]) {
			t.Errorf("%s is not the built one with a signature", path)
		}
	}
	m.msiexec(t, "/x", msi).OK(t)
}

// TestUnsigned: a key that the service does not give is an error with its cause, and no
// package comes out.
func TestUnsigned(t *testing.T) {
	s := rig.TheService(t)
	dist := distribution(t)
	tl := s.Tool(t)
	pack(t, tl, dist, "--sign-key", uri("no-such-policy"), "--sign-certs", s.File("certificates", "rsa3072.chain.pem"), "windows-amd64").Fails(t).Says(t, "osslsigncode could not sign")
	if found, _ := filepath.Glob(filepath.Join(dist, "packages", "windows-amd64", "*.msi")); len(found) > 0 {
		t.Errorf("packages without a signature: %q", found)
	}
	pack(t, tl, dist, "--sign-key", uri("rsa3072"), "windows-amd64").Fails(t).Says(t, "--sign-certs")
}

// TestReproducible: the installer's actions, built again elsewhere, are the same bytes, and
// so is a package.
func TestReproducible(t *testing.T) {
	first := rig.Must(tools())
	for _, arch := range []string{"amd64", "386"} {
		again := filepath.Join(t.TempDir(), "again.dll")
		rig.Run(t, nil, filepath.Join(rig.Root, "packaging", "windows", "action", "build"), arch, again).OK(t)
		if string(rig.Must(os.ReadFile(again))) != string(rig.Must(os.ReadFile(filepath.Join(first, "action-"+arch+".dll")))) {
			t.Errorf("the actions for %s are other bytes when they are built again", arch)
		}
	}
	one, other := build(t, "0.1.0"), build(t, "0.1.0")
	if string(rig.Must(os.ReadFile(one))) != string(rig.Must(os.ReadFile(other))) {
		t.Error("the same files gave another package")
	}
}

// TestOthers: packages for x86 and arm64 are made, and are what their names say; the
// same files in give the same packages out.
func TestOthers(t *testing.T) {
	if !rig.All {
		return
	}
	s := rig.TheService(t)
	dist := distribution(t)
	for _, arch := range []string{"386", "arm64"} {
		pack(t, s.Tool(t), dist, "windows-"+arch).OK(t)
		first := contents(t, filepath.Join(dist, "packages", "windows-"+arch))
		pack(t, s.Tool(t), dist, "windows-"+arch).OK(t)
		for name, b := range contents(t, filepath.Join(dist, "packages", "windows-"+arch)) {
			if first[name] != b {
				t.Errorf("%s for %s is another one the second time", name, arch)
			}
		}
	}
	for name, template := range map[string]string{"windows-386/SignPathCryptoProviders-*-x86.msi": "Intel;1033", "windows-arm64/SignPathCryptoProviders-*-arm64.msi": "Arm64;1033"} {
		found := rig.Must(filepath.Glob(filepath.Join(dist, "packages", filepath.FromSlash(name))))
		if len(found) != 1 {
			t.Fatalf("%s: %q", name, found)
		}
		rig.Run(t, nil, "msiinfo", "suminfo", found[0]).OK(t).Says(t, template)
	}
}

func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, e := range rig.Must(os.ReadDir(dir)) {
		out[e.Name()] = string(rig.Must(os.ReadFile(filepath.Join(dir, e.Name()))))
	}
	return out
}
