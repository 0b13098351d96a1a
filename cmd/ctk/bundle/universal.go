package main

import (
	"bytes"
	"debug/macho"
	"encoding/binary"
	"errors"
	"fmt"
	"sort"
)

// pageShift is how slices of a universal file are aligned: 2^14, arm64's pages.
const pageShift = 14

// universal joins thin Mach-O files of different architectures (fat_header,
// big-endian). One file stays as it is.
func universal(thin [][]byte) ([]byte, error) {
	if len(thin) == 1 {
		return thin[0], nil
	}
	type arch struct {
		cpu, sub uint32
		data     []byte
	}
	var all []arch
	for _, d := range thin {
		f, err := macho.NewFile(bytes.NewReader(d))
		if err != nil {
			return nil, err
		}
		for _, o := range all {
			if o.cpu == uint32(f.Cpu) {
				return nil, fmt.Errorf("two programs for %s", f.Cpu)
			}
		}
		all = append(all, arch{uint32(f.Cpu), f.SubCpu, d})
	}
	if len(all) == 0 {
		return nil, errors.New("no program")
	}
	sort.Slice(all, func(i, j int) bool { return all[i].cpu < all[j].cpu })
	var out bytes.Buffer
	put := func(v ...uint32) { _ = binary.Write(&out, binary.BigEndian, v) } // a Buffer takes everything
	put(macho.MagicFat, uint32(len(all)))
	at := align(uint32(8 + 20*len(all)))
	for _, a := range all {
		put(a.cpu, a.sub, at, uint32(len(a.data)), pageShift)
		at = align(at + uint32(len(a.data)))
	}
	for _, a := range all {
		out.Write(make([]byte, align(uint32(out.Len()))-uint32(out.Len())))
		out.Write(a.data)
	}
	return out.Bytes(), nil
}

func align(n uint32) uint32 { return (n + 1<<pageShift - 1) &^ (1<<pageShift - 1) }
