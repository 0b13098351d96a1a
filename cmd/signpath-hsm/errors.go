//go:build cgo && unix

package main

import (
	"errors"
	"fmt"

	"github.com/miekg/pkcs11"

	"signpath/internal/service/keys/hsm/hsmwire"
)

// remedy is what this process does about a return value.
type remedy int

const (
	none    remedy = iota
	session        // take a new session
	key            // look the key up again
	check          // ask the device whether it works at all
)

// rule is what a return value means.
type rule struct {
	class hsmwire.Class
	// before: by its definition the value tells of a state "at the time that the
	// function was invoked", so the function did nothing (PKCS #11 v2.40 section 5.1).
	before bool
	remedy remedy
}

// rules is the one table of return values. What it does not list is refused:
// the token works and repeating does not help.
var rules = map[pkcs11.Error]rule{
	pkcs11.CKR_PIN_INCORRECT:             {hsmwire.ClassPIN, true, none},
	pkcs11.CKR_PIN_INVALID:               {hsmwire.ClassPIN, true, none},
	pkcs11.CKR_PIN_LEN_RANGE:             {hsmwire.ClassPIN, true, none},
	pkcs11.CKR_PIN_EXPIRED:               {hsmwire.ClassPIN, true, none},
	pkcs11.CKR_PIN_LOCKED:                {hsmwire.ClassPIN, true, none},
	pkcs11.CKR_USER_PIN_NOT_INITIALIZED:  {hsmwire.ClassPIN, true, none},
	pkcs11.CKR_TOKEN_NOT_PRESENT:         {hsmwire.ClassDevice, true, none},
	pkcs11.CKR_TOKEN_NOT_RECOGNIZED:      {hsmwire.ClassDevice, true, none},
	pkcs11.CKR_SLOT_ID_INVALID:           {hsmwire.ClassDevice, true, none},
	pkcs11.CKR_USER_NOT_LOGGED_IN:        {hsmwire.ClassDevice, true, none},
	pkcs11.CKR_CRYPTOKI_NOT_INITIALIZED:  {hsmwire.ClassDevice, true, none},
	pkcs11.CKR_DEVICE_REMOVED:            {hsmwire.ClassDevice, false, none},
	pkcs11.CKR_DEVICE_ERROR:              {hsmwire.ClassFailed, false, check},
	pkcs11.CKR_DEVICE_MEMORY:             {hsmwire.ClassFailed, false, check},
	pkcs11.CKR_HOST_MEMORY:               {hsmwire.ClassFailed, false, check},
	pkcs11.CKR_GENERAL_ERROR:             {hsmwire.ClassFailed, false, check},
	pkcs11.CKR_FUNCTION_FAILED:           {hsmwire.ClassFailed, false, check},
	pkcs11.CKR_FUNCTION_CANCELED:         {hsmwire.ClassFailed, false, check},
	pkcs11.CKR_SESSION_HANDLE_INVALID:    {hsmwire.ClassDevice, true, session},
	pkcs11.CKR_SESSION_CLOSED:            {hsmwire.ClassFailed, false, session},
	pkcs11.CKR_SESSION_COUNT:             {hsmwire.ClassFailed, true, check},
	pkcs11.CKR_OPERATION_ACTIVE:          {hsmwire.ClassFailed, true, session},
	pkcs11.CKR_OPERATION_NOT_INITIALIZED: {hsmwire.ClassFailed, true, session},
	pkcs11.CKR_KEY_HANDLE_INVALID:        {hsmwire.ClassKey, true, key},
	pkcs11.CKR_OBJECT_HANDLE_INVALID:     {hsmwire.ClassKey, true, key},
}

// callError is a function of the module that failed.
type callError struct {
	function string
	code     pkcs11.Error
}

func (e *callError) Error() string {
	// The library says "pkcs11: 0x30: CKR_DEVICE_ERROR".
	return fmt.Sprintf("%s: %s", e.function, e.code.Error()[len("pkcs11: "):])
}

// usesKey are the functions in which the private key is used or made.
var usesKey = map[string]bool{"C_Sign": true, "C_GenerateKeyPair": true}

func (e *callError) rule() rule {
	r, ok := rules[e.code]
	if !ok {
		r = rule{class: hsmwire.ClassRefused}
	}
	r.before = r.before || !usesKey[e.function]
	return r
}

func (e *callError) wire(text string) *hsmwire.Error {
	r := e.rule()
	return &hsmwire.Error{Class: r.class, Before: r.before, Code: uint64(e.code), Text: text}
}

// call names the function that failed.
func call(function string, err error) error {
	if err == nil {
		return nil
	}
	var code pkcs11.Error
	if !errors.As(err, &code) {
		return fmt.Errorf("%s: %w", function, err)
	}
	return &callError{function, code}
}

// hasCode tells whether the module answered one of the codes.
func hasCode(err error, codes ...pkcs11.Error) bool {
	var c *callError
	if !errors.As(err, &c) {
		return false
	}
	for _, code := range codes {
		if c.code == code {
			return true
		}
	}
	return false
}
