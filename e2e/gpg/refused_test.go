package gpg

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"signpath/e2e/rig"
)

// quick shortens the waits for a service that does not answer.
const quick = "SIGNPATH_SERVICE_UNAVAILABLE_TIMEOUT_IN_SECONDS=2"

// TestGPGInitRefused: the set-up fails at once, with a status, the cause and what to do.
func TestGPGInitRefused(t *testing.T) {
	t.Parallel()
	s := theService(t)
	other := strings.TrimSpace(string(rig.Must(os.ReadFile(s.File("other-token")))))
	call := func(project, policy string) string {
		return "InitializeSignPathCryptoProviderGpgSigning -ProjectSlug " + project + " -SigningPolicySlug " + policy + " -LibSignPathCryptokiPath '" + rig.Module + "'"
	}
	good := call(rig.Project, theKey)
	for _, c := range []struct {
		name string
		env  []string
		call string
		code int
		says []string
	}{
		{"wrong token", []string{"SIGNPATH_API_TOKEN=" + strings.Repeat("A", 44)}, good, 4, []string{"401", "SIGNPATH_API_TOKEN"}},
		{"no Submitter", []string{"SIGNPATH_API_TOKEN=" + other}, good, 4, []string{"no signing policy", theKey, "hint:"}},
		{"no such policy", nil, call(rig.Project, "missing"), 4, []string{"no signing policy", "missing", "signpath doctor"}},
		{"X.509 policy", nil, call(rig.Project, "rsa2048"), 4, []string{"no OpenPGP key", "GPG"}},
		{"stopped service", []string{quick, "SIGNPATH_API_URL=https://127.0.0.1:1/Api"}, good, 5, []string{"connection refused", "hint:"}},
		{"no token", []string{"SIGNPATH_API_TOKEN="}, good, 3, []string{"ApiToken", "SIGNPATH_API_TOKEN"}},
		{"no module", nil, good + ".missing", 3, []string{"there is no PKCS #11 module", "hint:"}},
		{"no slug", nil, "InitializeSignPathCryptoProviderGpgSigning -ProjectSlug x", 2, []string{"-SigningPolicySlug is missing"}},
		{"unknown parameter", nil, good + " -Token x", 2, []string{"-Token is not a parameter"}},
		{"empty value", nil, good + " -ApiToken ''", 2, []string{"-ApiToken needs a value"}},
		{"no smart card daemon", nil, "PATH=" + toolsWithout(t, "gnupg-pkcs11-scd") + "\n" + good, 3, []string{"gnupg-pkcs11-scd not found", "apt-get install gnupg-pkcs11-scd"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBuild(t, s, theKey, c.env...)
			r := b.sh(t, "TMPDIR=$PWD; [ ${#TMPDIR} -le 48 ] || TMPDIR=/tmp\n. '"+helper+"'\n"+c.call)
			if r.Code != c.code {
				t.Errorf("ended with %d, not %d:\n%s", r.Code, c.code, r.Output)
			}
			for _, text := range c.says {
				r.Says(t, text)
			}
			if token := s.Env["SIGNPATH_API_TOKEN"]; strings.Contains(r.Output, token) {
				t.Error("the token stands in what was said")
			}
		})
	}
}

// TestGPGOtherShells: a shell that is not Bash, and a run where the functions had to be
// sourced, say so; neither looks as if the set-up had been done.
func TestGPGOtherShells(t *testing.T) {
	t.Parallel()
	for _, file := range []string{helper, filepath.Join(rig.Root, "samples", "Linux", "InitializeSignPathCryptoProviderGpgSigning.sh")} {
		for _, c := range []struct {
			name    string
			command []string
			says    string
		}{
			{"dash", []string{"/bin/dash", "-c", "set -e; . '" + file + "'; echo went on"}, "is not Bash"},
			{"run", []string{"/bin/bash", file, "-ProjectSlug", "x"}, "Source it"},
		} {
			t.Run(filepath.Base(file)+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				r := rig.Run(t, nil, c.command[0], c.command[1:]...).Says(t, c.says).Says(t, "hint: ")
				if r.Code != 2 || strings.Contains(r.Output, "went on") {
					t.Errorf("ended with %d, not 2:\n%s", r.Code, r.Output)
				}
			})
		}
	}
}

