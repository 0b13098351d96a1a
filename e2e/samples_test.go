package e2e

import (
	"archive/zip"
	"bytes"
	"debug/pe"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// placeholder is the text in samples/*.c that each test replaces by its own.
var placeholder = []byte(strings.Repeat("@", 64))

// sample makes a file to sign, of the kind that the name's ending says, with a
// content that no other test has.
func sample(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, name)
	own := []byte(hex.EncodeToString(sha256Of([]byte(t.Name() + name + dir))))
	built := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(root, "build", "samples", name))
		if err != nil {
			t.Fatalf("%v (run scripts/test, which builds it)", err)
		}
		if bytes.Count(b, placeholder) != 1 {
			t.Fatalf("build/samples/%s has no place for a text", name)
		}
		return bytes.Replace(b, placeholder, own, 1)
	}
	switch filepath.Ext(name) {
	case ".exe":
		write(t, file, built("hello.exe"))
	case ".dll":
		write(t, file, built("answer.dll"))
	case ".msi":
		// wixl looks for the files beside its source
		write(t, filepath.Join(dir, "hello.exe"), built("hello.exe"))
		source := write(t, filepath.Join(dir, "hello.wxs"), must(os.ReadFile("samples/hello.wxs")))
		run(t, nil, "wixl", "-o", file, source).ok(t)
	case ".cab":
		run(t, nil, "gcab", "--nopath", "-c", file, write(t, filepath.Join(dir, "hello.exe"), built("hello.exe"))).ok(t)
	case ".ps1":
		write(t, file, []byte("# "+string(own)+"\r\nWrite-Output \"hello\"\r\n"))
	case ".jar":
		write(t, file, zipOf(t, []zipped{{"hello.txt", own}, {"more/second.txt", []byte("more\n")}}))
	case ".apk":
		write(t, file, nil)
		run(t, nil, "aapt", "package", "-f", "-M", "samples/AndroidManifest.xml", "-I", "/usr/share/android-framework-res/framework-res.apk", "-F", file).ok(t)
		write(t, file, zipOf(t, append(unzip(t, file), zipped{"assets/own.txt", own})))
	default:
		t.Fatalf("no sample of the kind %s", name)
	}
	return file
}

// tamper copies a signed file with one changed byte of what is signed.
func tamper(t *testing.T, signed string) string {
	t.Helper()
	b := must(os.ReadFile(signed))
	var at int
	switch filepath.Ext(signed) {
	case ".exe", ".dll":
		at = int(must(pe.NewFile(bytes.NewReader(b))).Sections[0].Offset) // the first instruction
	case ".cab":
		at = len(b) - signatureLength(t, b) - 8
	case ".msi":
		at = bytes.Index(b, []byte("MSCF")) + 60
	case ".ps1":
		at = bytes.Index(b, []byte("hello"))
	case ".jar", ".apk":
		files := unzip(t, signed)
		for i, f := range files {
			if f.name == "hello.txt" || f.name == "assets/own.txt" {
				files[i].content = bytes.Clone(f.content)
				files[i].content[7] ^= 1
			}
		}
		return write(t, filepath.Join(t.TempDir(), "tampered"+filepath.Ext(signed)), zipOf(t, files))
	}
	b[at] ^= 1
	return write(t, filepath.Join(t.TempDir(), "tampered"+filepath.Ext(signed)), b)
}

// signatureLength reads how long the signature at a cabinet's end is, from the
// reserved area of its header.
func signatureLength(t *testing.T, cab []byte) int {
	t.Helper()
	if len(cab) < 60 || string(cab[:4]) != "MSCF" || cab[30]&4 == 0 {
		t.Fatal("no signed cabinet")
	}
	return int(cab[48]) | int(cab[49])<<8 | int(cab[50])<<16
}

type zipped struct {
	name    string
	content []byte
}

func zipOf(t *testing.T, files []zipped) []byte {
	t.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, f := range files {
		w := must(z.Create(f.name))
		_ = must(w.Write(f.content))
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func unzip(t *testing.T, name string) []zipped {
	t.Helper()
	z, err := zip.OpenReader(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = z.Close() }()
	var files []zipped
	for _, f := range z.File {
		r := must(f.Open())
		files = append(files, zipped{f.Name, must(io.ReadAll(r))})
		_ = r.Close()
	}
	return files
}
