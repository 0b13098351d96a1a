package gpg

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// PIN is what the pinentry answers: the module then takes organization and token
// from its settings. It is no secret.
const PIN = "CONFIG"

// questions are how gnupg-pkcs11-scd asks for the PIN of the module's token for the
// first time.
var questions = []string{
	"(SignPath/SignPath/",                        // since 0.10: manufacturer, model, then serial number and label
	"(PIN required for token 'SignPath' (try 0)", // before: label
}

// Error codes of a pinentry: source 5 in the upper eight bits (Libgpg-error).
const (
	errCanceled   = 5<<24 | 99
	errUnknownCmd = 5<<24 | 275
	errLineLength = 5<<24 | 263
)

// maxLine is the length of an Assuan line in bytes, its end included.
const maxLine = 1000

// Pinentry answers gpg-agent on in and out (Assuan's line protocol) until the
// agent leaves. It gives the PIN of the module's token and nothing else: other
// questions for a PIN or a passphrase, a second try after a wrong PIN, and every
// question for consent are declined and told to refused, with the agent's text.
func Pinentry(in io.Reader, out io.Writer, pid int, version string, refused func(what, text string)) error {
	p := pinentry{pid: pid, version: version, refused: refused}
	r := bufio.NewReaderSize(in, maxLine)
	if _, err := io.WriteString(out, "OK SignPath pinentry\n"); err != nil {
		return err
	}
	for {
		line, err := r.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			_, _ = fmt.Fprintf(out, "ERR %d line too long <Pinentry>\n", errLineLength)
			return errors.New("gpg-agent sent a line longer than 1000 bytes")
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		answer, leave := p.answer(strings.TrimRight(string(line), "\r\n"))
		if _, err := io.WriteString(out, answer); err != nil {
			return err
		}
		if leave {
			return nil
		}
	}
}

type pinentry struct {
	pid     int
	version string
	refused func(what, text string)

	description string
	again       bool // the agent has shown an error: the last PIN was wrong
}

// answer gives the answer to one line, complete with its end.
func (p *pinentry) answer(line string) (answer string, leave bool) {
	command, argument, _ := strings.Cut(line, " ")
	switch command = strings.ToUpper(command); command {
	case "GETPIN":
		if asksForToken(p.description) && !p.again {
			return "D " + PIN + "\nOK\n", false
		}
		return p.decline("a PIN or passphrase"), false
	case "CONFIRM", "MESSAGE":
		return p.decline("consent"), false
	case "SETDESC":
		p.description = unescape(argument)
	case "SETERROR":
		p.again = true
	case "RESET":
		p.description, p.again = "", false
	case "GETINFO":
		return p.info(argument), false
	case "BYE":
		return "OK closing connection\n", true
	case "", "NOP", "OPTION", "END", "CANCEL", "CLEARPASSPHRASE":
	default:
		if command[0] != '#' && !strings.HasPrefix(command, "SET") {
			return fmt.Sprintf("ERR %d unknown command <Pinentry>\n", errUnknownCmd), false
		}
	}
	return "OK\n", false
}

func asksForToken(description string) bool {
	return slices.ContainsFunc(questions, func(q string) bool { return strings.Contains(description, q) })
}

func (p *pinentry) decline(what string) string {
	p.refused(what, p.description)
	return fmt.Sprintf("ERR %d declined: this pinentry knows the token of SignPath only <Pinentry>\n", errCanceled)
}

func (p *pinentry) info(what string) string {
	switch what {
	case "pid":
		return "D " + strconv.Itoa(p.pid) + "\nOK\n"
	case "version":
		return "D " + p.version + "\nOK\n"
	case "flavor":
		return "D signpath\nOK\n"
	case "ttyinfo":
		return "D - - - - 0/0 -\nOK\n"
	}
	return fmt.Sprintf("ERR %d unknown value <Pinentry>\n", errUnknownCmd)
}

// unescape undoes Assuan's %XX; what is malformed stays.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(n))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
