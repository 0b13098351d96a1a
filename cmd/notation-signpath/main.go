// Command notation-signpath is the signing plug-in that notation starts as
// `notation-signpath COMMAND`, with a request in JSON on standard input.
//
// Standard output carries the answer and nothing else, standard error the error
// document and nothing else; exit code 0 or 1. All behaviour is in
// internal/provider/notation. People who start it by hand get --help and
// --version.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"signpath/internal/buildinfo"
	"signpath/internal/hardening"
	"signpath/internal/provider/notation"
)

func usage() string {
	return `notation-signpath is a plug-in of notation (Notary Project), which starts it by itself:

  notation plugin install --file notation-signpath
  notation sign --plugin signpath --id PROJECT/POLICY --plugin-config OrganizationId=ID REGISTRY/REPOSITORY@DIGEST

The token is taken from SIGNPATH_API_TOKEN or from the file named by SIGNPATH_CONFIG_FILE.
Commands of the plug-in contract, with a request on standard input: ` + strings.Join(notation.Commands(), ", ") + `
`
}

func main() {
	// Before anything is read: the environment or a file holds the token.
	if err := hardening.Process(); err != nil {
		os.Exit(refused(os.Stderr, err))
	}
	os.Exit(run(os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr))
}

func run(args, environ []string, in io.Reader, out, errs io.Writer) int {
	if len(args) == 1 {
		switch args[0] {
		case "--version", "-v", "version":
			return printed(fmt.Fprintln(out, "notation-signpath "+buildinfo.String()))
		case "--help", "-h", "help":
			return printed(io.WriteString(out, usage()))
		}
	}
	answer, err := execute(args, environ, in)
	if err == nil {
		return printed(out.Write(append(answer, '\n')))
	}
	return refused(errs, err)
}

// refused writes the error document and gives the exit code.
func refused(errs io.Writer, err error) int {
	var e *notation.Error
	if !errors.As(err, &e) {
		e = &notation.Error{Code: notation.CodeGeneric, Message: err.Error()}
	}
	_, _ = errs.Write(append(e.JSON(), '\n'))
	return 1
}

// printed is the exit code of a text that had to arrive.
func printed(_ int, err error) int {
	if err != nil {
		return 1
	}
	return 0
}

func execute(args, environ []string, in io.Reader) ([]byte, error) {
	if len(args) != 1 {
		return nil, &notation.Error{Code: notation.CodeValidation, Message: "exactly one command is expected; try notation-signpath --help"}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	request, err := io.ReadAll(io.LimitReader(in, notation.MaxRequest+1))
	if err != nil {
		return nil, &notation.Error{Code: notation.CodeGeneric, Message: "the request on standard input cannot be read: " + err.Error()}
	}
	p := &notation.Plugin{Version: buildinfo.Version(), Environ: environ}
	return p.Run(ctx, args[0], request)
}
