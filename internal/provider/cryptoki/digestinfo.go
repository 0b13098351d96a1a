package cryptoki

import (
	"bytes"
	"encoding/asn1"
	"strconv"
	"strings"

	"signpath/internal/wire"
)

// parseDigestInfo reads the input of CKM_RSA_PKCS: the DER of a DigestInfo (RFC
// 8017 section 9.2) over a hash of the wire. The algorithm's NULL parameter may
// be there or be missing; everything else has one encoding, so comparing with
// the few possible prefixes is stricter than any parser.
func parseDigestInfo(data []byte) (hash wire.Hash, digest []byte, ok bool) {
	for _, h := range wire.Hashes() {
		for _, null := range []bool{true, false} {
			if rest, found := bytes.CutPrefix(data, digestInfoPrefix(h, null)); found && len(rest) == h.Size() {
				return h, rest, true
			}
		}
	}
	return 0, nil, false
}

// digestInfoPrefix is the DER of a DigestInfo up to the digest's first byte.
func digestInfoPrefix(h wire.Hash, null bool) []byte {
	var oid asn1.ObjectIdentifier
	for part := range strings.SplitSeq(h.OID(), ".") {
		n, _ := strconv.Atoi(part) // our own table
		oid = append(oid, n)
	}
	id, _ := asn1.Marshal(oid) // cannot fail for the hashes of the wire
	if null {
		id = append(id, 0x05, 0x00)
	}
	// All lengths are below 128: one byte each.
	inner := append([]byte{0x30, byte(len(id))}, id...)
	inner = append(inner, 0x04, byte(h.Size()))
	return append([]byte{0x30, byte(len(inner) + h.Size())}, inner...)
}
