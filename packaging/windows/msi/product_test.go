package main

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write testdata anew")

var standIns = map[string][]byte{}

// standIn is the version resource of a program, as an object file.
func standIn(t *testing.T, arch, name string) []byte {
	t.Helper()
	if b := standIns[arch+name]; b != nil {
		return b
	}
	file := filepath.Join(t.TempDir(), "resource.o")
	said, err := exec.Command("python3", filepath.Join("..", "..", "..", "scripts", "platforms", "pe.py"), "resource", arch, "1.2.3", name, "stand-in", file).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	standIns[arch+name] = b
	return b
}

// aJob is a package of stand-ins that have a version and nothing else.
func aJob(t *testing.T, which, arch string) job {
	t.Helper()
	dist := t.TempDir()
	for _, a := range []string{arch, "386"} {
		if err := os.MkdirAll(filepath.Join(dist, "windows-"+a), 0o755); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"SignPath.Ksp.dll", "SignPath.Csp.dll", "SignPath.Cryptoki.dll", "signpath.exe"} {
			if err := os.WriteFile(filepath.Join(dist, "windows-"+a, name), standIn(t, a, name), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	action := filepath.Join(dist, "action.dll")
	if err := os.WriteFile(action, []byte("stand-in"), 0o600); err != nil {
		t.Fatal(err)
	}
	return job{line: lines[which], platform: platforms[arch], version: "1.2.3", source: filepath.Join("..", "..", ".."), dist: dist, action: action, epoch: time.Unix(1700000000, 0)}
}

// text is all tables as the archives of msiinfo have them.
func text(db database, info summary) string {
	var b bytes.Buffer
	for _, t := range schema {
		b.Write(db[t.name].archive())
		b.WriteString("\n")
	}
	b.Write(info.archive())
	return strings.ReplaceAll(b.String(), "\r\n", "\n")
}

// TestTables holds every package against the tables in testdata. A GUID of a component
// or the upgrade code that changes there breaks the upgrade of machines out there.
func TestTables(t *testing.T) {
	for which := range lines {
		for arch := range platforms {
			t.Run(which+"-"+arch, func(t *testing.T) {
				j := aJob(t, which, arch)
				db, info, files, err := j.tables()
				if err != nil {
					t.Fatal(err)
				}
				if found := check(db, info, files); len(found) > 0 {
					t.Errorf("rules broken:\n%s", strings.Join(found, "\n"))
				}
				golden := filepath.Join("testdata", which+"-"+arch+".txt")
				got := text(db, info)
				if *update {
					if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(golden)
				if err != nil {
					t.Fatal(err)
				}
				if got != string(want) {
					t.Errorf("the tables are not those of %s (go test -update writes it anew):\n%s", golden, difference(string(want), got))
				}
			})
		}
	}
}

func difference(want, got string) string {
	var out []string
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for _, l := range w {
		if !slices.Contains(g, l) {
			out = append(out, "- "+l)
		}
	}
	for _, l := range g {
		if !slices.Contains(w, l) {
			out = append(out, "+ "+l)
		}
	}
	return strings.Join(out, "\n")
}

// TestFile: what msiinfo reads in the finished file are the tables; the same in gives the
// same out, at any time and in any folder; another content has other codes.
func TestFile(t *testing.T) {
	j := aJob(t, "providers", "amd64")
	make := func(j job) (string, []byte) {
		t.Helper()
		db, info, files, err := j.tables()
		if err != nil {
			t.Fatal(err)
		}
		work, out := t.TempDir(), filepath.Join(t.TempDir(), j.fileName())
		cab, err := cabinet(work, files, j.epoch)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(cab); err != nil || !bytes.Contains(b, stamped("Ksp", j.epoch)) {
			t.Errorf("the cabinet's files have another time than was said: %v", err)
		}
		if err := db.write(work, out, info, map[string]string{"Action": j.action}, cabinetName, cab); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		for _, table := range schema {
			exported, err := exec.Command("msiinfo", "export", out, table.name).Output()
			if err != nil {
				t.Fatalf("%s: %v", table.name, err)
			}
			if want := db[table.name].archive(); rows(string(exported)) != rows(string(want)) && table.name != "Binary" {
				t.Errorf("%s in the file:\n%s\nwanted:\n%s", table.name, exported, want)
			}
		}
		return out, b
	}
	name, first := make(j)
	if filepath.Base(name) != "SignPathCryptoProviders-1.2.3.msi" {
		t.Errorf("the package is called %s", filepath.Base(name))
	}
	if _, second := make(j); !bytes.Equal(first, second) {
		t.Error("the same files gave another package")
	}
	before, info, _, _ := j.tables()
	dll := filepath.Join(j.dist, "windows-amd64", "SignPath.Ksp.dll")
	b, _ := os.ReadFile(dll)
	if err := os.WriteFile(dll, append(b, 0), 0o600); err != nil {
		t.Fatal(err)
	}
	after, info2, _, err := j.tables()
	if err != nil {
		t.Fatal(err)
	}
	code := func(db database) string {
		for _, r := range db["Property"].rows {
			if r[0] == "ProductCode" {
				return r[1]
			}
		}
		return ""
	}
	if code(before) == code(after) || info[7] == info2[7] {
		t.Error("another content has the same codes of product or package")
	}
}

// stamped is the end of a file's entry in a cabinet: date and time as DOS has them (UTC,
// little-endian), attributes, name.
func stamped(name string, at time.Time) []byte {
	at = at.UTC()
	date := (at.Year()-1980)<<9 | int(at.Month())<<5 | at.Day()
	clock := at.Hour()<<11 | at.Minute()<<5 | at.Second()/2
	return append([]byte{byte(date), byte(date >> 8), byte(clock), byte(clock >> 8), 0x20, 0}, name+"\x00"...)
}

// rows are the lines of an archive in one order: the file has its own.
func rows(archive string) string {
	l := strings.Split(strings.TrimSpace(strings.ReplaceAll(archive, "\r\n", "\n")), "\n")
	slices.Sort(l[min(3, len(l)):])
	return strings.Join(l, "\n")
}

// TestRules: each rule finds what breaks it.
func TestRules(t *testing.T) {
	set := func(table, row, column, value string) func(db database) {
		return func(db database) {
			for _, r := range db[table].rows {
				for i, c := range db[table].columns {
					if r[0] == row && c.name == column {
						r[i] = value
						return
					}
				}
			}
			panic("no such cell: " + table + " " + row + " " + column)
		}
	}
	for _, c := range []struct {
		name   string
		change func(db database)
		says   string
	}{
		{"empty", set("Component", "Ksp", "Directory_", ""), "is empty"},
		{"not ASCII", set("Feature", "KSP", "Title", "Anbieter für Schlüssel"), "outside of ASCII"},
		{"too long", set("Feature", "KSP", "Title", strings.Repeat("x", 65)), "longer than 64"},
		{"no number", set("Media", "1", "LastSequence", "all"), "not a number"},
		{"twice", func(db database) { db.add("Directory", "INSTALLDIR", "VENDOR", "X") }, "is there twice"},
		{"no identifier", set("Directory", "VENDOR", "Directory", "1 VENDOR"), "no identifier"},
		{"dangling", set("File", "Ksp", "Component_", "Nothing"), "which Component does not have"},
		{"dangling property", set("Registry", "Csp1", "Value", "[#Nothing]"), "stands for nothing"},
		{"the same code", set("Component", "Ksp", "ComponentId", guid("component/amd64/Csp")), "there twice"},
		{"lower case code", set("Component", "Ksp", "ComponentId", strings.ToLower(guid("x"))), "malformed"},
		{"key path of another", set("Component", "Ksp", "KeyPath", "Csp"), "not its own"},
		{"in no feature", func(db database) { db["FeatureComponents"].rows = db["FeatureComponents"].rows[1:] }, "is in no feature"},
		{"64 bits in the folder for 32", set("Component", "Ksp", "Directory_", "SystemFolder"), "other system folder"},
		{"short name", set("File", "Ksp", "FileName", "SignPath.Ksp.dll|SignPath.Ksp.dll"), "no short name"},
		{"the same file", set("File", "Csp", "FileName", "SPKSP.DLL|SignPath.Csp.dll"), "is there twice"},
		{"cabinet order", set("File", "Ksp", "Sequence", "9"), "at its place"},
		{"list replaced", set("Registry", "KspList1", "Value", "SignPathKSP"), "must be appended"},
		{"list removed", set("Registry", "KspList1", "Name", "-"), "would be removed"},
		{"list not kept", set("Component", "KspList", "Attributes", "260"), "would be removed"},
		{"a key of Windows", set("Registry", "Ksp4", "Key", `SYSTEM\CurrentControlSet\Control\Cryptography\Providers`), "belongs to Windows"},
		{"backslash", set("Registry", "Ksp1", "Key", kspKey+`\UM\`), "backslash"},
		{"variable stays", set("Environment", "ConfigEnv1", "Name", "=*SIGNPATH_CONFIG_FILE"), "not removed again"},
		{"PATH replaced", set("Environment", "PathEnv1", "Value", "[INSTALLDIR]"), "PATH would be replaced"},
		{"one place", set("InstallExecuteSequence", "RegisterKsp", "Sequence", "5290"), "at one place"},
		{"order", set("InstallExecuteSequence", "UnregisterKsp", "Sequence", "2700"), "must come before RemoveRegistryValues"},
		{"as the user", set("CustomAction", "RegisterKsp", "Type", "1025"), "or as the user"},
		{"upgrade code", set("Property", "UpgradeCode", "Value", guid("another")), "not the one of all versions"},
		{"not secure", set("Property", "SecureCustomProperties", "Value", "INSTALLDIR"), "does not reach"},
	} {
		t.Run(c.name, func(t *testing.T) {
			db, info, files, err := aJob(t, "providers", "amd64").tables()
			if err != nil {
				t.Fatal(err)
			}
			c.change(db)
			found := strings.Join(check(db, info, files), "\n")
			if !strings.Contains(found, c.says) {
				t.Errorf("found %q, not %q", found, c.says)
			}
		})
	}
}

func TestVersions(t *testing.T) {
	for v, ok := range map[string]bool{"0.1.0": true, "255.255.65535": true, "1.2": false, "1.2.3-rc1": false, "256.0.0": false, "1.2.65536": false, "": false} {
		if err := checkVersion(v); (err == nil) != ok {
			t.Errorf("%q: %v", v, err)
		}
	}
}