// toolsWithout is a folder with links to all programs but one.
func toolsWithout(t *testing.T, program string) string {
	t.Helper()
	dir := t.TempDir()
	for _, from := range []string{"/usr/bin", "/bin"} {
		for _, e := range rig.Must(os.ReadDir(from)) {
			if e.Name() != program {
				_ = os.Symlink(from+"/"+e.Name(), dir+"/"+e.Name())
			}
		}
	}
	return dir
}

// TestGPGSigningRefused: what goes wrong after the set-up shows in the module's log,
// and gpg ends with an error.
func TestGPGSigningRefused(t *testing.T) {
	t.Parallel()
	s := theService(t)
	other := strings.TrimSpace(string(rig.Must(os.ReadFile(s.File("other-token")))))
	sign := `; gpgconf --kill all; gpg --batch -u "$GPG_KEY_ID" --detach-sign file`
	for _, c := range []struct {
		name, commands string
		says           string
		log            []string
	}{
		{"wrong token", "export SIGNPATH_API_TOKEN=" + strings.Repeat("A", 44) + sign, "signing failed", []string{"C_Login failed", "401", "CKR_ARGUMENTS_BAD"}},
		{"no Submitter", "export SIGNPATH_API_TOKEN=" + other + sign, "signing failed", []string{"WARN", "Submitter in no signing policy"}},
		{"digest that the wire does not know", `gpg --batch -u "$GPG_KEY_ID" --digest-algo SHA224 --detach-sign file`, "signing failed", []string{"C_Sign", "CKR_DATA_INVALID"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBuild(t, s, theKey)
			b.artifact(t, "file")
			r := b.signs(t, c.commands).Fails(t).Says(t, c.says)
			b.tool.InLog(t, c.log...)
			s.Nowhere(t, s.Env["SIGNPATH_API_TOKEN"], b.tool, r)
			if _, err := os.Stat(b.file("file.sig")); err == nil {
				t.Error("a signature file was left")
			}
		})
	}
}

// TestGPGAnotherService: address and organization are part of the card's serial number,
// so that gpg-agent asks for another card. Nobody may say yes to that, again and again.
func TestGPGAnotherService(t *testing.T) {
	t.Parallel()
	s := theService(t)
	b := newBuild(t, s, theKey)
	b.artifact(t, "file")
	address := strings.Replace(s.Env["SIGNPATH_API_URL"], "127.0.0.1", "localhost", 1)
	b.signs(t, "export SIGNPATH_API_URL="+address+`; gpgconf --kill all; gpg --batch -u "$GPG_KEY_ID" --detach-sign file`).Fails(t).Says(t, "Operation cancelled")
	log := string(rig.Must(os.ReadFile(filepath.Join(b.tool.Logs, "SignPath.CryptoProviders.Cli.txt"))))
	for _, text := range []string{"pinentry declined", "run it again", "serial number"} {
		if !strings.Contains(log, text) {
			t.Errorf("%q does not stand in the log:\n%s", text, log)
		}
	}
}

