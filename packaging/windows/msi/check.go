package main

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// check holds the tables against rules that Microsoft's validation (ICEs) and the rules
// for components know, and against our own: what Windows owns is never removed. It
// returns what breaks a rule, a sentence each.
func check(db database, info summary, files []payload) []string {
	c := &checker{db: db}
	c.columns()
	c.references()
	c.components(files)
	c.registry()
	c.order()
	c.codes(info)
	return c.found
}

type checker struct {
	db    database
	found []string
}

func (c *checker) say(format string, args ...any) {
	c.found = append(c.found, fmt.Sprintf(format, args...))
}

// each calls f with the rows of a table, by column names.
func (c *checker) each(name string, f func(row map[string]string)) {
	t := c.db[name]
	for _, r := range t.rows {
		row := map[string]string{}
		for i, col := range t.columns {
			row[col.name] = r[i]
		}
		f(row)
	}
}

// columns: what must not be empty is not; texts fit; numbers are numbers; all is ASCII,
// which every code page has; keys are unique and, where they are identifiers, well formed.
func (c *checker) columns() {
	identifier := regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.]*$`)
	for _, s := range schema {
		t := c.db[s.name]
		keys := map[string]bool{}
		for n, r := range t.rows {
			where := fmt.Sprintf("%s, row %d", t.name, n+1)
			for i, col := range t.columns {
				v := r[i]
				kind, size := col.kind[0], 0
				size, _ = strconv.Atoi(col.kind[1:])
				if v == "" && kind >= 'a' {
					c.say("%s: %s is empty", where, col.name)
				}
				if strings.ContainsFunc(v, func(r rune) bool { return r < 0x20 || r > 0x7e }) {
					c.say("%s: %s has characters outside of ASCII", where, col.name)
				}
				switch kind | 0x20 {
				case 's', 'l':
					if size > 0 && len(v) > size {
						c.say("%s: %s is longer than %d", where, col.name, size)
					}
				case 'i':
					if _, err := strconv.ParseInt(v, 10, size*8); err != nil && v != "" {
						c.say("%s: %s is not a number of %d bytes", where, col.name, size)
					}
				}
			}
			key := strings.Join(r[:t.keys], "\t")
			if keys[key] {
				c.say("%s: the key %q is there twice", where, key)
			}
			keys[key] = true
			if first := t.columns[0]; first.kind == "s72" || first.kind == "s38" && t.name != "Upgrade" {
				if !identifier.MatchString(r[0]) {
					c.say("%s: %q is no identifier", where, r[0])
				}
			}
		}
	}
}

// references: table, column -> the table whose first column it names
var references = [][3]string{
	{"AppSearch", "Signature_", "RegLocator"},
	{"Component", "Directory_", "Directory"},
	{"CreateFolder", "Component_", "Component"},
	{"CreateFolder", "Directory_", "Directory"},
	{"Directory", "Directory_Parent", "Directory"},
	{"Environment", "Component_", "Component"},
	{"Feature", "Feature_Parent", "Feature"},
	{"FeatureComponents", "Component_", "Component"},
	{"FeatureComponents", "Feature_", "Feature"},
	{"File", "Component_", "Component"},
	{"MsiFileHash", "File_", "File"},
	{"Registry", "Component_", "Component"},
}

func (c *checker) names(table string) map[string]bool {
	out := map[string]bool{}
	for _, r := range c.db[table].rows {
		out[r[0]] = true
	}
	return out
}

func (c *checker) references() {
	for _, ref := range references {
		known := c.names(ref[2])
		c.each(ref[0], func(r map[string]string) {
			if v := r[ref[1]]; v != "" && !known[v] {
				c.say("%s names %q, which %s does not have", ref[0], v, ref[2])
			}
		})
	}
	files, directories := c.names("File"), c.names("Directory")
	property := regexp.MustCompile(`\[(#?)([A-Za-z0-9_.]+)\]`)
	for table, column := range map[string]string{"Registry": "Value", "Environment": "Value", "CustomAction": "Target"} {
		c.each(table, func(r map[string]string) {
			for _, m := range property.FindAllStringSubmatch(r[column], -1) {
				if m[1] == "#" && !files[m[2]] || m[1] == "" && !directories[m[2]] && m[2] != "PREVIOUSDIR" {
					c.say("%s: %s stands for nothing", table, m[0])
				}
			}
		})
	}
}

// components: a code each; a key path of their own; in a feature; each file in one folder
// once, under a short name that DOS could have had; 64-bit ones in 64-bit packages only.
func (c *checker) components(files []payload) {
	form := regexp.MustCompile(`^\{[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}\}$`)
	codes, inFeature := map[string]bool{}, map[string]bool{}
	c.each("FeatureComponents", func(r map[string]string) { inFeature[r["Component_"]] = true })
	owner := map[string]string{}
	c.each("File", func(r map[string]string) { owner["file "+r["File"]] = r["Component_"] })
	c.each("Registry", func(r map[string]string) { owner["registry "+r["Registry"]] = r["Component_"] })
	folders, wide := map[string]string{}, c.names("Directory")["System64Folder"]
	c.each("Component", func(r map[string]string) {
		if !form.MatchString(r["ComponentId"]) || codes[r["ComponentId"]] {
			c.say("Component %s: the code %s is malformed or there twice", r["Component"], r["ComponentId"])
		}
		codes[r["ComponentId"]] = true
		kind := "file "
		attributes, _ := strconv.Atoi(r["Attributes"])
		if attributes&componentRegistryKeyPath != 0 {
			kind = "registry "
		}
		if owner[kind+r["KeyPath"]] != r["Component"] {
			c.say("Component %s: the key path %q is not its own", r["Component"], r["KeyPath"])
		}
		if !inFeature[r["Component"]] {
			c.say("Component %s is in no feature", r["Component"])
		}
		if attributes&component64bit != 0 && !wide {
			c.say("Component %s is for 64 bits, the package is not", r["Component"])
		}
		if attributes&component64bit != 0 && r["Directory_"] == "SystemFolder" || attributes&component64bit == 0 && r["Directory_"] == "System64Folder" {
			c.say("Component %s goes to the other system folder than its bits say", r["Component"])
		}
		folders[r["Component"]] = r["Directory_"]
	})
	short := regexp.MustCompile(`^[A-Z0-9~_-]{1,8}(\.[A-Z0-9]{1,3})?$`)
	paths, n := map[string]bool{}, 0
	c.each("File", func(r map[string]string) {
		dos, long, _ := strings.Cut(r["FileName"], "|")
		if !short.MatchString(dos) {
			c.say("File %s: %q is no short name", r["File"], dos)
		}
		for _, name := range slices.Compact([]string{strings.ToUpper(dos), strings.ToUpper(long)}) {
			if key := folders[r["Component_"]] + `\` + name; paths[key] {
				c.say("File %s: %s is there twice", r["File"], key)
			} else {
				paths[key] = true
			}
		}
		n++
		if r["Sequence"] != strconv.Itoa(n) || n > len(files) || files[n-1].file.id != r["File"] {
			c.say("File %s is not at its place in the cabinet", r["File"])
		}
	})
	c.each("Media", func(r map[string]string) {
		if r["LastSequence"] != strconv.Itoa(len(files)) {
			c.say("Media ends with file %s of %d", r["LastSequence"], len(files))
		}
	})
}

// ours are the keys that we may remove with all that is in them.
var ours = []string{kspKey, cspKey, ourKey}

func (c *checker) registry() {
	keep := map[string]bool{}
	c.each("Component", func(r map[string]string) {
		a, _ := strconv.Atoi(r["Attributes"])
		keep[r["Component"]] = a&componentPermanent != 0
	})
	c.each("Registry", func(r map[string]string) {
		if strings.HasPrefix(r["Key"], `\`) || strings.HasSuffix(r["Key"], `\`) {
			c.say("Registry %s: the key begins or ends with a backslash", r["Registry"])
		}
		own := slices.ContainsFunc(ours, func(k string) bool { return r["Key"] == k || strings.HasPrefix(r["Key"], k+`\`) })
		switch {
		case own:
		case r["Name"] == "-" || r["Name"] == "*" || !keep[r["Component_"]]:
			c.say("Registry %s: %s belongs to Windows and would be removed", r["Registry"], r["Key"])
		case !strings.HasPrefix(r["Value"], "[~]") || strings.HasSuffix(r["Value"], "[~]"):
			c.say("Registry %s: the list %s belongs to Windows; a value must be appended", r["Registry"], r["Key"])
		}
	})
	c.each("Environment", func(r map[string]string) {
		if !strings.HasPrefix(r["Name"], "=-*") {
			c.say("Environment %s: not set for all users, or not removed again", r["Environment"])
		}
		if strings.TrimLeft(r["Name"], "=-*") == "PATH" && !strings.HasPrefix(r["Value"], "[~];") {
			c.say("Environment %s: the PATH would be replaced", r["Environment"])
		}
	})
}

// before are pairs of actions whose order is fixed.
var before = []string{
	"FindRelatedProducts LaunchConditions", "AppSearch LaunchConditions", "AppSearch SetPreviousDir", "SetPreviousDir CostInitialize",
	"CostInitialize FileCost", "FileCost CostFinalize", "CostFinalize MigrateFeatureStates", "CostFinalize SetInstallLocation", "MigrateFeatureStates InstallValidate",
	"InstallValidate InstallInitialize", "InstallInitialize RemoveExistingProducts", "RemoveExistingProducts ProcessComponents",
	"UndoUnregisterKsp UnregisterKsp", "UnregisterKsp RemoveRegistryValues", "NameConfiguration RemoveUntouchedConfiguration", "RemoveUntouchedConfiguration RemoveFiles",
	"RemoveFiles InstallFiles", "RemoveRegistryValues WriteRegistryValues", "RemoveEnvironmentStrings WriteEnvironmentStrings",
	"InstallFiles RegisterKsp", "WriteRegistryValues UndoRegisterKsp", "UndoRegisterKsp RegisterKsp", "RegisterKsp InstallFinalize", "PublishProduct InstallFinalize",
}

// order: no two actions at one place, the fixed order, and what runs with the installer's
// rights only inside the transaction.
func (c *checker) order() {
	place := map[string]int{}
	for _, name := range []string{"InstallExecuteSequence", "InstallUISequence", "AdminExecuteSequence", "AdminUISequence", "AdvtExecuteSequence"} {
		taken := map[string]string{}
		c.each(name, func(r map[string]string) {
			if other := taken[r["Sequence"]]; other != "" {
				c.say("%s: %s and %s are at one place", name, other, r["Action"])
			}
			taken[r["Sequence"]] = r["Action"]
			if name == "InstallExecuteSequence" {
				place[r["Action"]], _ = strconv.Atoi(r["Sequence"])
			}
		})
	}
	for _, pair := range before {
		a, b, _ := strings.Cut(pair, " ")
		if place[a] == 0 || place[b] == 0 || place[a] >= place[b] {
			c.say("InstallExecuteSequence: %s must come before %s", a, b)
		}
	}
	c.each("CustomAction", func(r map[string]string) {
		kind, _ := strconv.Atoi(r["Type"])
		inside := place[r["Action"]] > place["InstallInitialize"] && place[r["Action"]] < place["InstallFinalize"]
		switch {
		case kind == actionSetProperty:
		case kind&actionInScript == 0 || kind&actionNoImpersonate == 0 || !inside:
			c.say("CustomAction %s runs outside of the transaction, or as the user", r["Action"])
		}
	})
}

// codes: those of the product, and the summary information
func (c *checker) codes(info summary) {
	form := regexp.MustCompile(`^\{[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}\}$`)
	values := map[string]string{}
	c.each("Property", func(r map[string]string) { values[r["Property"]] = r["Value"] })
	about := map[int]string{}
	for _, p := range info {
		about[p.id] = p.value
	}
	if values["UpgradeCode"] != upgradeCode {
		c.say("Property: the upgrade code %s is not the one of all versions", values["UpgradeCode"])
	}
	for _, v := range []string{values["UpgradeCode"], values["ProductCode"], about[9]} {
		if !form.MatchString(v) {
			c.say("the code %q is malformed", v)
		}
	}
	if values["ProductCode"] == about[9] || values["ProductCode"] == upgradeCode {
		c.say("the codes of product, package and upgrade are not three")
	}
	wide := c.names("Directory")["System64Folder"]
	if template := about[7]; wide != (template == "x64;1033" || template == "Arm64;1033") || !wide && template != "Intel;1033" {
		c.say("summary: the template %q is not that of the tables", template)
	}
	for id, want := range map[int]string{1: "1252", 14: "500", 15: "2"} {
		if about[id] != want {
			c.say("summary: property %d is %q, not %s", id, about[id], want)
		}
	}
	c.each("Upgrade", func(r map[string]string) {
		if !slices.Contains(strings.Split(values["SecureCustomProperties"], ";"), r["ActionProperty"]) {
			c.say("Upgrade: %s does not reach the installer's service", r["ActionProperty"])
		}
	})
}
