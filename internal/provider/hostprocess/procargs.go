package hostprocess

import (
	"encoding/binary"
	"strings"
)

// parseProcArgs reads macOS's answer to sysctl kern.procargs2: the number of
// arguments (32 bits, little-endian), the path of the program, zeros, the
// arguments, each ended by a zero, and the environment, which is left alone.
func parseProcArgs(data []byte) []string {
	if len(data) < 4 {
		return nil
	}
	count := int(int32(binary.LittleEndian.Uint32(data))) //nolint:gosec // a count of the kernel
	_, rest, ok := strings.Cut(string(data[4:]), "\x00")
	if !ok || count <= 0 {
		return nil
	}
	rest = strings.TrimLeft(rest, "\x00")
	var args []string
	for len(args) < count {
		arg, tail, ok := strings.Cut(rest, "\x00")
		if !ok {
			break // cut off: the rest of an argument may be half a secret
		}
		args, rest = append(args, arg), tail
	}
	return args
}
