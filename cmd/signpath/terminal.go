package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/mattn/go-isatty"
)

// terminal is where commands print. Results go to stdout (print, json, table);
// people are told things through error, warning and errorWithHint only.
type terminal struct {
	streams
	color bool // of stderr

	mu sync.Mutex // progress lines come from several goroutines
}

// newTerminal decides about colour: only on a terminal, never when NO_COLOR is
// set (no-color.org) or the terminal is dumb.
func newTerminal(s streams, noColor bool) *terminal {
	f, ok := s.err.(*os.File)
	return &terminal{
		streams: s,
		color:   ok && isatty.IsTerminal(f.Fd()) && !noColor && environment("NO_COLOR") == "" && environment("TERM") != "dumb",
	}
}

// The colours of ECMA-48.
const (
	red    = "\x1b[31m"
	yellow = "\x1b[33m"
	faint  = "\x1b[2m"
	reset  = "\x1b[0m"
)

func (t *terminal) paint(color, text string) string {
	if !t.color {
		return text
	}
	return color + text + reset
}

func (t *terminal) say(line string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintln(t.err, line)
}

// error prints the reason why a command failed, in one line.
func (t *terminal) error(err error) {
	t.say("signpath: " + t.paint(red, "error:") + " " + oneLine(err.Error()))
}

// errorWithHint adds what a person can do about it.
func (t *terminal) errorWithHint(err error, hint string) {
	t.error(err)
	t.say("hint: " + hint)
}

// warning prints what a person should know although the command went on.
func (t *terminal) warning(text string) {
	t.say("signpath: " + t.paint(yellow, "warning:") + " " + oneLine(text))
}

// progress tells on stderr what goes on.
func (t *terminal) progress(format string, args ...any) {
	t.say(t.paint(faint, "signpath: ") + oneLine(fmt.Sprintf(format, args...)))
}

// slow runs work and says what goes on when it takes longer than a second.
func slow[T any](t *terminal, what string, work func() (T, error)) (T, error) {
	timer := time.AfterFunc(time.Second, func() { t.progress("%s …", what) })
	defer timer.Stop()
	return work()
}

// print writes a line of the result.
func (t *terminal) print(line string) error {
	_, err := fmt.Fprintln(t.out, line)
	return err
}

// json writes the result as an indented JSON document.
func (t *terminal) json(v any) error {
	e := json.NewEncoder(t.out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// table writes aligned columns; the first row is the header.
func (t *terminal) table(rows [][]string) error {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(printable(cell)))
		}
	}
	for _, row := range rows {
		var b strings.Builder
		for i, cell := range row {
			cell = printable(cell)
			b.WriteString(cell)
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2))
			}
		}
		if err := t.print(strings.TrimRight(b.String(), " ")); err != nil {
			return err
		}
	}
	return nil
}

// oneLine keeps foreign line ends and control sequences out of a line for people.
func oneLine(s string) string {
	s = strings.ReplaceAll(strings.ReplaceAll(strings.TrimSpace(s), "\r\n", " "), "\n", " ")
	return printable(s)
}

// printable replaces control characters, which could hide text on a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '�'
		}
		return r
	}, s)
}
