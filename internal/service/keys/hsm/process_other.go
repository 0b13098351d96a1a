//go:build !unix

package hsm

import (
	"errors"
	"io"
	"net"
	"time"
)

// process does not exist here.
type process struct{ socket net.Conn }

func startProcess(string, []string, io.Writer) (*process, error) {
	return nil, errors.New("PKCS #11 tokens are used on Linux and macOS only")
}

func (p *process) pid() int { return 0 }

func (p *process) kill(time.Duration) (string, bool) { return "", false }
