package settings

import "strings"

// Problem is one thing that is wrong with the configuration.
type Problem struct {
	Source string // "environment variable SIGNPATH_API_URL", "file /etc/signpath.json, line 3, column 15", "the tool"; "" when nothing was given
	Field  string // JSON name, e.g. "Log.File.Level"; "" when the file as a whole is meant
	Cause  string // what is wrong and what to do; one sentence without a full stop
}

// String is the problem in one line.
func (p Problem) String() string {
	s := p.Field
	switch {
	case p.Field != "" && p.Source != "":
		s += " (" + p.Source + ")"
	case p.Field == "":
		s = p.Source
	default: // "ApiToken: the value" would look like a token to those who redact texts
		s += " (not given)"
	}
	return s + ": " + p.Cause
}

// Error is how Load and Complete fail: everything that is wrong at once, in
// the order of the table of settings. It never holds a token.
type Error struct{ Problems []Problem }

// Error is one line.
func (e *Error) Error() string {
	all := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		all[i] = p.String()
	}
	return "the SignPath configuration is not usable: " + strings.Join(all, "; ")
}
