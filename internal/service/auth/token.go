// Package auth finds out who asks: it makes API tokens and checks the
// Authorization header of a request against a snapshot.
//
// What enters is a header and a time, what leaves is a principal, or a
// *wire.Problem that names the cause. The package knows tokens only by their
// hash, reads no database, decides about no permission, and never puts a token
// into an error.
//
// A token is 44 characters: base64url (RFC 4648 section 5) of one version byte,
// 0x01, and 32 random bytes. It is shown once; the store keeps the SHA-256 of
// its text. With 256 random bits a slow password hash would add nothing.
package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"

	"signpath/internal/secret"
)

const tokenVersion = 0x01

// NewToken makes a token. The hash is what the store keeps.
func NewToken() (token secret.Secret, hash [32]byte) {
	raw := make([]byte, 33)
	raw[0] = tokenVersion
	_, _ = rand.Read(raw[1:]) // ends the program rather than fail
	text := base64.URLEncoding.EncodeToString(raw)
	return secret.New(text), HashToken(text)
}

// HashToken is the SHA-256 of the token's text as the client sends it.
func HashToken(text string) [32]byte { return sha256.Sum256([]byte(text)) }
