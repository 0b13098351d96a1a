package gpg

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"signpath/e2e/rig"
)

// TestGPGAtOnce signs in several processes side by side, through one daemon.
func TestGPGAtOnce(t *testing.T) {
	t.Parallel()
	s := theService(t)
	b, v := newBuild(t, s, theKey), newVerifier(t, s, theKey)
	b.artifact(t, "file")
	n := 4
	if rig.All {
		n = 24
	}
	b.signs(t, fmt.Sprintf(`
pids=()
for i in $(seq %d); do gpg --batch -u "$GPG_KEY_ID" --detach-sign --output $i.sig file & pids+=($!); done
for p in "${pids[@]}"; do wait $p; done`, n)).OK(t)
	for i := range n {
		v.gpg(t, b.file(fmt.Sprint(i+1)+".sig"), b.file("file")).OK(t).Says(t, "VALIDSIG "+b.id)
	}
}

// TestGPGRestart ends the daemons in every way between signatures; the references to
// the key stay the same, also in a second home.
func TestGPGRestart(t *testing.T) {
	t.Parallel()
	s := theService(t)
	b, v := newBuild(t, s, theKey), newVerifier(t, s, theKey)
	b.artifact(t, "file")
	b.signs(t, `
sign() { gpg --batch -u "$GPG_KEY_ID" --detach-sign --output $1.sig file; }
stub() { cat "$GNUPGHOME"/private-keys-v1.d/*.key >$1.stub; ls "$GNUPGHOME/private-keys-v1.d" >$1.grip; }
stub 1; sign 1
gpgconf --kill all; sign 2
kill "$(gpg-connect-agent 'SCD GETINFO pid' /bye | sed -n 's/^D //p')"; gpgconf --kill gpg-agent; sign 3
gpgconf --reload gpg-agent; sign 4
kill -9 "$(gpg-connect-agent 'GETINFO pid' /bye | sed -n 's/^D //p')"; sign 5
InitializeSignPathCryptoProviderGpgSigning -ProjectSlug `+rig.Project+` -SigningPolicySlug `+theKey+` -LibSignPathCryptokiPath '`+rig.Module+`'
stub 2; sign 6
# Tools may forbid gpg-agent to ask: maven-gpg-plugin does.
for mode in error cancel loopback; do
	gpgconf --kill all
	gpg --batch --pinentry-mode $mode -u "$GPG_KEY_ID" --detach-sign --output $mode.sig file
done
mv error.sig 7.sig; mv cancel.sig 8.sig; mv loopback.sig 9.sig`).OK(t)
	for i := range 9 {
		v.gpg(t, b.file(fmt.Sprint(i+1)+".sig"), b.file("file")).OK(t).Says(t, "VALIDSIG "+b.id)
	}
	for _, what := range []string{"stub", "grip"} {
		if one, two := string(b.read(t, "1."+what)), string(b.read(t, "2."+what)); one != two {
			t.Errorf("the %s changed from %q to %q", what, one, two)
		}
	}
}

// TestGPGTrap: the caller's own EXIT trap runs, with the status that the script ends
// with, and nothing is left behind.
func TestGPGTrap(t *testing.T) {
	t.Parallel()
	s := theService(t)
	for status, end := range map[string]string{"0": "exit 0", "7": "exit 7", "1": "false", "143": "kill -TERM $$; sleep 5"} {
		t.Run(status, func(t *testing.T) {
			t.Parallel()
			b := newBuild(t, s, theKey)
			b.artifact(t, "file")
			r := b.sh(t, `
trap 'echo "own trap: $? ${GNUPGHOME:-no home}"' EXIT
. '`+helper+`'
set_up() { InitializeSignPathCryptoProviderGpgSigning -projectslug `+rig.Project+` --SigningPolicySlug $1 -LibSignPathCryptokiPath '`+rig.Module+`'; }
set_up gpg-rsa2048; first=$GNUPGHOME
set_up `+theKey+`
[ ! -e "$first" ]
gpg --batch -u "$GPG_KEY_ID" --detach-sign file
echo "$GNUPGHOME" >home
gpg-connect-agent 'GETINFO pid' 'SCD GETINFO pid' /bye | sed -n 's/^D //p' >pids
(exit 3) || true
`+end)
			if want := map[string]int{"0": 0, "7": 7, "1": 1, "143": -1}[status]; r.Code != want {
				t.Errorf("ended with %d, not %d:\n%s", r.Code, want, r.Output)
			}
			if status != "143" {
				r.Says(t, "own trap: "+status+" no home")
			}
			r.Says(t, "own trap: ")
			if home := strings.TrimSpace(string(b.read(t, "home"))); !strings.HasPrefix(filepath.Base(home), "signpath-gpg.") {
				t.Errorf("the home was %q", home)
			} else if _, err := os.Stat(home); err == nil {
				t.Errorf("%s is left behind", home)
			}
			for _, pid := range strings.Fields(string(b.read(t, "pids"))) {
				gone := false
				for range 100 {
					status, err := os.ReadFile("/proc/" + pid + "/stat")
					if gone = err != nil || strings.Contains(string(status), ") Z "); gone {
						break
					}
					time.Sleep(50 * time.Millisecond)
				}
				if !gone {
					t.Errorf("process %s is left behind", pid)
				}
			}
		})
	}
}

