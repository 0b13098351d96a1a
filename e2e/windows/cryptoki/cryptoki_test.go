// Package cryptoki holds SignPath.Cryptoki.dll to what hosts on Windows do with a
// PKCS #11 module: structures packed by one byte, loading and unloading, threads, last
// errors, ends of processes. The hosts are programs of testdata, built with mingw, and
// run under Wine as Debian packs it.
package cryptoki

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"signpath/e2e/rig"
	winrig "signpath/e2e/windows/rig"
)

func TestMain(m *testing.M) { rig.Main(m) }

const pin = "CONFIG"

// arch is what the tests run: amd64 on this machine's Wine, or 386 in the i386 root
// that E2E_I386 names.
func arch() string {
	if os.Getenv("E2E_I386") != "" {
		return "386"
	}
	return "amd64"
}

func prefix(t *testing.T) *winrig.Prefix {
	t.Helper()
	if arch() == "386" {
		return winrig.I386(t)
	}
	return winrig.Stock(t)
}

// seen is a copy of a file where the i386 root sees it, too.
func seen(t *testing.T, file string) string {
	t.Helper()
	return rig.Write(t, filepath.Join(t.TempDir(), filepath.Base(file)), rig.Must(os.ReadFile(file)))
}

// module is the path of the built module as Windows writes it.
func module(t *testing.T) string {
	return winrig.Path(seen(t, winrig.DLL(t, arch(), "SignPath.Cryptoki.dll")))
}

// host is testdata/host.c.
func host(t *testing.T) string {
	return seen(t, winrig.Compile(t, arch(), "host.exe", "testdata/host.c"))
}

func tool(t *testing.T, s *rig.Service, more ...string) *winrig.Tool {
	t.Helper()
	return prefix(t).Tool(t, s, "Cryptoki", more...)
}

// id is the CKA_ID of a key of the service.
func id(key string) string { return rig.Project + "/" + key }

// TestProbe: a program that only looks starts nothing, and the module leaves it again.
func TestProbe(t *testing.T) {
	t.Parallel()
	tl := prefix(t).Bare(t)
	tl.Run(t, host(t), module(t), "probe").OK(t).Says(t, "PKCS 11 3.0 flags 0\nPKCS 11 3.1 flags 0\nPKCS 11 2.40 flags 0\n0 threads more\nis gone\n")
}

func TestWalk(t *testing.T) {
	t.Parallel()
	tl := tool(t, rig.TheService(t))
	r := tl.Run(t, host(t), module(t), "walk", pin).OK(t)
	r.Says(t, "module 'SignPath                        '").Says(t, "token 'SignPath                        '").Says(t, " pin 6..512 sessions 1\n")
	for _, class := range []string{"1", "2", "3"} {
		r.Says(t, "object "+class+" "+id("rsa3072")+" ")
	}
	r.Says(t, "object 2 "+id("rsa3072")+" 3072\n").Says(t, "mechanism 0x40 ").Says(t, "mechanism 0x1041 ")
}

// ways are mechanisms of host.c, with what openssl needs to verify.
var ways = []struct {
	name, key string
	raw       bool // the input is a digest
	options   []string
}{
	{"rsa", "rsa3072", false, nil},
	{"pss", "rsa3072", false, []string{"-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32"}},
	{"pss-raw", "rsa3072", true, []string{"-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32"}},
	{"ecdsa", "p256", false, nil},
	{"ecdsa-raw", "p256", true, nil},
}

// TestSign: signed by the module under Wine, judged by the openssl of this machine.
func TestSign(t *testing.T) {
	t.Parallel()
	s := rig.TheService(t)
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			tl := tool(t, s)
			file, tampered, content := rig.Artifact(t)
			in, sig := file, filepath.Join(t.TempDir(), "f.sig")
			if w.raw {
				in = rig.Write(t, filepath.Join(t.TempDir(), "f.hash"), rig.SHA256Of(content))
			}
			tl.Run(t, host(t), module(t), "sign", pin, id(w.key), w.name, winrig.Path(in), winrig.Path(sig)).OK(t).Says(t, "signed ")
			if strings.HasPrefix(w.name, "ecdsa") {
				rig.Write(t, sig, derOf(t, sig))
			}
			verify := append([]string{"dgst", "-sha256", "-verify", s.PublicKey(t, w.key), "-signature", sig}, w.options...)
			rig.Run(t, nil, "openssl", append(verify, file)...).OK(t)
			rig.Run(t, nil, "openssl", append(verify, tampered)...).Fails(t)
			s.Audited(t, rig.SHA256Of(content), w.key)
		})
	}
}

// TestPIN: organization and token as the PIN; the log says nothing of it.
func TestPIN(t *testing.T) {
	t.Parallel()
	s := rig.TheService(t)
	organization, token := s.Env["SIGNPATH_ORGANIZATION_ID"], s.Env["SIGNPATH_API_TOKEN"]
	tl := tool(t, s, "SIGNPATH_ORGANIZATION_ID=", "SIGNPATH_API_TOKEN=", "SIGNPATH_LOG_FILE_LEVEL=debug")
	r := tl.Run(t, host(t), module(t), "walk", organization+":"+token).OK(t)
	s.Nowhere(t, token, tl.Tool, r)
}

