package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"signpath/internal/provider/settings"
	"signpath/internal/secret"
)

// password reads a password from a file (one line; "-" is stdin), or asks for
// it on the terminal without showing what is typed. It never comes from the
// command line, which every user of the machine can read.
func (t *terminal) password(file, question string) (secret.Secret, error) {
	switch file {
	case "":
		return t.askPassword(question)
	case "-":
		data, err := io.ReadAll(io.LimitReader(t.in, 2*maxPassword+8))
		if err != nil {
			return secret.Secret{}, badInput(fmt.Errorf("reading the password: %w", err), "")
		}
		return passwordOf(data, "stdin")
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return secret.Secret{}, badInput(err, "")
	}
	return passwordOf(data, file)
}

// maxPassword bounds a password, in bytes.
const maxPassword = 1024

// passwordOf takes one line; an empty one is a password too. Windows PowerShell writes
// UTF-16, Notepad a byte order mark: neither is part of it.
func passwordOf(data []byte, where string) (secret.Secret, error) {
	text := strings.TrimSuffix(strings.TrimSuffix(string(settings.DecodeText(data)), "\n"), "\r")
	if strings.ContainsAny(text, "\r\n\x00") || len(text) > maxPassword {
		return secret.Secret{}, badInput(fmt.Errorf("the secret in %s must be one line of at most %d bytes", where, maxPassword), "")
	}
	return secret.New(text), nil
}

func (t *terminal) askPassword(question string) (secret.Secret, error) {
	f, ok := t.in.(*os.File)
	if !ok {
		return secret.Secret{}, errNoTerminal
	}
	restore, err := hideInput(f)
	if err != nil {
		return secret.Secret{}, errNoTerminal
	}
	defer restore()
	fmt.Fprint(t.err, question)
	line, err := readLine(f)
	fmt.Fprintln(t.err)
	if err != nil {
		return secret.Secret{}, badInput(fmt.Errorf("reading the password: %w", err), "")
	}
	return passwordOf([]byte(line), "the answer")
}

// untilRestored puts a terminal back as it was when restore is called, or when a
// signal ends the program before.
func untilRestored(put func(), ends ...os.Signal) (restore func()) {
	signals, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(signals, ends...)
	go func() {
		select {
		case <-signals:
			put()
			os.Exit(exitFailed)
		case <-done:
		}
	}()
	return func() {
		signal.Stop(signals)
		close(done)
		put()
	}
}

var errNoTerminal = usage(errors.New("there is no terminal to ask for the password"), "give it with --password-file FILE, or --password-file - for stdin")
