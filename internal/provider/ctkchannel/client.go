package ctkchannel

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
)

// Ask is the extension's side in Go, for programs that check the channel; the
// extension's own is in C and says the same. The error is a *Refusal when the
// app refused.
func Ask(ctx context.Context, c Configuration, instance string, algorithm byte, digest []byte) ([]byte, error) {
	if len(instance) == 0 || len(instance) > maxID || len(digest) == 0 || len(digest) > maxDigest {
		return nil, errors.New("the name of the token or the digest has a wrong length")
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(c.Port))))
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	defer func() { _ = conn.Close() }()
	return ask(conn, c.Key, instance, algorithm, digest)
}

func ask(conn io.ReadWriter, key Key, instance string, algorithm byte, digest []byte) ([]byte, error) {
	t := &talk{key: key}
	t.add([]byte(hello)...)
	t.add(byte(len(instance)))
	t.add([]byte(instance)...)
	nonce := newKey()
	t.add(nonce[:]...)
	if _, err := conn.Write(t.said); err != nil {
		return nil, err
	}
	var second [nonceSize + macSize]byte
	if _, err := io.ReadFull(conn, second[:]); err != nil {
		return nil, err
	}
	t.add(second[:nonceSize]...)
	if !t.proves(labelApp, second[nonceSize:]) {
		return nil, errUnknown
	}
	third := append([]byte{algorithm, byte(len(digest))}, digest...)
	t.add(third...)
	if _, err := conn.Write(append(third, t.mac(labelRequest)...)); err != nil {
		return nil, err
	}
	return readAnswer(conn, t)
}

// readAnswer reads message 4.
func readAnswer(r io.Reader, t *talk) ([]byte, error) {
	var head [3]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(head[1:]))
	if n > maxBody {
		return nil, fmt.Errorf("an answer of %d bytes", n)
	}
	rest := make([]byte, n+macSize)
	if _, err := io.ReadFull(r, rest); err != nil {
		return nil, err
	}
	t.add(head[:]...)
	t.add(rest[:n]...)
	if !t.proves(labelAnswer, rest[n:]) {
		return nil, errUnknown
	}
	if code := int8(head[0]); code != 0 { //nolint:gosec // a signed byte on the wire
		return nil, &Refusal{Code: code, Message: string(rest[:n])}
	}
	return rest[:n], nil
}
