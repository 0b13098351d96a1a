package main

import (
	"crypto/md5" //nolint:gosec // Windows Installer's hash of files
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A job is one package to make.
type job struct {
	line     line
	platform platform
	version  string // MAJOR.MINOR.PATCH
	source   string // the repository
	dist     string // folder with windows-ARCH/
	action   string // the DLL with the functions of the table of actions
	epoch    time.Time
}

// fileName is the documented name; other platforms than x64 are told by a suffix.
func (j job) fileName() string {
	name := j.line.file
	if j.line.version {
		name += "-" + j.version
	}
	return name + j.platform.suffix + ".msi"
}

// payload is a file of the package, in the order of the cabinet.
type payload struct {
	file    file
	parent  component
	path    string
	content []byte
}

// guid computes a GUID from a name, RFC 9562 version 5.
func guid(name string) string {
	root, err := hex.DecodeString(strings.ReplaceAll(namespace, "-", ""))
	if err != nil {
		panic(err)
	}
	h := sha1.Sum(append(root, name...))
	h[6], h[8] = h[6]&0x0f|0x50, h[8]&0x3f|0x80
	return strings.ToUpper(fmt.Sprintf("{%x-%x-%x-%x-%x}", h[:4], h[4:6], h[6:8], h[8:10], h[10:16]))
}

// features and components of this package, in the order of the tables.
func (j job) features() []feature {
	var out []feature
	for _, f := range features {
		if slices.Contains(j.line.features, f.name) && (j.platform.wide || !f.wide) {
			out = append(out, f)
		}
	}
	return out
}

func (j job) components() []component {
	var out []component
	for _, c := range components {
		for _, f := range j.features() {
			if slices.Contains(f.components, c.name) {
				out = append(out, c)
				break
			}
		}
	}
	return out
}

// path is where a file of a component comes from.
func (j job) path(c component, f file) string {
	switch {
	case f.text != "":
		return filepath.Join(j.source, filepath.FromSlash(f.text))
	case c.narrow:
		return filepath.Join(j.dist, "windows-386", f.name)
	}
	return filepath.Join(j.dist, "windows-"+j.platform.goarch, f.name)
}

func (j job) payload() ([]payload, error) {
	var out []payload
	for _, c := range j.components() {
		for _, f := range c.files {
			p := payload{f, c, j.path(c, f), nil}
			b, err := os.ReadFile(p.path)
			if err != nil {
				return nil, err
			}
			if f.text != "" { // as Windows' own editors write it
				b = []byte(strings.ReplaceAll(strings.ReplaceAll(string(b), "\r\n", "\n"), "\n", "\r\n"))
			}
			p.content = b
			out = append(out, p)
		}
	}
	return out, nil
}

var versionForm = regexp.MustCompile(`^(\d+)\.(\d+)\.(\d+)$`)

// checkVersion: Windows Installer compares three numbers, of 8, 8 and 16 bits.
func checkVersion(v string) error {
	m := versionForm.FindStringSubmatch(v)
	if m == nil {
		return fmt.Errorf("the version %q has not the form MAJOR.MINOR.PATCH that Windows Installer compares", v)
	}
	for i, most := range []int{255, 255, 65535} {
		if n, err := strconv.Atoi(m[i+1]); err != nil || n > most {
			return fmt.Errorf("the version %q: Windows Installer's limits are 255.255.65535", v)
		}
	}
	return nil
}

// folders of the package: the installer's names for them
func (j job) directories(db database) map[string]string {
	programs := "ProgramFilesFolder"
	if j.platform.wide {
		programs = "ProgramFiles64Folder"
	}
	db.add("Directory", "TARGETDIR", "", "SourceDir")
	db.add("Directory", programs, "TARGETDIR", ".")
	db.add("Directory", "VENDOR", programs, "SignPath")
	db.add("Directory", "INSTALLDIR", "VENDOR", "CRYPTO~1|CryptoProviders")
	if j.platform.wide {
		db.add("Directory", "System64Folder", "TARGETDIR", ".")
	}
	db.add("Directory", "SystemFolder", "TARGETDIR", ".")
	if j.platform.wide {
		return map[string]string{"SYSTEM": "System64Folder", "SYSTEM32": "SystemFolder", "INSTALLDIR": "INSTALLDIR"}
	}
	return map[string]string{"SYSTEM": "SystemFolder", "INSTALLDIR": "INSTALLDIR"}
}

// attributes of the tables Component and CustomAction, by the names of Microsoft's headers
const (
	componentRegistryKeyPath = 0x0004
	componentPermanent       = 0x0010
	componentNeverOverwrite  = 0x0080
	component64bit           = 0x0100

	fileVital      = 0x0200
	fileCompressed = 0x4000

	actionDLL           = 0x0001
	actionSetProperty   = 0x0033
	actionContinue      = 0x0040
	actionRollback      = 0x0100
	actionInScript      = 0x0400
	actionNoImpersonate = 0x0800

	upgradeMigrateFeatures = 0x0001
	upgradeOnlyDetect      = 0x0002
	upgradeMinInclusive    = 0x0100
	upgradeMaxInclusive    = 0x0200

	locatorRawValue = 2
	locator64bit    = 0x0010

	localMachine = 2
	english      = 1033
)

// tables fills the database and gives what goes into the cabinet. The codes of product
// and package follow from all that is in them: the same in, the same out.
func (j job) tables() (database, summary, []payload, error) {
	if err := checkVersion(j.version); err != nil {
		return nil, nil, nil, err
	}
	files, err := j.payload()
	if err != nil {
		return nil, nil, nil, err
	}
	db := newDatabase()
	folder := j.directories(db)
	for i, f := range j.features() {
		level := 1
		if f.asked {
			level = 200
		}
		db.add("Feature", f.name, f.parent, f.title, f.description, 2*i+1, level, "", 0)
		for _, c := range f.components {
			db.add("FeatureComponents", f.name, c)
		}
	}
	for _, c := range j.components() {
		attributes, key := 0, ""
		if j.platform.wide && !c.narrow {
			attributes |= component64bit
		}
		if c.permanent {
			attributes |= componentPermanent
		}
		if c.untouched {
			attributes |= componentNeverOverwrite
		}
		if len(c.files) > 0 {
			key = c.files[0].id
		} else {
			attributes |= componentRegistryKeyPath
			key = c.name + "1"
		}
		db.add("Component", c.name, guid("component/"+j.platform.goarch+"/"+c.name), folder[c.folder], attributes, "", key)
		for i, r := range c.registry {
			db.add("Registry", c.name+strconv.Itoa(i+1), localMachine, r.key, r.name, r.value, c.name)
		}
		for i, v := range c.variables {
			db.add("Environment", c.name+strconv.Itoa(i+1), v.name, v.value, c.name)
		}
	}
	sum := sha256.New()
	for i, p := range files {
		version, language := "", ""
		if p.file.text == "" {
			if version, err = fileVersion(p.content); err != nil {
				return nil, nil, nil, fmt.Errorf("%s: %w", p.path, err)
			}
			language = strconv.Itoa(english)
		} else {
			h := md5.Sum(p.content)
			var parts []any
			for n := 0; n < 16; n += 4 {
				parts = append(parts, int32(binary.LittleEndian.Uint32(h[n:])))
			}
			db.add("MsiFileHash", append([]any{p.file.id, 0}, parts...)...)
		}
		db.add("File", p.file.id, p.parent.name, p.file.short+"|"+p.file.name, len(p.content), version, language, fileVital|fileCompressed, i+1)
		fmt.Fprintf(sum, "%s %d\n", p.file.id, len(p.content))
		sum.Write(p.content)
	}
	db.add("CreateFolder", "INSTALLDIR", "Program") // and removed again when nothing is left in them
	db.add("CreateFolder", "VENDOR", "Program")
	db.add("Media", 1, len(files), "", "#"+cabinetName, "", "")
	db.add("Binary", "Action", "Action")
	if b, err := os.ReadFile(j.action); err != nil {
		return nil, nil, nil, err
	} else {
		sum.Write(b)
	}
	j.behaviour(db)
	for _, t := range schema {
		sum.Write(db[t.name].archive())
	}
	content := hex.EncodeToString(sum.Sum(nil))
	db.add("Property", "ProductCode", guid("product/"+content))
	return db, j.summary(guid("package/" + content)), files, nil
}

// behaviour: properties, searches, refusals, upgrades, actions and their order
func (j job) behaviour(db database) {
	p := func(name string, value any) { db.add("Property", name, value) }
	p("ProductName", j.line.name)
	p("ProductVersion", j.version)
	p("ProductLanguage", english)
	p("Manufacturer", manufacturer)
	p("UpgradeCode", upgradeCode)
	for _, v := range properties {
		p(v[0], v[1])
	}
	kind := locatorRawValue
	if j.platform.wide {
		kind |= locator64bit
	}
	for _, s := range searches {
		db.add("AppSearch", s.property, "Search"+s.property)
		db.add("RegLocator", "Search"+s.property, localMachine, s.key, s.name, kind)
	}
	for _, r := range refusals {
		if slices.Contains(strings.Fields(r.platforms), j.platform.goarch) {
			db.add("LaunchCondition", r.condition, r.sentence)
		}
	}
	// The same version counts as older: a package of the other line, or built anew, replaces this one.
	db.add("Upgrade", upgradeCode, oldest, j.version, "", upgradeMigrateFeatures|upgradeMinInclusive|upgradeMaxInclusive, "", "OLDERFOUND")
	db.add("Upgrade", upgradeCode, j.version, "", "", upgradeOnlyDetect, "", "NEWERFOUND")
	for _, s := range standardActions {
		for _, at := range []struct {
			table string
			place int
		}{{"InstallExecuteSequence", s.execute}, {"InstallUISequence", s.ui}, {"AdminExecuteSequence", s.admin}, {"AdminUISequence", s.adminUI}, {"AdvtExecuteSequence", s.advtd}} {
			if at.place > 0 {
				db.add(at.table, s.name, "", at.place)
			}
		}
	}
	for _, a := range actions {
		if a.entry != "" {
			kind := actionDLL | actionInScript | actionNoImpersonate | actionContinue
			if a.rollback {
				kind |= actionRollback
			}
			db.add("CustomAction", a.name, kind, "Action", a.entry)
		} else {
			db.add("CustomAction", a.name, actionSetProperty, a.property, a.value)
		}
		if a.execute > 0 {
			db.add("InstallExecuteSequence", a.name, a.condition, a.execute)
		}
		if a.ui > 0 {
			db.add("InstallUISequence", a.name, a.condition, a.ui)
		}
	}
}

// summary: the numbers are those of the property set of MS-OLEPS and of Windows Installer.
func (j job) summary(code string) summary {
	made := j.epoch.UTC().Format("2006/01/02 15:04:05")
	return summary{
		{1, "1252"},
		{2, "Installation Database"},
		{3, j.line.name + " " + j.version},
		{4, manufacturer},
		{5, "Installer"},
		{6, "Signing tools sign with keys that stay in the signing service."},
		{7, j.platform.template + ";" + strconv.Itoa(english)},
		{9, code},
		{12, made},
		{13, made},
		{14, "500"}, // Windows Installer 5.0: Windows 7 and later, arm64 among them
		{15, "2"},   // long names, compressed
		{18, "signpath"},
		{19, "2"}, // read-only recommended
	}
}
