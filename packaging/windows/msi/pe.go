package main

import (
	"bytes"
	"debug/pe"
	"encoding/binary"
	"errors"
	"fmt"
)

// fileVersion reads a program's version, as 1.2.3.4, from its version resource
// (VS_FIXEDFILEINFO: signature 0xFEEF04BD, two words on, high and low half).
func fileVersion(program []byte) (string, error) {
	f, err := pe.NewFile(bytes.NewReader(program))
	if err != nil {
		return "", err
	}
	section := f.Section(".rsrc")
	if section == nil {
		return "", errors.New("has no resources, and so no version")
	}
	b, err := section.Data()
	if err != nil {
		return "", err
	}
	at := bytes.Index(b, []byte{0xBD, 0x04, 0xEF, 0xFE})
	if at < 0 || at+16 > len(b) {
		return "", errors.New("has no version resource")
	}
	high, low := binary.LittleEndian.Uint32(b[at+8:]), binary.LittleEndian.Uint32(b[at+12:])
	return fmt.Sprintf("%d.%d.%d.%d", high>>16, high&0xffff, low>>16, low&0xffff), nil
}
