//go:build cgo && unix

package main

import (
	"errors"
	"fmt"

	"signpath/internal/service/keys/hsm/hsmwire"
)

// maxRequests bounds what runs at one time; the service sends as many signatures
// as there are sessions, and little else.
const maxRequests = 1024

// worker answers requests. Only serve reads.
type worker struct {
	conn  *hsmwire.Conn
	token *token // nil before open
}

// serve works until the socket ends. What the module does then does not matter:
// the caller exits.
func (w *worker) serve() error {
	turns := make(chan struct{}, maxRequests)
	for {
		var r hsmwire.Request
		id, err := w.conn.Receive(&r)
		if err != nil {
			return err
		}
		if r.Op == hsmwire.OpOpen {
			// Alone, before anything else, so that token needs no lock.
			if err := w.conn.Send(id, w.open(&r)); err != nil {
				return err
			}
			continue
		}
		turns <- struct{}{}
		go func() {
			defer func() { <-turns }()
			answer, err := w.do(&r)
			if err != nil {
				answer = &hsmwire.Answer{Error: describe(err)}
			}
			if err := w.conn.Send(id, answer); err != nil {
				// The service is gone, which serve sees too; or the answer is too large.
				_ = w.conn.Send(id, &hsmwire.Answer{Error: &hsmwire.Error{Class: hsmwire.ClassRefused, Text: err.Error()}})
			}
		}()
	}
}

func (w *worker) open(r *hsmwire.Request) *hsmwire.Answer {
	if w.token != nil || r.Open == nil {
		return &hsmwire.Answer{Error: &hsmwire.Error{Class: hsmwire.ClassRefused, Text: "the first request opens the token, and only it"}}
	}
	t, err := openToken(r.Open)
	clear(r.Open.PIN)
	if err != nil {
		return &hsmwire.Answer{Error: describe(err)}
	}
	w.token = t
	return &hsmwire.Answer{Token: &t.info}
}

// do is the table of requests.
func (w *worker) do(r *hsmwire.Request) (*hsmwire.Answer, error) {
	t := w.token
	if t == nil {
		return nil, &hsmwire.Error{Class: hsmwire.ClassRefused, Before: true, Text: "the token is not open"}
	}
	missing := func(member any) error {
		return &hsmwire.Error{Class: hsmwire.ClassRefused, Before: true, Text: fmt.Sprintf("the request %q lacks its %T", r.Op, member)}
	}
	switch r.Op {
	case hsmwire.OpDescribe:
		return &hsmwire.Answer{Token: &t.info}, nil
	case hsmwire.OpPing:
		return &hsmwire.Answer{}, t.ping()
	case hsmwire.OpList:
		keys, more, err := t.list()
		return &hsmwire.Answer{Keys: keys, More: more}, err
	case hsmwire.OpGenerate:
		if r.Generate == nil {
			return nil, missing(r.Generate)
		}
		key, err := t.generate(r.Generate)
		return &hsmwire.Answer{Key: key}, err
	case hsmwire.OpSign:
		if r.Sign == nil {
			return nil, missing(r.Sign)
		}
		signature, err := t.sign(r.Sign)
		return &hsmwire.Answer{Signature: signature}, err
	case hsmwire.OpFind, hsmwire.OpAttestation, hsmwire.OpDestroy:
		if r.Key == nil {
			return nil, missing(r.Key)
		}
	default:
		return nil, &hsmwire.Error{Class: hsmwire.ClassRefused, Before: true, Text: fmt.Sprintf("the request %q is unknown", r.Op)}
	}
	switch r.Op {
	case hsmwire.OpFind:
		key, err := t.find(*r.Key)
		return &hsmwire.Answer{Key: key}, err
	case hsmwire.OpAttestation:
		attestation, err := t.attestation(*r.Key)
		return &hsmwire.Answer{Attestation: attestation}, err
	default:
		return &hsmwire.Answer{}, t.destroy(*r.Key)
	}
}

// describe gives an error the form of the wire.
func describe(err error) *hsmwire.Error {
	var e *hsmwire.Error
	if errors.As(err, &e) {
		return e
	}
	var c *callError
	if errors.As(err, &c) {
		return c.wire(err.Error())
	}
	return &hsmwire.Error{Class: hsmwire.ClassFailed, Text: err.Error()}
}
