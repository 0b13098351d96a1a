// Command msi makes the packages for Windows Installer, on Linux, with msibuild and gcab.
//
//	msi -out DIR -dist DIR -action FILE [-line providers|ksp] [-arch amd64|386|arm64] [-epoch SECONDS]
//
// In go dist/windows-ARCH (for 64-bit packages also windows-386: the DLLs of 32-bit
// programs), the DLL made of packaging/windows/action, LICENSE, the empty configuration
// file and VERSION; out comes one .msi, whose name is printed. The same files in give the
// same bytes out. What is in a package stands in the tables of product.go. Before it
// writes, it holds the tables against the rules of check.go, and refuses what breaks one.
// It never signs; scripts/package does.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "msi: error:", err)
		os.Exit(1)
	}
}

func run() error {
	out := flag.String("out", "", "folder for the package")
	dist := flag.String("dist", "dist", "folder with windows-ARCH/")
	source := flag.String("source", ".", "the repository")
	dll := flag.String("action", "", "DLL with the installer's own actions")
	which := flag.String("line", "providers", "providers or ksp")
	arch := flag.String("arch", "amd64", "amd64, 386 or arm64")
	version := flag.String("version", "", "another version than VERSION, for tests of upgrades")
	epoch := flag.Int64("epoch", 0, "the time that stands in the package, seconds since 1970")
	flag.Parse()
	j := job{source: *source, dist: *dist, action: *dll, version: *version, epoch: time.Unix(*epoch, 0)}
	var ok1, ok2 bool
	j.line, ok1 = lines[*which]
	j.platform, ok2 = platforms[*arch]
	if !ok1 || !ok2 || *out == "" || *dll == "" || flag.NArg() > 0 {
		flag.Usage()
		return fmt.Errorf("wrong parameter")
	}
	// Cabinets know no time before 1980.
	if first := time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC); j.epoch.Before(first) {
		j.epoch = first
	}
	if j.version == "" {
		b, err := os.ReadFile(filepath.Join(j.source, "VERSION"))
		if err != nil {
			return err
		}
		j.version = strings.TrimSpace(string(b))
	}
	db, info, files, err := j.tables()
	if err != nil {
		return err
	}
	if found := check(db, info, files); len(found) > 0 {
		return fmt.Errorf("the tables break rules of Windows Installer:\n  %s", strings.Join(found, "\n  "))
	}
	work, err := os.MkdirTemp("", "signpath-msi-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }()
	cab, err := cabinet(work, files, j.epoch)
	if err != nil {
		return err
	}
	file := filepath.Join(*out, j.fileName())
	if err := db.write(work, file, info, map[string]string{"Action": j.action}, cabinetName, cab); err != nil {
		return err
	}
	fmt.Println(file)
	return nil
}
