package winrig

import (
	"crypto/sha1" // names keys of the registry
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"signpath/e2e/rig"
)

// Import gives a text in the format of .reg files to regedit; the first line, the
// format's name, is added.
func (p *Prefix) Import(t *testing.T, text string) {
	t.Helper()
	if err := p.importText(text); err != nil {
		t.Fatal(err)
	}
}

func (p *Prefix) importText(text string) error {
	dir, err := os.MkdirTemp(p.home(), "reg-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	file := filepath.Join(dir, "import.reg")
	// UTF-16 with a byte order mark: other encodings depend on the code page
	out := []byte{0xff, 0xfe}
	for _, u := range utf16.Encode([]rune("Windows Registry Editor Version 5.00\r\n\r\n" + strings.ReplaceAll(text, "\n", "\r\n"))) {
		out = append(out, byte(u), byte(u>>8))
	}
	if err := os.WriteFile(file, out, 0o600); err != nil {
		return err
	}
	return p.wine("regedit", "/S", Path(file))
}

// Value is a value of the registry as `reg query` prints it, "" if there is none. An
// empty name means the key's default value. A multi-string's parts are divided by \0
// as two characters.
func (p *Prefix) Value(t *testing.T, key, name string) string {
	t.Helper()
	args := []string{"query", key, "/v", name}
	if name == "" {
		args = []string{"query", key, "/ve"}
	}
	r := p.Bare(t).Run(t, "reg", args...)
	for _, line := range strings.Split(r.Output, "\n") {
		fields := strings.SplitN(strings.TrimSpace(line), "    ", 3)
		if r.Code == 0 && len(fields) == 3 && strings.HasPrefix(fields[1], "REG_") {
			return fields[2]
		}
	}
	return ""
}

// Export is a key with all below it, in the format of .reg files.
func (p *Prefix) Export(t *testing.T, key string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "export.reg")
	p.Bare(t).Run(t, "regedit", "/E", Path(file), key).OK(t)
	b := rig.Must(os.ReadFile(file))
	var units []uint16
	for i := 2; i+1 < len(b); i += 2 {
		units = append(units, uint16(b[i])|uint16(b[i+1])<<8)
	}
	return strings.ReplaceAll(string(utf16.Decode(units)), "\r\n", "\n")
}

// multiString writes strings as a .reg file does: REG_MULTI_SZ, UTF-16 little-endian,
// each with its NUL and one more at the end.
func multiString(values ...string) string {
	var parts []string
	for _, u := range utf16.Encode([]rune(strings.Join(values, "\x00") + "\x00\x00")) {
		parts = append(parts, fmt.Sprintf("%02x,%02x", byte(u), byte(u>>8)))
	}
	return "hex(7):" + strings.Join(parts, ",")
}

// quote writes a string as a .reg file does.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// Trust puts a root's certificate (DER) among the machine's trusted roots.
func (p *Prefix) Trust(t *testing.T, certificate []byte) {
	t.Helper()
	p.addCertificate(t, "ROOT", certificate)
}

// addCertificate writes into a system store of the machine: one key per certificate,
// named by its SHA-1; the value has property 32, the certificate itself.
func (p *Prefix) addCertificate(t *testing.T, store string, certificate []byte) {
	t.Helper()
	blob := binary.LittleEndian.AppendUint32(nil, 32)
	blob = binary.LittleEndian.AppendUint32(blob, 1)
	blob = binary.LittleEndian.AppendUint32(blob, uint32(len(certificate)))
	blob = append(blob, certificate...)
	var parts []string
	for _, b := range blob {
		parts = append(parts, fmt.Sprintf("%02x", b))
	}
	p.Import(t, fmt.Sprintf("[HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\SystemCertificates\\%s\\Certificates\\%X]\n\"Blob\"=hex:%s\n", store, sha1.Sum(certificate), strings.Join(parts, ",")))
}
