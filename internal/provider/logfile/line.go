package logfile

import (
	"encoding/hex"
	"fmt"
	"log/slog"
	"runtime"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"signpath/internal/provider/settings"
)

const (
	timeLayout = "2006-01-02 15:04:05.000"
	maxLine    = 32 << 10 // bytes; longer lines are cut
	maxBytes   = 64       // bytes of a []byte value that are shown
	cutMark    = " [cut]"
)

var levelNames = [...]string{"NONE", "FATAL", "ERROR", "WARNING", "INFO", "DEBUG", "VERBOSE"}

// line makes one whole line, line feed included. The text is redacted before
// and after it is escaped and before it is cut: no secret is torn and kept in
// part.
func (l *Logger) line(level settings.Level, at time.Time, pc uintptr, msg, attrs string) []byte {
	text := l.redact.Text(escape(l.redact.Known(msg)) + l.attrs + attrs)
	b := make([]byte, 0, len(text)+80)
	b = at.Local().AppendFormat(b, timeLayout)
	b = append(b, ' ')
	b = append(b, levelNames[level]...)
	b = append(b, " ["...)
	b = append(b, l.pid...)
	b = append(b, "] ["...)
	b = append(b, l.caller(pc)...)
	b = append(b, "] "...)
	b = append(b, text...)
	if len(b) >= maxLine {
		n := maxLine - len(cutMark) - 1
		for n > 0 && !utf8.RuneStart(b[n]) {
			n--
		}
		b = append(b[:n], cutMark...)
	}
	return append(b, '\n')
}

func callerPC(depth int) uintptr {
	var pcs [1]uintptr
	runtime.Callers(depth+1, pcs[:])
	return pcs[0]
}

// caller is function@line of who logs.
func (l *Logger) caller(pc uintptr) string {
	name, line := "?", 0
	if l.pc != 0 {
		pc = l.pc
	}
	if pc != 0 {
		f, _ := runtime.CallersFrames([]uintptr{pc}).Next()
		name, line = shortName(f.Function), f.Line
	}
	if l.function != "" {
		name = l.function
	}
	return name + "@" + strconv.Itoa(line)
}

// shortName is the bare name of a function: "Sign" of
// "signpath/internal/x.(*Key).Sign.func1".
func shortName(full string) string {
	name := full[strings.LastIndexByte(full, '/')+1:]
	if i := strings.IndexByte(name, '['); i >= 0 { // type parameters
		name = name[:i]
	}
	parts := strings.Split(name, ".")
	for len(parts) > 1 {
		last := parts[len(parts)-1]
		if strings.Trim(last, "0123456789") != "" && !strings.HasPrefix(last, "func") && !strings.HasPrefix(last, "gowrap") && !strings.HasPrefix(last, "deferwrap") {
			break
		}
		parts = parts[:len(parts)-1]
	}
	if name = parts[len(parts)-1]; name == "" {
		return "?"
	}
	return name
}

// render turns slog-like arguments (name, value, name, value … or slog.Attr)
// into pieces " name=value".
func (l *Logger) render(args []any) string {
	if len(args) == 0 {
		return ""
	}
	var b strings.Builder
	for i := 0; i < len(args); i++ {
		switch a := args[i].(type) {
		case slog.Attr:
			l.attr(&b, l.group, a, 0)
		case string:
			if i+1 == len(args) {
				l.attr(&b, l.group, slog.String("!BADKEY", a), 0)
				break
			}
			i++
			l.attr(&b, l.group, slog.Any(a, args[i]), 0)
		default:
			l.attr(&b, l.group, slog.Any("!BADKEY", a), 0)
		}
	}
	return b.String()
}

func (l *Logger) attr(b *strings.Builder, group string, a slog.Attr, depth int) {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			group += a.Key + "."
		}
		if depth < 8 {
			for _, member := range v.Group() {
				l.attr(b, group, member, depth+1)
			}
		}
		return
	}
	if a.Key == "" && v.Kind() == slog.KindAny && v.Any() == nil {
		return // slog: an empty Attr is left out
	}
	b.WriteByte(' ')
	b.WriteString(name(l.redact.Known(group + a.Key)))
	b.WriteByte('=')
	b.WriteString(quote(l.redact.Known(text(v))))
}

// text renders a value. fmt survives panics in String and Error methods.
func text(v slog.Value) string {
	switch v.Kind() {
	case slog.KindString:
		return v.String()
	case slog.KindTime:
		return v.Time().Format(time.RFC3339Nano)
	case slog.KindAny:
		if data, ok := v.Any().([]byte); ok {
			if len(data) > maxBytes {
				return hex.EncodeToString(data[:maxBytes]) + "… (" + strconv.Itoa(len(data)) + " bytes)"
			}
			return hex.EncodeToString(data)
		}
		return fmt.Sprint(v.Any())
	}
	return v.String()
}

// name makes an attribute's name safe: one word without "=".
func name(s string) string {
	if s == "" {
		return "?"
	}
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r == '=' || r == '"' || r == utf8.RuneError || !unicode.IsPrint(r) {
			return '_'
		}
		return r
	}, s)
}

// quote puts a value into quotes where it could be misread otherwise.
func quote(s string) string {
	if s == "" {
		return `""`
	}
	for _, r := range s {
		if r <= ' ' || r == '=' || r == '"' || r == '\\' || r == utf8.RuneError || !unicode.IsPrint(r) {
			return strconv.Quote(s)
		}
	}
	return s
}

// escape keeps a text in one line and away from the terminal: control characters,
// line separators and bytes that are no UTF-8 become escapes as in Go.
func escape(s string) string {
	clean := true
	for _, r := range s {
		if r == utf8.RuneError || r != ' ' && !unicode.IsPrint(r) {
			clean = false
			break
		}
	}
	if clean {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 || r != ' ' && !unicode.IsPrint(r) {
			q := strconv.Quote(s[i : i+n])
			b.WriteString(q[1 : len(q)-1])
		} else {
			b.WriteString(s[i : i+n])
		}
		i += n
	}
	return b.String()
}
