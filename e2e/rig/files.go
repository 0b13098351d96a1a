package rig

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

// Sample makes a file to sign, of the kind that the name's ending says, with a
// content that no other test has.
func Sample(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, name)
	own := []byte(hex.EncodeToString(SHA256Of([]byte(t.Name() + name + dir))))
	built := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(Root, "build", "samples", name))
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
		Write(t, file, built("hello.exe"))
	case ".dll":
		Write(t, file, built("answer.dll"))
	case ".msi":
		// wixl looks for the files beside its source
		Write(t, filepath.Join(dir, "hello.exe"), built("hello.exe"))
		source := Write(t, filepath.Join(dir, "hello.wxs"), Must(os.ReadFile(filepath.Join(Root, "e2e", "rig", "testdata", "hello.wxs"))))
		Run(t, nil, "wixl", "-o", file, source).OK(t)
	case ".cab":
		Run(t, nil, "gcab", "--nopath", "-c", file, Write(t, filepath.Join(dir, "hello.exe"), built("hello.exe"))).OK(t)
	case ".ps1":
		Write(t, file, []byte("# "+string(own)+"\r\nWrite-Output \"hello\"\r\n"))
	case ".jar":
		Write(t, file, zipOf(t, []zipped{{"hello.txt", own}, {"more/second.txt", []byte("more\n")}}))
	case ".apk":
		Write(t, file, nil)
		Run(t, nil, "aapt", "package", "-f", "-M", filepath.Join(Root, "e2e", "rig", "testdata", "AndroidManifest.xml"), "-I", "/usr/share/android-framework-res/framework-res.apk", "-F", file).OK(t)
		Write(t, file, zipOf(t, append(Unzip(t, file), zipped{"assets/own.txt", own})))
	default:
		t.Fatalf("no sample of the kind %s", name)
	}
	return file
}

// Tamper copies a signed file with one changed byte of what is signed.
func Tamper(t *testing.T, signed string) string {
	t.Helper()
	b := Must(os.ReadFile(signed))
	var at int
	switch filepath.Ext(signed) {
	case ".exe", ".dll":
		at = int(Must(pe.NewFile(bytes.NewReader(b))).Sections[0].Offset) // the first instruction
	case ".cab":
		at = len(b) - signatureLength(t, b) - 8
	case ".msi":
		at = bytes.Index(b, []byte("MSCF")) + 60
	case ".ps1":
		at = bytes.Index(b, []byte("hello"))
	case ".jar", ".apk":
		files := Unzip(t, signed)
		for i, f := range files {
			if f.Name == "hello.txt" || f.Name == "assets/own.txt" {
				files[i].Content = bytes.Clone(f.Content)
				files[i].Content[7] ^= 1
			}
		}
		return Write(t, filepath.Join(t.TempDir(), "tampered"+filepath.Ext(signed)), zipOf(t, files))
	}
	b[at] ^= 1
	return Write(t, filepath.Join(t.TempDir(), "tampered"+filepath.Ext(signed)), b)
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
	Name    string
	Content []byte
}

func zipOf(t *testing.T, files []zipped) []byte {
	t.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, f := range files {
		w := Must(z.Create(f.Name))
		_ = Must(w.Write(f.Content))
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func Unzip(t *testing.T, name string) []zipped {
	t.Helper()
	z, err := zip.OpenReader(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = z.Close() }()
	var files []zipped
	for _, f := range z.File {
		r := Must(f.Open())
		files = append(files, zipped{f.Name, Must(io.ReadAll(r))})
		_ = r.Close()
	}
	return files
}
