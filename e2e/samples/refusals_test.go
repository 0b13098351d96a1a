package samples

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"signpath/e2e/rig"
)

// TestWrongParameters is what a person gets who makes one of the usual mistakes on the
// command line: code 2 or 3, and a sentence that tells what to do.
func TestWrongParameters(t *testing.T) {
	s := rig.TheService(t)
	key := rig.Keys()[0]
	good := []string{"-Scenario", "OpenSSL", "-ProjectSlug", rig.Project, "-SigningPolicySlug", key, "-LibSignPathCryptokiPath", rig.Module, "-OutputDirectory", t.TempDir()}
	with := func(args ...string) []string { return append(append([]string{}, good...), args...) }
	without := func(name string) []string {
		var rest []string
		for i := 0; i < len(good); i += 2 {
			if good[i] != name {
				rest = append(rest, good[i:i+2]...)
			}
		}
		return rest
	}
	for name, c := range map[string]struct {
		args []string
		env  []string
		code int
		says string
	}{
		"no parameter":              {nil, nil, 2, "-Scenario is missing"},
		"unknown scenario":          {with("-Scenario", "OpenSLL"), nil, 2, "Notation OpenSSL osslsigncode"},
		"unknown parameter":         {with("-ProjectSlgu", "x"), nil, 2, "-ProjectSlgu is not a parameter"},
		"empty variable":            {with("-ApiUrl", ""), nil, 2, "-ApiUrl needs a value"},
		"value forgotten":           {with("-ApiUrl", "-ApiToken", "x"), nil, 2, "-ApiUrl needs a value"},
		"last value forgotten":      {with("-File"), nil, 2, "-File needs a value"},
		"no project":                {without("-ProjectSlug"), nil, 2, "-ProjectSlug is missing"},
		"no policy":                 {without("-SigningPolicySlug"), nil, 2, "-SigningPolicySlug is missing"},
		"no token":                  {good, []string{"SIGNPATH_API_TOKEN="}, 3, "set SIGNPATH_API_TOKEN"},
		"no organization":           {good, []string{"SIGNPATH_ORGANIZATION_ID="}, 3, "-OrganizationId"},
		"no module":                 {with("-LibSignPathCryptokiPath", "/no/such.so"), nil, 3, "/no/such.so cannot be read"},
		"no configuration file":     {with("-ConfigFile", "/no/such.json"), nil, 3, "/no/such.json cannot be read"},
		"no file":                   {with("-File", "/no/such.bin"), nil, 3, "/no/such.bin cannot be read"},
		"unknown set-up":            {with("-OpenSslSetup", "Nonsense"), nil, 3, "Variables, ConfigFile or Provider"},
		"tool is not installed":     {with("-Scenario", "osslsigncode"), []string{"PATH=" + programs(t, "bash", "dirname", "od", "tr", "mkdir", "openssl", "find", "sort", "sed", "basename", "realpath", "date", "cat", "grep", "awk", "cut", "tail", "uname")}, 3, "apt-get install osslsigncode"},
		"base without a file":       {with("-Container", "alpine:3"), nil, 2, "no container file for the base"},
		"no engine":                 {with("-Container", "debian:12", "-ContainerEngine", "no-such-engine"), nil, 3, "install docker or podman"},
		"a path with a colon":       {with("-Container", "debian:12", "-OutputDirectory", filepath.Join(t.TempDir(), "a:b")), nil, 2, "no path with a colon"},
		"names that differ in case": {[]string{"-SCENARIO", "openssl", "-projectslug", rig.Project, "--SigningPolicySlug", key, "-libsignpathcryptokipath", rig.Module, "-outputdirectory", t.TempDir(), "-openssldgst"}, nil, 0, "Verified OK"},
	} {
		t.Run(name, func(t *testing.T) {
			r := s.Tool(t, c.env...).Run(t, program, c.args...).Says(t, c.says)
			if r.Code != c.code {
				t.Errorf("ended with %d, not %d:\n%s", r.Code, c.code, r.Output)
			}
		})
	}
}

// programs is a folder with these programs only.
func programs(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, n := range names {
		for _, from := range []string{"/bin/", "/usr/bin/"} {
			if _, err := os.Stat(from + n); err == nil {
				_ = os.Symlink(from+n, filepath.Join(dir, n))
			}
		}
	}
	return dir
}

