// Command bundle lays out SignPathCryptoTokenKit.app from built programs and signs
// it ad hoc, on any system:
//
//	go run ./cmd/ctk/bundle -out DIR -version 1.2.3 -app ARM64,AMD64 -extension ARM64,AMD64
//
// What enters are thin Mach-O executables, one per architecture, and the
// templates below templates/; what leaves is the bundle with universal programs,
// property lists, and code signatures: SHA-256 code directories with the
// hardened runtime, entitlements in XML and DER, sealed resources. An ad hoc
// signature (code signing without a certificate) is enough to run on one's own
// Mac and to be replaced by a Developer ID signature; it proves nobody's
// identity. The same input gives the same bytes.
//
// Sources: xnu, osfmk/kern/cs_blobs.h (code directory, blobs); Apple's Technical
// Notes TN3126 and TN3127 (hashes, requirements); "Code Signing Guide" (sealed
// resources); Mach-O from <mach-o/loader.h> and <mach-o/fat.h>.
package main

import (
	"archive/zip"
	"bytes"
	"embed"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"
)

//go:embed templates
var templates embed.FS

// ids are the names that macOS knows the parts by.
type ids struct {
	AppID       string // bundle identifier of the app
	ExtensionID string // bundle identifier of the extension; its container's name
	ClassID     string // com.apple.ctk.class-id: the first part of every token's name
	Version     string
}

var (
	goodID      = regexp.MustCompile(`^[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$`)
	goodVersion = regexp.MustCompile(`^[0-9]+(\.[0-9]+){0,2}$`)
)

func main() {
	var n ids
	out := flag.String("out", "", "folder to put SignPathCryptoTokenKit.app into; one that is there is replaced")
	app := flag.String("app", "", "the app's programs, separated by commas")
	extension := flag.String("extension", "", "the extension's programs, separated by commas")
	flag.StringVar(&n.AppID, "app-id", "io.signpath.apps.SignPathCryptoTokenKit", "bundle identifier of the app")
	flag.StringVar(&n.ExtensionID, "extension-id", "io.signpath.apps.CryptoTokenKit", "bundle identifier of the extension")
	flag.StringVar(&n.ClassID, "class-id", "io.signpath.apps.SignPathCryptoTokenKit.ctk", "class id of the tokens")
	flag.StringVar(&n.Version, "version", "", "version, X.Y.Z; a suffix is cut off")
	archive := flag.String("zip", "", "write the app of -out as this archive instead")
	join := flag.String("join", "", "join the programs named as arguments to this universal one instead")
	id := flag.String("id", "", "sign the programs of -join ad hoc, with this identifier")
	flag.Parse()
	var err error
	switch {
	case *archive != "":
		err = writeZip(*archive, *out, appFolder)
	case *join != "":
		err = joinFiles(*join, *id, flag.Args())
	default:
		err = build(*out, strings.Split(*app, ","), strings.Split(*extension, ","), n)
	}
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "bundle:", err)
		os.Exit(1)
	}
}

const appFolder = "SignPathCryptoTokenKit.app"

// build makes the bundle, inside out: the extension is sealed before the app is.
func build(out string, app, extension []string, n ids) error {
	n.Version, _, _ = strings.Cut(n.Version, "-") // property lists hold numbers only
	for _, id := range []string{n.AppID, n.ExtensionID, n.ClassID} {
		if !goodID.MatchString(id) {
			return fmt.Errorf("%q is no identifier in reverse DNS notation", id)
		}
	}
	if !goodVersion.MatchString(n.Version) {
		return fmt.Errorf("%q is no version of up to three numbers", n.Version)
	}
	if out == "" {
		return fmt.Errorf("give -out DIR")
	}
	bundle := filepath.Join(out, appFolder)
	if err := os.RemoveAll(bundle); err != nil {
		return err
	}
	inner := filepath.Join(bundle, "Contents", "PlugIns", "CryptoTokenKit.appex")
	nested, err := part{inner, "CryptoTokenKit", n.ExtensionID, "extension", extension, nil}.make(n)
	if err != nil {
		return err
	}
	_, err = part{bundle, "SignPathCryptoTokenKit", n.AppID, "app", app, map[string]cdHashes{"PlugIns/CryptoTokenKit.appex": nested}}.make(n)
	return err
}

// part is a bundle with one program.
type part struct {
	folder, program, id, template string
	thin                          []string
	nested                        map[string]cdHashes // bundles inside, by path below Contents
}

func (p part) make(n ids) (cdHashes, error) {
	contents := filepath.Join(p.folder, "Contents")
	info, err := render(p.template+"-Info.plist", n)
	if err != nil {
		return nil, err
	}
	entitlements, err := templates.ReadFile("templates/" + p.template + ".entitlements")
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // the app has none: it is not sandboxed and needs no exception
		return nil, err
	}
	seal := codeResources(p.nested)
	var slices [][]byte
	var hashes cdHashes
	for _, f := range p.thin {
		thin, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		signed, hash, err := sign(thin, signing{id: p.id, info: info, resources: seal, entitlements: entitlements})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f, err)
		}
		slices, hashes = append(slices, signed), append(hashes, hash)
	}
	program, err := universal(slices)
	if err != nil {
		return nil, err
	}
	for _, f := range []struct {
		path string
		data []byte
		mode os.FileMode
	}{
		{"Info.plist", info, 0o644},
		{"_CodeSignature/CodeResources", seal, 0o644},
		{"MacOS/" + p.program, program, 0o755},
	} {
		path := filepath.Join(contents, filepath.FromSlash(f.path))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(path, f.data, f.mode); err != nil {
			return nil, err
		}
	}
	return hashes, nil
}

// joinFiles makes a universal program or library of thin ones, each signed ad hoc by
// this identifier; without one, their own signatures stay.
func joinFiles(out, id string, thin []string) error {
	var slices [][]byte
	for _, f := range thin {
		data, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		if id != "" {
			if data, _, err = sign(data, signing{id: id}); err != nil {
				return fmt.Errorf("%s: %w", f, err)
			}
		}
		slices = append(slices, data)
	}
	program, err := universal(slices)
	if err != nil {
		return err
	}
	return os.WriteFile(out, program, 0o755)
}

// writeZip packs a folder: sorted, without times, with the right to execute.
func writeZip(file, below, folder string) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	w := zip.NewWriter(f)
	err = fs.WalkDir(os.DirFS(below), folder, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		h := &zip.FileHeader{Name: name, Method: zip.Deflate}
		h.SetMode(info.Mode().Perm() | 0o644)
		to, err := w.CreateHeader(h)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(filepath.Join(below, filepath.FromSlash(name)))
		if err == nil {
			_, err = to.Write(data)
		}
		return err
	})
	return errors.Join(err, w.Close(), f.Close())
}

func render(name string, n ids) ([]byte, error) {
	t, err := template.ParseFS(templates, "templates/"+name)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, n); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
