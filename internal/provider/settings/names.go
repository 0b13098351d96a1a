package settings

import (
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
)

// environment is a list of variables by name.
type environment map[string]string

// newEnvironment reads NAME=value lines; the first of equal names counts, as
// for getenv. On Windows names have no case.
func newEnvironment(environ []string) environment {
	env := make(environment, len(environ))
	for _, line := range environ {
		name, text, ok := strings.Cut(line, "=")
		if !ok || name == "" {
			continue // Windows has entries like =C:=C:\
		}
		name = envKey(name)
		if _, twice := env[name]; !twice {
			env[name] = text
		}
	}
	return env
}

func (e environment) get(name string) string { return e[envKey(name)] }

func envKey(name string) string {
	if runtime.GOOS == "windows" {
		return strings.ToUpper(name)
	}
	return name
}

// foreignVariables are beginnings of variables that belong to programs of ours
// which do not read them here.
var foreignVariables = []string{"SIGNPATH_SERVER_", "SIGNPATH_HSM_", "SIGNPATH_AGENT_", "SIGNPATH_DEV_", "SIGNPATH_TEST_", "SIGNPATH_E2E_"}

// unknownVariables warns of SIGNPATH_ variables that no row of the table names.
// Their values are not shown.
func (l *loader) unknownVariables() {
	known := envNames()
	var unknown []string
	for name := range l.env {
		if !strings.HasPrefix(name, "SIGNPATH_") || known[envKey(name)] || l.env[name] == "" || slices.ContainsFunc(foreignVariables, func(p string) bool { return strings.HasPrefix(name, p) }) {
			continue
		}
		unknown = append(unknown, name)
	}
	slices.Sort(unknown)
	for _, name := range unknown {
		l.unknown("environment variable "+clip(name), name, true, known, "unknown environment variable "+clip(name))
	}
}

// jsonNames holds every JSON name, old ones too, in lower case.
var jsonNames = sync.OnceValue(func() map[string]bool {
	m := map[string]bool{}
	for _, n := range Names() {
		for _, j := range append([]string{n.JSON}, n.OldJSON...) {
			if j != "" {
				m[strings.ToLower(j)] = true
			}
		}
	}
	return m
})

// jsonGroups holds the names of the objects that settings stand in, in lower case.
var jsonGroups = sync.OnceValue(func() map[string]bool {
	m := map[string]bool{}
	for name := range jsonNames() {
		for i, c := range name {
			if c == '.' {
				m[name[:i]] = true
			}
		}
	}
	return m
})

// envNames holds every environment variable, old ones too.
var envNames = sync.OnceValue(func() map[string]bool {
	m := map[string]bool{}
	for _, n := range Names() {
		for _, e := range append([]string{n.Environment}, n.OldEnvironment...) {
			m[envKey(e)] = true
		}
	}
	return m
})

// canonical gives a lower-case JSON name, or group of names, as documented.
func canonical(fold string) string {
	for _, n := range Names() {
		for _, j := range append([]string{n.JSON}, n.OldJSON...) {
			if len(j) >= len(fold) && strings.EqualFold(j[:len(fold)], fold) && (len(j) == len(fold) || j[len(fold)] == '.') {
				return j[:len(fold)]
			}
		}
	}
	return fold
}

// nearest is the known name that is nearest to an unknown one, "" if none is near.
func nearest(unknown string, known map[string]bool) string {
	fold := strings.ToLower(unknown)
	if len(fold) > 100 {
		return ""
	}
	best, least := "", max(2, len(fold)/4)+1
	for _, name := range slices.Sorted(maps.Keys(known)) {
		d := distance(fold, strings.ToLower(name))
		// The same last part in another group is a likely slip as well.
		if last := name[strings.LastIndexByte(name, '.')+1:]; d >= least && best == "" && last == fold {
			d = least - 1
		}
		if d < least {
			best, least = name, d
		}
	}
	if best != "" && jsonNames()[best] {
		best = canonical(best)
	}
	return best
}

// distance is the number of single-character changes between two texts (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j]+1, row[j+1]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

// wanted says in words which JSON types a setting takes.
func wanted(k kind) string {
	switch {
	case k&kindBool != 0:
		return "true or false"
	case k&kindNumber != 0:
		return "a number"
	}
	return "text"
}
