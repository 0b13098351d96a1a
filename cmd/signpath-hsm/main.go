//go:build cgo && unix

// Command signpath-hsm is the process in which a vendor's PKCS #11 module runs,
// one process per token. The signing service starts it, kills it when it hangs
// and starts it again when it crashes: a module can take nothing down but itself.
//
// "signpath doctor" also has it load a module, to see whether this machine can
// (try.go); then nothing enters but the path.
//
// What enters is one inherited socket, file descriptor 3, with the requests of
// package hsmwire; what leaves are its answers, and on stderr whatever the
// module prints. The PIN comes in the first request and is forgotten after the
// log-in. The process reads no file but the module, opens no other socket, is
// not dumped and not traced, and ends when the socket ends, also while a call
// of the module hangs. Nothing is decided here about who may sign.
package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"signpath/internal/buildinfo"
	"signpath/internal/hardening"
	"signpath/internal/service/keys/hsm/hsmwire"
)

// socketFD is where the service puts the worker's end of the socket pair.
const socketFD = 3

// Exit codes; the service logs them.
const (
	exitEnded    = 0 // the service is gone or done
	exitUsage    = 2
	exitProtocol = 3
)

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	if len(args) == 1 && args[0] == "--version" {
		fmt.Println("signpath-hsm " + buildinfo.String())
		return exitEnded
	}
	// Before anything secret arrives.
	if err := hardening.Process(); err != nil {
		fmt.Fprintln(os.Stderr, "signpath-hsm:", err)
		return exitUsage
	}
	if len(args) > 1 && args[0] == tryFlag {
		return try(args[1:])
	}
	if err := hardening.NoNewRights(); err != nil {
		fmt.Fprintln(os.Stderr, "signpath-hsm:", err)
		return exitUsage
	}
	conn, err := serviceSocket()
	if err != nil || len(args) > 0 {
		fmt.Fprintln(os.Stderr, "signpath-hsm is started by the signing service (signpath server --hsm-config FILE), not by hand")
		return exitUsage
	}
	w := &worker{conn: hsmwire.NewConn(conn)}
	if err := w.serve(); !errors.Is(err, io.EOF) {
		fmt.Fprintln(os.Stderr, "signpath-hsm:", err)
		return exitProtocol
	}
	return exitEnded
}

// serviceSocket takes over the inherited socket.
func serviceSocket() (net.Conn, error) {
	f := os.NewFile(socketFD, "service")
	if f == nil {
		return nil, errors.New("no socket was inherited")
	}
	defer f.Close() // FileConn has a copy of its own, which no child of the module inherits
	return net.FileConn(f)
}