// TestProcess: what else a process does while it has the module.
func TestProcess(t *testing.T) {
	t.Parallel()
	s := rig.TheService(t)
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"FreeLibrary":          {[]string{"stay", pin}, "stays\n"},
		"last error":           {[]string{"error", pin, id("rsa3072")}, "kept\n"},
		"wild pointers":        {[]string{"wild", pin, id("rsa3072")}, "answered\n"},
		"threads":              {[]string{"threads", "16", "3", pin, id("rsa3072")}, "48 signatures\n"},
		"C_Finalize in C_Sign": {[]string{"during", pin, id("rsa3072")}, "ended\n"},
		"without C_Finalize":   {[]string{"keep", pin}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tool(t, s).Run(t, host(t), append([]string{module(t)}, c.args...)...).OK(t).Says(t, c.says)
		})
	}
	t.Run("variable set late", func(t *testing.T) {
		tl := tool(t, s, "SIGNPATH_API_TOKEN=")
		tl.Run(t, host(t), module(t), "late", "SIGNPATH_API_TOKEN", s.Env["SIGNPATH_API_TOKEN"], pin).OK(t).Says(t, "logged in")
	})
	t.Run("closed streams", func(t *testing.T) {
		tl := tool(t, s, "SIGNPATH_LOG_CONSOLE_LEVEL=debug")
		if r := tl.Run(t, host(t), module(t), "closed", pin); r.Code != 42 {
			t.Errorf("ended with %d:\n%s", r.Code, r.Output)
		}
	})
}

// beside puts a library of testdata/tidy.c beside a copy of the host.
func beside(t *testing.T, library string, args ...string) (program string) {
	t.Helper()
	program = filepath.Join(t.TempDir(), "host.exe")
	for from, to := range map[string]string{host(t): program, winrig.Compile(t, arch(), library, append(args, "testdata/tidy.c")...): filepath.Join(filepath.Dir(program), library)} {
		rig.Write(t, to, rig.Must(os.ReadFile(from)))
	}
	return program
}

// TestEnd: a library of the host ends its use of the module while the process ends,
// when no thread of the module runs any more.
func TestEnd(t *testing.T) {
	t.Parallel()
	r := tool(t, rig.TheService(t)).RunWithin(t, time.Minute, beside(t, "tidy.dll"), module(t), "tidy", pin)
	r.OK(t).Says(t, "ends\nC_GetSessionInfo answers 0x190\nC_Finalize answers 0x0\nC_Initialize answers 0x5\n")
}

// TestDllMain: C_Initialize where no thread can begin answers CKR_GENERAL_ERROR, after
// half a minute, and works later.
func TestDllMain(t *testing.T) {
	if !rig.All {
		return
	}
	t.Parallel()
	r := tool(t, rig.TheService(t)).Run(t, beside(t, "early.dll", "-DEARLY"), module(t), "early")
	r.OK(t).Says(t, "C_Initialize in DllMain answers 0x5\nworks later\n")
}

// TestFailures: the documented codes, and a line of the log that helps.
func TestFailures(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		env  []string
		says string
		log  []string
	}{
		"wrong token":     {[]string{"SIGNPATH_API_TOKEN=wrong"}, "Login answers 0x7,", []string{"ERROR", "C_Login failed"}},
		"stopped service": {[]string{"SIGNPATH_API_URL=https://127.0.0.1:9/", "SIGNPATH_SERVICE_UNAVAILABLE_TIMEOUT_IN_SECONDS=2"}, "Login answers 0x6,", []string{"ERROR", "C_Login failed"}},
		"broken settings": {[]string{"SIGNPATH_API_URL=nonsense"}, "Login answers 0x5,", []string{"ERROR", "the value is not an absolute https URL"}},
	} {
		t.Run(name, func(t *testing.T) {
			tl := tool(t, rig.TheService(t), c.env...)
			tl.Run(t, host(t), module(t), "keep", pin).Fails(t).Says(t, c.says)
			tl.InLog(t, c.log...)
		})
	}
}

// TestLogFolder: by default %TEMP%\SignPathLogs.
func TestLogFolder(t *testing.T) {
	t.Parallel()
	w := prefix(t)
	tl := tool(t, rig.TheService(t), "SIGNPATH_LOG_FILE_DIRECTORY=")
	tl.Run(t, host(t), module(t), "keep", pin).OK(t)
	for _, temp := range []string{"Temp", "AppData/Local/Temp"} { // by version of Wine
		if found, _ := filepath.Glob(w.C("users", "*", temp, "SignPathLogs", "SignPath.CryptoProviders.Cryptoki.txt")); len(found) > 0 {
			return
		}
	}
	t.Error("there is no log")
}