// TestRefused is what a person gets whom the service refuses: code 1 and the sentence of
// the module's log, which says what to do.
func TestRefused(t *testing.T) {
	s := rig.TheService(t)
	other := strings.TrimSpace(string(rig.Must(os.ReadFile(s.File("other-token")))))
	wrong := strings.Repeat("A", 44)
	stopped := rig.OwnService(t)
	stopped.Stop()
	for _, scenario := range []string{"OpenSSL", "Pkcs11Tool", "osslsigncode", "JarSigner"} {
		for name, c := range map[string]struct {
			service *rig.Service
			env     []string
			says    string
		}{
			"wrong token":               {s, []string{"SIGNPATH_API_TOKEN=" + wrong}, "SIGNPATH_API_TOKEN"},
			"policy of somebody else":   {s, []string{"SIGNPATH_API_TOKEN=" + other}, "Submitter"},
			"stopped service":           {stopped, []string{"SIGNPATH_SERVICE_UNAVAILABLE_TIMEOUT_IN_SECONDS=1"}, "connection refused"},
			"token in the command line": {s, []string{"SIGNPATH_API_TOKEN="}, "SIGNPATH_API_TOKEN"},
		} {
			t.Run(scenario+"/"+name, func(t *testing.T) {
				tl := c.service.Tool(t, c.env...)
				var more []string
				secret := strings.TrimPrefix(c.env[0], "SIGNPATH_API_TOKEN=")
				if secret == "" {
					secret = wrong
					more = []string{"-ApiToken", secret}
				}
				r := place("").run(t, tl, scenario, rig.Keys()[0], t.TempDir(), more...)
				if r.Code != 1 && r.Code != 3 {
					t.Errorf("ended with %d", r.Code)
				}
				r.Says(t, c.says)
				if c.service == s {
					s.Nowhere(t, secret, tl, r)
				}
			})
		}
	}
}

// TestOwnFile: a file of one's own is signed as a copy; it stays as it is.
func TestOwnFile(t *testing.T) {
	s := rig.TheService(t)
	file, changed, content := rig.Artifact(t)
	out := t.TempDir()
	place("").run(t, s.Tool(t), "OpenSSL", "p256", out, "-File", file, "-OpenSslDgst").OK(t)
	if string(rig.Must(os.ReadFile(file))) != string(content) {
		t.Error("the file was changed")
	}
	verify := dgst("artifact.bin.sig")
	verify(t, s, "p256", out, file).OK(t)
	verify(t, s, "p256", out, changed).Fails(t)
	s.Audited(t, rig.SHA256Of(content), "p256")
	if _, err := os.Stat(filepath.Join(out, "artifact.bin.cms")); err == nil {
		t.Error("-OpenSslDgst alone made a CMS file, too")
	}
}

// TestSetups: the three ways to tell OpenSSL of the module that this machine can have,
// and the certificate from a file instead of from the module.
func TestSetups(t *testing.T) {
	s := rig.TheService(t)
	for _, setup := range []string{"Variables", "ConfigFile"} {
		t.Run(setup, func(t *testing.T) {
			out := t.TempDir()
			place("").run(t, s.Tool(t), "OpenSSL", "rsa3072", out, "-OpenSslSetup", setup, "-CertificateFile", s.File("certificates", "rsa3072.chain.pem"), "-RootCertificateFile", s.File("ca.pem")).OK(t).Says(t, "("+setup+")")
			dgst("artifact.bin.sig")(t, s, "rsa3072", out, filepath.Join(out, "artifact.bin")).OK(t)
		})
	}
	t.Run("another certificate", func(t *testing.T) {
		place("").run(t, s.Tool(t), "OpenSSL", "rsa3072", t.TempDir(), "-OpenSslDgst", "-CertificateFile", s.File("certificates", "p256.chain.pem")).Fails(t)
	})
}

// TestContainerCommand: what the engine is told has no secret on its command line.
func TestContainerCommand(t *testing.T) {
	s := rig.TheService(t)
	dir := t.TempDir()
	told := filepath.Join(dir, "told")
	rig.Write(t, filepath.Join(dir, "podman"), []byte("#!/bin/sh\nprintf '%s\\n' \"$@\" >>"+told+"\n"))
	rig.Must(0, os.Chmod(filepath.Join(dir, "podman"), 0o700))
	tl := s.Tool(t)
	tl.Run(t, program, "-Scenario", "OpenSSL", "-ProjectSlug", rig.Project, "-SigningPolicySlug", "p256", "-LibSignPathCryptokiPath", rig.Module,
		"-OutputDirectory", dir, "-Container", "ubuntu:24.04", "-ContainerEngine", filepath.Join(dir, "podman")).OK(t)
	text := string(rig.Must(os.ReadFile(told)))
	for _, want := range []string{"BASE=ubuntu:24.04", filepath.Join(samples, "DebianBased", "Dockerfile"), "\n-e\nSIGNPATH_API_TOKEN\n", rig.Module + ":/usr/local/lib/libSignPath.Cryptoki.so:ro"} {
		if !strings.Contains(text, want) {
			t.Errorf("the engine was not told %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, s.Env["SIGNPATH_API_TOKEN"]) {
		t.Error("the token stands on the engine's command line")
	}
}