// TestGPGRelative: relative paths of a build that changes its folder later are still
// cleaned away, and CDPATH, which makes cd go elsewhere and print, changes nothing.
func TestGPGRelative(t *testing.T) {
	t.Parallel()
	s := theService(t)
	b := newBuild(t, s, theKey)
	b.artifact(t, "file")
	if err := os.MkdirAll(b.file("elsewhere", "samples"), 0o700); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"dist": filepath.Dir(rig.Module), "samples": filepath.Dir(filepath.Dir(helper)), "tmp": t.TempDir()} {
		if err := os.Symlink(to, b.file(link)); err != nil {
			t.Fatal(err)
		}
	}
	b.sh(t, `
export CDPATH="$PWD/elsewhere" TMPDIR=tmp
. samples/InitializeSignPathCryptoProviderGpgSigning.sh
InitializeSignPathCryptoProviderGpgSigning -ProjectSlug `+rig.Project+` -SigningPolicySlug `+theKey+` -LibSignPathCryptokiPath dist/`+filepath.Base(rig.Module)+`
echo "$GNUPGHOME" >home
gpg --batch -u "$GPG_KEY_ID" --detach-sign file
cd /`).OK(t)
	home := strings.TrimSpace(string(b.read(t, "home")))
	if _, err := os.Stat(home); !filepath.IsAbs(home) || err == nil {
		t.Errorf("%s is left behind", home)
	}
}

// TestGPGSubshell: a set-up in a subshell has its own end, and leaves that of its parent
// alone; neither minds an option of the shell that makes patterns without a match errors.
func TestGPGSubshell(t *testing.T) {
	t.Parallel()
	s := theService(t)
	b := newBuild(t, s, theKey)
	b.artifact(t, "file")
	for _, f := range []string{filepath.Join(filepath.Dir(filepath.Dir(helper)), "InitializeSignPathCryptoProviderGpgSigning.sh"), rig.Module} {
		rig.Write(t, b.file(filepath.Base(f)), rig.Must(os.ReadFile(f)))
	}
	if err := os.Symlink(rig.Binary, b.file("signpath")); err != nil {
		t.Fatal(err)
	}
	b.sh(t, `
shopt -s failglob
. ./InitializeSignPathCryptoProviderGpgSigning.sh
set_up() { InitializeSignPathCryptoProviderGpgSigning -ProjectSlug `+rig.Project+` -SigningPolicySlug $1; }
set_up `+theKey+`; first=$GNUPGHOME
( trap 'echo its own trap: $?' EXIT
  set_up gpg-rsa2048
  [ "$GNUPGHOME" != "$first" ]
  echo "$GNUPGHOME" >home
  gpg --batch -u "$GPG_KEY_ID" --output inner.sig --detach-sign file )
[ ! -e "$(cat home)" ]
gpg --batch -u "$GPG_KEY_ID" --output outer.sig --detach-sign file
( set_up gpg-rsa2048 )
[ -e "$first" ]
echo "$first" >home`).OK(t).Says(t, "its own trap: 0")
	if home := strings.TrimSpace(string(b.read(t, "home"))); home != "" {
		if _, err := os.Stat(home); err == nil {
			t.Errorf("%s is left behind", home)
		}
	}
}