// TestGPGServiceAway: the service refuses, is away for a moment, or stays away, when gpg
// signs. Being away for a moment costs time, not the signature.
func TestGPGServiceAway(t *testing.T) {
	t.Parallel()
	const key = "gpg-rsa2048"
	dir := t.TempDir()
	s := rig.Must(rig.Start(dir, key))
	t.Cleanup(s.Stop)
	url, ca, _ := rig.Failing(t, s)
	b := newBuild(t, s, key, quick, "SIGNPATH_API_URL="+url, "SIGNPATH_TRUSTED_CA_FILE="+ca)
	b.artifact(t, "file")
	b.signs(t, `gpg --batch -u "$GPG_KEY_ID" --detach-sign file`).Fails(t).Says(t, "signing failed")
	b.tool.InLog(t, "C_Sign", "503", "CKR_FUNCTION_FAILED")

	address := strings.TrimSuffix(strings.TrimPrefix(s.Env["SIGNPATH_API_URL"], "https://"), "/Api")
	b, v := newBuild(t, s, key), newVerifier(t, s, key)
	b.artifact(t, "file")
	// The service comes back once the module has been refused.
	b.signs(t, fmt.Sprintf(`
gpgconf --kill all
kill %d
while kill -0 %[1]d 2>/dev/null && [ "$(sed 's/.*) //; s/ .*//' /proc/%[1]d/stat)" != Z ]; do sleep 0.05; done
gpg --batch -u "$GPG_KEY_ID" --detach-sign file & signing=$!
for i in $(seq 400); do ! grep -q 'is tried again' "$SIGNPATH_LOG_FILE_DIRECTORY"/SignPath.CryptoProviders.Cryptoki.txt || break; sleep 0.05; done
'%s' dev --dir '%s' --keys %s --listen %s >back 2>&1 & echo $! >pid
wait $signing`, s.Cmd.Process.Pid, rig.Binary, dir, key, address)).OK(t)
	v.gpg(t, b.file("file.sig"), b.file("file")).OK(t).Says(t, "VALIDSIG "+b.id)
	pid := string(b.read(t, "pid"))

	b = newBuild(t, s, key, quick)
	b.artifact(t, "file")
	b.signs(t, `gpgconf --kill all; kill `+pid+`
gpg --batch -u "$GPG_KEY_ID" --detach-sign file`).Fails(t).Says(t, "signing failed")
	b.tool.InLog(t, "C_Login failed", "connection refused", "CKR_FUNCTION_FAILED")
}

// TestGPGExpiry lets a key expire: gpg and the set-up say so, a renewed one works again
// under the same fingerprint, and old signatures stay good.
func TestGPGExpiry(t *testing.T) {
	t.Parallel()
	const key = "short-lived"
	s := theService(t)
	program := fmt.Sprintf("'%s'", rig.Binary)
	admin := program + " admin --data '" + s.File("data") + "' "
	renew := admin + "certificate renew " + key + " --expires "
	fetch := program + " gpg public-key --policy " + rig.Project + "/" + key + " --out '" + publicKey(s, key) + "'\n"
	rig.Run(t, nil, "sh", "-ec", admin+"certificate create-gpg "+key+" --key-type rsa2048 --user-name 'Short Lived' --email short@example.com --expires 1y\n"+
		admin+"policy create "+rig.Project+"/"+key+" --certificate "+key+" --submitter ci").OK(t)
	s.Tool(t).Run(t, "sh", "-ec", fetch).OK(t).Says(t, "Short Lived <short@example.com>")

	b := newBuild(t, s, key)
	b.artifact(t, "file")
	r := b.signs(t, `
gpg --batch -u "$GPG_KEY_ID" --detach-sign --output before.sig file
for seconds in 2 10 60; do # a busy machine takes its time
	ends=$(($(date +%s) + seconds))
	! `+renew+`"$(date -u -d @$ends +%FT%TZ)" || break
done
echo $ends >ends
`+fetch+`
while [ "$(date +%s)" -le $ends ]; do sleep 0.2; done
gpg --batch --quiet --import '`+publicKey(s, key)+`'
gpg --batch -u "$GPG_KEY_ID" --detach-sign --output after.sig file`)
	r.Fails(t).Says(t, "signing failed: Unusable secret key")
	v := newVerifier(t, s, key)
	v.gpg(t, b.file("before.sig"), b.file("file")).OK(t).Says(t, "EXPKEYSIG")
	seconds := rig.Must(strconv.ParseInt(strings.TrimSpace(string(b.read(t, "ends"))), 10, 64))
	b.signs(t, "true").Fails(t).Says(t, "expired on "+time.Unix(seconds, 0).UTC().Format(time.DateTime)).Says(t, "renew")

	id := b.id
	s.Tool(t).Run(t, "sh", "-ec", renew+"1y\n"+fetch).OK(t)
	b = newBuild(t, s, key)
	if b.id != id {
		t.Errorf("the fingerprint changed from %s to %s", id, b.id)
	}
	b.artifact(t, "file")
	b.signs(t, `gpg --batch -u "$GPG_KEY_ID" --detach-sign file`).OK(t)
	newVerifier(t, s, key).gpg(t, b.file("file.sig"), b.file("file")).OK(t).Says(t, "GOODSIG")
}
