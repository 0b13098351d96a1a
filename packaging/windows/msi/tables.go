package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// A table of a Windows Installer database, as Microsoft's "Database Reference" has it.
// The types of columns are those of archive files (.idt): s and l are strings of at most
// this many characters (l: may be translated), i are integers of 2 or 4 bytes, v0 is a
// stream; capital letters may be empty.
type table struct {
	name    string
	keys    int // the first columns are the key
	columns []column
	rows    [][]string
}

type column struct{ name, kind string }

// schema is every table that we write, in the order of the archive.
var schema = []table{
	{"AdminExecuteSequence", 1, sequence, nil},
	{"AdminUISequence", 1, sequence, nil},
	{"AdvtExecuteSequence", 1, sequence, nil},
	{"AppSearch", 2, []column{{"Property", "s72"}, {"Signature_", "s72"}}, nil},
	{"Binary", 1, []column{{"Name", "s72"}, {"Data", "v0"}}, nil},
	{"Component", 1, []column{{"Component", "s72"}, {"ComponentId", "S38"}, {"Directory_", "s72"}, {"Attributes", "i2"}, {"Condition", "S255"}, {"KeyPath", "S72"}}, nil},
	{"CreateFolder", 2, []column{{"Directory_", "s72"}, {"Component_", "s72"}}, nil},
	{"CustomAction", 1, []column{{"Action", "s72"}, {"Type", "i2"}, {"Source", "S72"}, {"Target", "S255"}}, nil},
	{"Directory", 1, []column{{"Directory", "s72"}, {"Directory_Parent", "S72"}, {"DefaultDir", "l255"}}, nil},
	{"Environment", 1, []column{{"Environment", "s72"}, {"Name", "l255"}, {"Value", "L255"}, {"Component_", "s72"}}, nil},
	{"Feature", 1, []column{{"Feature", "s38"}, {"Feature_Parent", "S38"}, {"Title", "L64"}, {"Description", "L255"}, {"Display", "I2"}, {"Level", "i2"}, {"Directory_", "S72"}, {"Attributes", "i2"}}, nil},
	{"FeatureComponents", 2, []column{{"Feature_", "s38"}, {"Component_", "s72"}}, nil},
	{"File", 1, []column{{"File", "s72"}, {"Component_", "s72"}, {"FileName", "l255"}, {"FileSize", "i4"}, {"Version", "S72"}, {"Language", "S20"}, {"Attributes", "I2"}, {"Sequence", "i4"}}, nil},
	{"InstallExecuteSequence", 1, sequence, nil},
	{"InstallUISequence", 1, sequence, nil},
	{"LaunchCondition", 1, []column{{"Condition", "s255"}, {"Description", "l255"}}, nil},
	{"Media", 1, []column{{"DiskId", "i2"}, {"LastSequence", "i4"}, {"DiskPrompt", "L64"}, {"Cabinet", "S255"}, {"VolumeLabel", "S32"}, {"Source", "S72"}}, nil},
	{"MsiFileHash", 1, []column{{"File_", "s72"}, {"Options", "i2"}, {"HashPart1", "i4"}, {"HashPart2", "i4"}, {"HashPart3", "i4"}, {"HashPart4", "i4"}}, nil},
	{"Property", 1, []column{{"Property", "s72"}, {"Value", "l0"}}, nil},
	{"RegLocator", 1, []column{{"Signature_", "s72"}, {"Root", "i2"}, {"Key", "s255"}, {"Name", "S255"}, {"Type", "I2"}}, nil},
	{"Registry", 1, []column{{"Registry", "s72"}, {"Root", "i2"}, {"Key", "l255"}, {"Name", "L255"}, {"Value", "L0"}, {"Component_", "s72"}}, nil},
	{"Signature", 1, []column{{"Signature", "s72"}, {"FileName", "s255"}, {"MinVersion", "S20"}, {"MaxVersion", "S20"}, {"MinSize", "I4"}, {"MaxSize", "I4"}, {"MinDate", "I4"}, {"MaxDate", "I4"}, {"Languages", "S255"}}, nil},
	{"Upgrade", 5, []column{{"UpgradeCode", "s38"}, {"VersionMin", "S20"}, {"VersionMax", "S20"}, {"Language", "S255"}, {"Attributes", "i4"}, {"Remove", "S255"}, {"ActionProperty", "s72"}}, nil},
}

var sequence = []column{{"Action", "s72"}, {"Condition", "S255"}, {"Sequence", "I2"}}

// database collects the rows of a package.
type database map[string]*table

func newDatabase() database {
	db := database{}
	for _, t := range schema {
		t.rows = nil
		db[t.name] = &t
	}
	return db
}

// add adds a row; a missing value at its end is empty.
func (db database) add(name string, values ...any) {
	t, ok := db[name]
	if !ok || len(values) > len(t.columns) {
		panic("no such row in the schema: " + name)
	}
	row := make([]string, len(t.columns))
	for i, v := range values {
		row[i] = fmt.Sprint(v)
	}
	t.rows = append(t.rows, row)
}

// archive is the table as an .idt file.
func (t *table) archive() []byte {
	var names, kinds, keys []string
	for i, c := range t.columns {
		names, kinds = append(names, c.name), append(kinds, c.kind)
		if i < t.keys {
			keys = append(keys, c.name)
		}
	}
	var b bytes.Buffer
	line := func(fields ...string) { b.WriteString(strings.Join(fields, "\t") + "\r\n") }
	line(names...)
	line(kinds...)
	line(append([]string{t.name}, keys...)...)
	for _, r := range t.rows {
		line(r...)
	}
	return b.Bytes()
}

// summary is the summary information: number of the property -> value, in this order.
type summary []struct {
	id    int
	value string
}

func (s summary) archive() []byte {
	t := table{name: "_SummaryInformation", keys: 1, columns: []column{{"PropertyId", "i2"}, {"Value", "l255"}}}
	for _, p := range s {
		t.rows = append(t.rows, []string{strconv.Itoa(p.id), p.value})
	}
	return t.archive()
}

// codepage is the pseudo table that sets the database's code page; our texts are ASCII.
const codepage = "\r\n\r\n1252\t_ForceCodepage\r\n"

// write makes the file with msibuild: tables, the streams of the Binary table (name ->
// file) and the cabinet.
func (db database) write(work, out string, info summary, binaries map[string]string, cabinetName, cabinet string) error {
	if err := os.MkdirAll(filepath.Join(work, "Binary"), 0o755); err != nil {
		return err
	}
	for name, file := range binaries {
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(work, "Binary", name), b, 0o644); err != nil {
			return err
		}
	}
	out, err := filepath.Abs(out)
	if err != nil {
		return err
	}
	if cabinet, err = filepath.Abs(cabinet); err != nil {
		return err
	}
	_ = os.Remove(out)
	type idt struct {
		name string
		text []byte
	}
	files := []idt{{"_ForceCodepage", []byte(codepage)}}
	for _, t := range schema {
		files = append(files, idt{t.name, db[t.name].archive()})
	}
	files = append(files, idt{"_SummaryInformation", info.archive()})
	args := []string{out}
	for _, f := range files {
		name := f.name + ".idt"
		if err := os.WriteFile(filepath.Join(work, name), f.text, 0o644); err != nil {
			return err
		}
		args = append(args, "-i", name)
	}
	args = append(args, "-a", cabinetName, cabinet)
	c := exec.Command("msibuild", args...)
	c.Dir = work // it looks for the streams of a table below its own folder
	if said, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("msibuild: %w\n%s", err, said)
	}
	return nil
}
