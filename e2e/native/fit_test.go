package native

import (
	"bytes"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"signpath/e2e/rig"
)

// fit reads a flattened device tree as far as U-Boot's signatures need it
// (Devicetree Specification, chapter 5; U-Boot, "FIT signature").
type fit struct {
	blob    []byte
	structs []byte // the structure block
	strings []byte
	base    int // of the structure block in the blob
	tags    []fitTag
}

const (
	fdtBeginNode = 1
	fdtEndNode   = 2
	fdtProp      = 3
	fdtNop       = 4
	fdtEnd       = 9
)

// fitTag is one tag of the structure block: [from, to) in it, the path of its node,
// and of a property its name and where its value lies.
type fitTag struct {
	kind       uint32
	from, to   int
	path, name string
	value      []byte
	at         int // of the value, in the blob
}

func parseFIT(b []byte) (*fit, error) {
	u := func(at int) int { return int(binary.BigEndian.Uint32(b[at:])) }
	if len(b) < 40 || u(0) != 0xd00dfeed {
		return nil, errors.New("no device tree")
	}
	offStruct, offStrings, sizeStrings, sizeStruct := u(8), u(12), u(32), u(36)
	if offStruct+sizeStruct > len(b) || offStrings+sizeStrings > len(b) {
		return nil, errors.New("blocks outside of the file")
	}
	f := &fit{blob: b, structs: b[offStruct : offStruct+sizeStruct], strings: b[offStrings : offStrings+sizeStrings], base: offStruct}
	var path []string
	for at := 0; ; {
		if at+4 > len(f.structs) {
			return nil, errors.New("the structure block has no end")
		}
		tag := fitTag{kind: binary.BigEndian.Uint32(f.structs[at:]), from: at, path: "/" + strings.Join(path, "/")}
		at += 4
		switch tag.kind {
		case fdtBeginNode:
			name, _, ok := bytes.Cut(f.structs[at:], []byte{0})
			if !ok {
				return nil, errors.New("a name without end")
			}
			if at += len(name) + 1; len(name) > 0 {
				path = append(path, string(name))
			}
			tag.path = "/" + strings.Join(path, "/")
		case fdtEndNode:
			if len(path) > 0 {
				path = path[:len(path)-1]
			}
		case fdtProp:
			if at+8 > len(f.structs) {
				return nil, errors.New("a property without end")
			}
			n, nameAt := int(binary.BigEndian.Uint32(f.structs[at:])), int(binary.BigEndian.Uint32(f.structs[at+4:]))
			if at += 8; at+n > len(f.structs) || nameAt > len(f.strings) {
				return nil, errors.New("a property outside of the file")
			}
			name, _, _ := bytes.Cut(f.strings[nameAt:], []byte{0})
			tag.name, tag.value, tag.at = string(name), f.structs[at:at+n], f.base+at
			at += n
		case fdtNop, fdtEnd:
		default:
			return nil, fmt.Errorf("unknown tag %d", tag.kind)
		}
		at = (at + 3) &^ 3
		tag.to = at
		f.tags = append(f.tags, tag)
		if tag.kind == fdtEnd {
			return f, nil
		}
	}
}

func (f *fit) find(node, property string) *fitTag {
	for i, t := range f.tags {
		if t.kind == fdtProp && t.path == node && t.name == property {
			return &f.tags[i]
		}
	}
	return &fitTag{}
}

func (f *fit) value(node, property string) []byte { return f.find(node, property).value }
func (f *fit) offset(node, property string) int   { return f.find(node, property).at }

// imagesMatch compares the digest of the kernel with the one in its hash node.
func (f *fit) imagesMatch() error {
	data, want := f.value("/images/kernel", "data"), f.value("/images/kernel/hash-1", "value")
	if got := sha256.Sum256(data); len(data) == 0 || !bytes.Equal(got[:], want) {
		return errors.New("the kernel does not match its digest")
	}
	return nil
}

// signed is what a configuration's signature covers: of the nodes in "hashed-nodes" the
// tags and properties but the data, of their parents the tags, the end, and the strings.
func (f *fit) signed(node string) (covered, signature []byte, err error) {
	signature = f.value(node, "value")
	list := strings.Split(strings.TrimRight(string(f.value(node, "hashed-nodes")), "\x00"), "\x00")
	hashedStrings := f.value(node, "hashed-strings")
	if len(signature) == 0 || len(hashedStrings) != 8 {
		return nil, nil, errors.New("no signature")
	}
	for _, needed := range []string{"/", "/configurations/conf", "/images/kernel", "/images/kernel/hash-1"} {
		if !slices.Contains(list, needed) {
			return nil, nil, fmt.Errorf("%s is not signed", needed)
		}
	}
	// 2: the node itself is in the list; 1: a child of one; 0: neither
	want, stack := 0, []int{}
	start := -1
	end := func(at int) {
		if start >= 0 {
			covered = append(covered, f.structs[start:at]...)
			start = -1
		}
	}
	for _, t := range f.tags {
		include, stop := false, t.to
		switch t.kind {
		case fdtProp:
			include = want >= 2 && !slices.Contains([]string{"data", "data-size", "data-position", "data-offset"}, t.name)
			stop = t.from
		case fdtNop:
			include, stop = want >= 2, t.from
		case fdtBeginNode:
			stack = append(stack, want)
			if want == 1 {
				stop = t.from
			}
			switch {
			case slices.Contains(list, t.path):
				want = 2
			case want > 0:
				want--
			default:
				stop = t.from
			}
			include = want > 0
		case fdtEndNode:
			include = want > 0
			want, stack = stack[len(stack)-1], stack[:len(stack)-1]
		case fdtEnd:
			include = true
		}
		switch {
		case include && start < 0:
			start = t.from
		case !include:
			end(stop)
		}
		if t.kind == fdtEnd {
			end(t.to)
		}
	}
	n := int(binary.BigEndian.Uint32(hashedStrings[4:]))
	if n > len(f.strings) {
		return nil, nil, errors.New("signed strings outside of the file")
	}
	return append(covered, f.strings[:n]...), signature, nil
}

// rsaModulus is the modulus of a certificate's key.
func rsaModulus(t *testing.T, file string) []byte {
	t.Helper()
	block, _ := pem.Decode(rig.Must(os.ReadFile(file)))
	c := rig.Must(x509.ParseCertificate(block.Bytes))
	return c.PublicKey.(*rsa.PublicKey).N.Bytes()
}
