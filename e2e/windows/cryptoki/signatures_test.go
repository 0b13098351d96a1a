package cryptoki

import (
	"encoding/asn1"
	"math/big"
	"os"
	"testing"
)

// derOf is the DER form that openssl wants of an ECDSA signature in a file, which
// PKCS #11 gives as r‖s.
func derOf(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	half := len(b) / 2
	der, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(b[:half]), new(big.Int).SetBytes(b[half:])})
	if err != nil {
		t.Fatal(err)
	}
	return der
}
