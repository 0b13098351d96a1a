package cryptoki

import (
	"encoding/binary"
	"time"
)

// encoding is the size of a CK_ULONG in the host's memory: 8 bytes, 4 on
// Windows. Every platform of the module is little-endian.
type encoding int

func (e encoding) ulong(v uint64) []byte {
	return binary.LittleEndian.AppendUint64(nil, v)[:e]
}

func (e encoding) ulongs(values []uint64) []byte {
	out := make([]byte, 0, len(values)*int(e))
	for _, v := range values {
		out = append(out, e.ulong(v)...)
	}
	return out
}

// parseULong reads exactly one CK_ULONG.
func (e encoding) parseULong(b []byte) uint64 {
	var full [8]byte
	copy(full[:], b[:e])
	return binary.LittleEndian.Uint64(full[:])
}

func boolean(v bool) []byte {
	if v {
		return []byte{1}
	}
	return []byte{0}
}

// date is a CK_DATE: YYYYMMDD in ASCII (PKCS #11 v2.40 section 3.1).
func date(t time.Time) []byte { return []byte(t.UTC().Format("20060102")) }
