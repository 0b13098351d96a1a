package cng

import (
	"encoding/binary"
	"fmt"
	"unicode/utf16"

	"signpath/internal/provider/winkeys"
)

const (
	page     = 4096 // reading never crosses into a page that it does not need
	maxText  = 4096 // UTF-16 units of a name
	maxInput = 64 << 10
)

func hex(n uint32) string { return fmt.Sprintf("0x%x", n) }

// read copies n bytes from the host; not ok for NULL.
func (c *call) read(address uintptr, n int) ([]byte, bool) {
	if address == 0 || address+uintptr(n) < address {
		return nil, false
	}
	b := make([]byte, n)
	return b, c.opts.Memory.Read(address, b)
}

// write puts bytes into the host's memory; not ok for NULL.
func (c *call) write(address uintptr, b []byte) bool {
	return address != 0 && address+uintptr(len(b)) >= address && c.opts.Memory.Write(address, b)
}

// text is the zero-terminated UTF-16 text that argument i points to.
func (c *call) text(i int) (string, bool) { return c.textAt(c.a[i]) }

func (c *call) textAt(address uintptr) (string, bool) {
	if address == 0 {
		return "", false
	}
	var units []uint16
	for len(units) <= maxText {
		n := page - int(address%page)
		if n == 1 { // an odd address: the unit lies in two pages
			n = 2
		}
		n &^= 1
		b, ok := c.read(address, n)
		if !ok {
			return "", false
		}
		for j := 0; j < n; j += 2 {
			u := binary.LittleEndian.Uint16(b[j:])
			if u == 0 {
				return string(utf16.Decode(units)), len(units) <= maxText
			}
			units = append(units, u)
		}
		address += uintptr(n)
	}
	return "", false
}

// pointer is how an address is written.
func (c *call) pointer(p uintptr) []byte {
	return binary.LittleEndian.AppendUint64(nil, uint64(p))[:c.opts.PointerSize]
}

// readPointer reads an address.
func (c *call) readPointer(at uintptr) (uintptr, bool) {
	b, ok := c.read(at, c.opts.PointerSize)
	if !ok {
		return 0, false
	}
	return pointerOf(b), true
}

func pointerOf(b []byte) uintptr {
	if len(b) == 4 {
		return uintptr(binary.LittleEndian.Uint32(b))
	}
	return uintptr(binary.LittleEndian.Uint64(b))
}

// writeHandle puts a handle where argument i points to.
func (c *call) writeHandle(i int, h Handle) bool { return c.write(c.a[i], c.pointer(uintptr(h))) }

// output answers the functions that fill a buffer: argument at is the buffer, at+1
// its size, at+2 where the size of the answer goes. A NULL buffer asks for the size.
func (c *call) output(at int, data []byte) Status {
	asked, st := c.wantsSize(at, len(data))
	switch {
	case st != winkeys.OK || asked:
		return st
	case !c.write(c.a[at], data):
		return winkeys.NTE_INVALID_PARAMETER
	}
	return winkeys.OK
}

// wantsSize writes the size of an answer. The call is over when asked is true or
// the status is not OK.
func (c *call) wantsSize(at, size int) (asked bool, st Status) {
	c.note("bufferNull", c.a[at] == 0, "bufferLen", c.dword(at+1), "len", size)
	if !c.write(c.a[at+2], dwords(uint32(size))) { //nolint:gosec // a few KiB at most
		return false, winkeys.NTE_INVALID_PARAMETER
	}
	switch {
	case c.a[at] == 0:
		return true, winkeys.OK
	case uint64(c.dword(at+1)) < uint64(size): //nolint:gosec // never negative
		return false, winkeys.NTE_BUFFER_TOO_SMALL
	}
	return false, winkeys.OK
}

// dwords is numbers of 32 bits, little-endian.
func dwords(n ...uint32) []byte {
	var b []byte
	for _, n := range n {
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	return b
}

// wide is a text in UTF-16 with its zero unit.
func wide(s string) []byte {
	var b []byte
	for _, u := range append(utf16.Encode([]rune(s)), 0) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}