// TestGPGOneKey: the helper's slugs leave one key in sight; gpg cannot sign with another.
func TestGPGOneKey(t *testing.T) {
	t.Parallel()
	s := theService(t)
	b := newBuild(t, s, theKey)
	b.artifact(t, "file")
	other := fmt.Sprintf("%X", entity(t, s, "gpg-rsa2048").PrimaryKey.Fingerprint)
	r := b.signs(t, `
[ "$SIGNPATH_PROJECT_SLUG/$SIGNPATH_SIGNING_POLICY_SLUG" = `+rig.Project+`/`+theKey+` ]
! env | grep -E 'PROTECTED_AUTHENTICATION|DUMMY_X509' # these are for the daemon alone
gpg-connect-agent 'SCD LEARN' /bye | grep -c KEYPAIRINFO
gpg --batch --quiet --import '`+publicKey(s, "gpg-rsa2048")+`'
gpg --batch -u `+other+` --detach-sign file`)
	r.Fails(t).Says(t, "No secret key")
	if !strings.HasPrefix(r.Output, "1\n") {
		t.Errorf("not one key in sight:\n%s", r.Output)
	}
}

// TestGPGStdout: stdout is the channel between the daemon and gpg-agent, so that a log
// to stdout must not reach it; the log to stderr may.
func TestGPGStdout(t *testing.T) {
	t.Parallel()
	s := theService(t)
	for _, stream := range []string{"stdout", "stderr"} {
		b, v := newBuild(t, s, theKey, "SIGNPATH_LOG_CONSOLE_LEVEL=verbose", "SIGNPATH_LOG_CONSOLE_OUTPUT_STREAM="+stream), newVerifier(t, s, theKey)
		b.artifact(t, "file")
		b.signs(t, `gpg --batch -u "$GPG_KEY_ID" --detach-sign file`).OK(t)
		v.gpg(t, b.file("file.sig"), b.file("file")).OK(t).Says(t, "VALIDSIG "+b.id)
	}
}

// TestGPGSecrets looks for the token everywhere that GnuPG and the module write to, with
// all logs at their most talkative, and in the command lines of all processes meanwhile.
func TestGPGSecrets(t *testing.T) {
	t.Parallel()
	s := theService(t)
	b := newBuild(t, s, theKey, "SIGNPATH_LOG_FILE_LEVEL=verbose")
	b.artifact(t, "file")
	token := s.Env["SIGNPATH_API_TOKEN"]
	done := make(chan struct{})
	seen := make(chan string, 1)
	go func() { // process lists, some hundred times
		found := ""
		for {
			select {
			case <-done:
				seen <- found
				return
			default:
			}
			lists, _ := filepath.Glob("/proc/[0-9]*/cmdline")
			for _, l := range lists {
				if line, _ := os.ReadFile(l); strings.Contains(string(line), token) {
					found = string(line)
				}
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	r := b.signs(t, `
gpg --batch -u "$GPG_KEY_ID" --verbose --detach-sign file
gpgconf --kill all
gpg --batch -u "$GPG_KEY_ID" --verbose --clear-sign file
cp -r "$GNUPGHOME" home`).OK(t)
	close(done)
	if line := <-seen; line != "" {
		t.Errorf("the token stands in a command line: %q", line)
	}
	s.Nowhere(t, token, b.tool, r)
	looked := 0
	for _, dir := range []string{b.file("home"), b.tool.Logs} {
		_ = filepath.Walk(dir, func(name string, info os.FileInfo, err error) error {
			if err != nil || !info.Mode().IsRegular() {
				return nil
			}
			looked++
			if strings.Contains(string(rig.Must(os.ReadFile(name))), token) {
				t.Errorf("the token stands in %s", name)
			}
			return nil
		})
	}
	for _, log := range []string{"SignPath.CryptoProviders.Cryptoki.txt", "gnupg-pkcs11-scd.log", "gpg-agent.log"} {
		if info, err := os.Stat(filepath.Join(b.tool.Logs, log)); err != nil || info.Size() == 0 || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", log, info, err)
		}
	}
	if looked < 9 {
		t.Errorf("only %d files looked at", looked)
	}
}
