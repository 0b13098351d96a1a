package logfile

import (
	"context"
	"log/slog"
	"runtime"

	"signpath/internal/provider/settings"
)

// Slog gives a standard logger that writes here. Levels below Debug are verbose,
// those of 12 and more are fatal.
func (l *Logger) Slog() *slog.Logger {
	if l == nil {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(handler{l})
}

type handler struct{ l *Logger }

func fromSlog(level slog.Level) settings.Level {
	switch {
	case level >= 12:
		return settings.LevelFatal
	case level >= slog.LevelError:
		return settings.LevelError
	case level >= slog.LevelWarn:
		return settings.LevelWarning
	case level >= slog.LevelInfo:
		return settings.LevelInfo
	case level >= slog.LevelDebug:
		return settings.LevelDebug
	}
	return settings.LevelVerbose
}

func (h handler) Enabled(_ context.Context, level slog.Level) bool {
	return h.l.Enabled(fromSlog(level))
}

func (h handler) Handle(_ context.Context, r slog.Record) error {
	defer dropPanic()
	args := make([]any, 0, r.NumAttrs())
	r.Attrs(func(a slog.Attr) bool {
		args = append(args, a)
		return true
	})
	at := r.Time
	if at.IsZero() {
		at = h.l.options.Now()
	}
	pc := r.PC
	if pc == 0 {
		var pcs [1]uintptr
		runtime.Callers(2, pcs[:])
		pc = pcs[0]
	}
	h.l.write(fromSlog(r.Level), at, pc, r.Message, h.l.render(args))
	return nil
}

func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	args := make([]any, len(attrs))
	for i, a := range attrs {
		args[i] = a
	}
	return handler{h.l.With(args...)}
}

func (h handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	d := *h.l
	d.group += name + "."
	return handler{&d}
}
