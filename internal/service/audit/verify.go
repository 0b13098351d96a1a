package audit

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"time"

	"signpath/internal/service/store"
)

// What Verify finds; errors.Is tells them apart, and *VerifyError names the entry.
var (
	ErrChanged    = errors.New("the log was changed")                  // an entry's bytes, or its link to the one before
	ErrGap        = errors.New("the log has a gap")                    // an entry is missing or out of order
	ErrCutOff     = errors.New("the log was cut off")                  // it is shorter than an anchor or the store says
	ErrRoot       = errors.New("the log is not the one of the anchor") // a consistent log, but not the one that was signed
	ErrCheckpoint = errors.New("the checkpoint cannot be trusted")     // unsigned, wrong key, malformed
	ErrUnreadable = errors.New("the export is not a log of this kind") // ends within an entry, or is none
)

// VerifyError says where a log is wrong.
type VerifyError struct {
	Seq  uint64 // the first bad or missing entry; of a wrong root, the anchor's size
	Err  error  // one of the errors above
	Text string
}

func (e *VerifyError) Error() string { return fmt.Sprintf("%v: %s", e.Err, e.Text) }

// Unwrap gives the kind of the error.
func (e *VerifyError) Unwrap() error { return e.Err }

// VerifyOptions say what a log is compared with.
//
// Without an anchor Verify proves only that a log is consistent in itself: who
// can write to the database can also replace all of it, or cut its end off.
type VerifyOptions struct {
	// Anchors are signed checkpoints that the verifier has kept.
	Anchors [][]byte
	// VerifierKey is the text "name+hash+key" of the key that signed them. The
	// verifier must have it from elsewhere than the log.
	VerifierKey string
	// Head is the end that the store claims; nil when an export is checked.
	Head *store.AuditHead
}

// maxOpen bounds the memory of Verify: so many intents may wait for their
// outcome at the same time. The service itself never has more than 1024.
const maxOpen = 1 << 16

// Report is what a sound log says about itself.
type Report struct {
	Size        uint64
	Root        [32]byte // of the Merkle tree
	First, Last time.Time
	Anchored    uint64   // size of the largest anchor: entries above it are not covered by any
	Intents     uint64   // entries that announce an act
	OpenIntents []uint64 // their numbers, as far as they have no outcome; normal for the newest entries of a running service
	Unknown     uint64   // intents whose outcome is on record as unknown
	// StrayOutcomes are entries that end an intent which is not there, or was ended before.
	StrayOutcomes []uint64
}

// VerifyStore checks the log in the store itself.
func VerifyStore(ctx context.Context, st store.Store, opts VerifyOptions) (*Report, error) {
	head, err := st.AuditHead(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the audit log: %w", err)
	}
	opts.Head = &head
	return Verify(storeLeaves(ctx, st, store.AuditFilter{}, &head), opts)
}

// Lines walks through an export: every leaf ends with one line feed.
func Lines(r io.Reader) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		b := bufio.NewReaderSize(r, 64<<10)
		var long []byte
		for n := uint64(1); ; {
			piece, err := b.ReadSlice('\n')
			switch {
			case errors.Is(err, bufio.ErrBufferFull) && len(long)+len(piece) <= MaxLeaf:
				long = append(long, piece...)
				continue
			case errors.Is(err, bufio.ErrBufferFull):
				yield(nil, &VerifyError{Seq: n, Err: ErrUnreadable, Text: fmt.Sprintf("line %d is longer than %d bytes", n, MaxLeaf)})
				return
			case errors.Is(err, io.EOF):
				if len(long)+len(piece) > 0 {
					yield(nil, &VerifyError{Seq: n, Err: ErrUnreadable, Text: fmt.Sprintf("the export ends within line %d", n)})
				}
				return
			case err != nil:
				yield(nil, fmt.Errorf("reading the export: %w", err))
				return
			}
			leaf := piece[:len(piece)-1]
			if len(long) > 0 {
				leaf = append(long, leaf...)
			}
			if !yield(leaf, nil) {
				return
			}
			long = long[:0]
			n++
		}
	}
}

// Verify checks a whole log: numbers without a gap, every byte through the
// chain, and the tree against the anchors. It needs the same memory for a log
// of any length. The leaves may be reused by the iterator.
//
// A change of the last entry alone cannot be seen in the chain; an anchor, or
// the head of the store, shows it.
func Verify(leaves iter.Seq2[[]byte, error], opts VerifyOptions) (*Report, error) {
	anchors, err := openAnchors(opts)
	if err != nil {
		return nil, err
	}
	v := &verifier{anchors: anchors, open: map[uint64]struct{}{}}
	if err := v.checkAnchors(); err != nil { // one of size 0
		return nil, err
	}
	for leaf, err := range leaves {
		if err != nil {
			return nil, err
		}
		if err := v.add(leaf); err != nil {
			return nil, err
		}
	}
	return v.finish(opts.Head)
}

func openAnchors(opts VerifyOptions) ([]checkpoint, error) {
	var anchors []checkpoint
	for _, signed := range opts.Anchors {
		c, err := openCheckpoint(signed, opts.VerifierKey)
		if err != nil {
			return nil, err
		}
		anchors = append(anchors, c)
	}
	slices.SortFunc(anchors, func(a, b checkpoint) int {
		switch {
		case a.size < b.size:
			return -1
		case a.size > b.size:
			return 1
		}
		return 0
	})
	return anchors, nil
}

// verifier is the state between two entries.
type verifier struct {
	report  Report
	head    store.AuditHead
	last    []byte          // the last leaf, to find out which of two entries was changed
	broken  *VerifyError    // the link between the last two entries does not hold
	before  store.AuditHead // the log before the last entry, when broken
	anchors []checkpoint
	open    map[uint64]struct{}
}

func (v *verifier) add(leaf []byte) error {
	seq := v.head.Size + 1
	if v.broken != nil {
		return v.blame(leaf) // never nil
	}
	e, err := ParseLeaf(leaf)
	if err != nil {
		return &VerifyError{Seq: seq, Err: ErrChanged, Text: fmt.Sprintf("entry %d: %v", seq, err)}
	}
	switch {
	case e.Seq > seq && seq == 1:
		return &VerifyError{Seq: seq, Err: ErrGap, Text: fmt.Sprintf("the first entry has the number %d: either the beginning is missing or this is a filtered export, which cannot be verified", e.Seq)}
	case e.Seq != seq:
		return &VerifyError{Seq: seq, Err: ErrGap, Text: fmt.Sprintf("entry %d is expected but the next one has the number %d", seq, e.Seq)}
	case e.Prev != v.head.LastHash && seq == 1:
		return &VerifyError{Seq: 1, Err: ErrChanged, Text: "entry 1 does not begin a log: its prev is not zero"}
	case e.Prev != v.head.LastHash:
		v.broken = &VerifyError{Seq: seq - 1, Err: ErrChanged, Text: fmt.Sprintf("entry %d is not the one that entry %d was chained to", seq-1, seq)}
		v.before = v.head
	}
	if err := extend(&v.head, LeafHash(leaf)); err != nil {
		return err
	}
	v.last = append(v.last[:0], leaf...)
	if v.broken != nil {
		return nil // wait for one more entry
	}
	v.note(e)
	return v.checkAnchors()
}

// blame decides, with the entry after a broken link, which side of the link was
// changed: if the later entry fits its successor once its link is put right, it
// is the later one, else the earlier.
func (v *verifier) blame(next []byte) *VerifyError {
	mended, seq := v.mended()
	if e, err := ParseLeaf(next); err == nil && e.Prev == LeafHash(mended) && e.Prev != v.head.LastHash {
		return linkChanged(seq)
	}
	return v.blameEnd(nil)
}

// blameEnd is blame without an entry after the broken link: an anchor, or the
// store, may tell.
func (v *verifier) blameEnd(head *store.AuditHead) *VerifyError {
	mended, seq := v.mended()
	if v.report.Anchored == seq-1 { // everything before is proved
		return linkChanged(seq)
	}
	if extend(&v.before, LeafHash(mended)) != nil {
		return v.broken
	}
	root := Root(v.before)
	if head != nil && head.Size == seq && Root(*head) == root {
		return linkChanged(seq)
	}
	for _, a := range v.anchors {
		if a.size == seq && a.root == root {
			return linkChanged(seq)
		}
	}
	return v.broken
}

// mended is the entry after a broken link as it would be if only its link had been changed.
func (v *verifier) mended() (leaf []byte, seq uint64) {
	last, err := ParseLeaf(v.last)
	if err != nil {
		return nil, v.head.Size
	}
	return appendTail(appendHead(nil, last.Seq, last.Time, v.before.LastHash), last.Event, last.Event.Data), last.Seq
}

func linkChanged(seq uint64) *VerifyError {
	return &VerifyError{Seq: seq, Err: ErrChanged, Text: fmt.Sprintf("the link of entry %d to entry %d was changed", seq, seq-1)}
}

// note counts what the entry means.
func (v *verifier) note(e *Entry) {
	if v.report.Size == 0 {
		v.report.First = e.Time
	}
	v.report.Size, v.report.Last = e.Seq, e.Time
	if e.Event.Intent {
		v.report.Intents++
		if len(v.open) < maxOpen {
			v.open[e.Seq] = struct{}{}
		}
	}
	if n := e.Event.Outcome; n != 0 {
		if _, ok := v.open[n]; !ok && len(v.report.StrayOutcomes) < maxOpen {
			v.report.StrayOutcomes = append(v.report.StrayOutcomes, e.Seq)
		}
		delete(v.open, n)
		if bytes.HasSuffix([]byte(e.Event.Type), []byte(unknownSuffix)) {
			v.report.Unknown++
		}
	}
}

// checkAnchors compares the tree with the anchors of its present size.
func (v *verifier) checkAnchors() error {
	for len(v.anchors) > 0 && v.anchors[0].size == v.head.Size {
		a := v.anchors[0]
		if Root(v.head) != a.root {
			return &VerifyError{Seq: a.size, Err: ErrRoot, Text: fmt.Sprintf("the first %d entries fit together but are not those that the checkpoint of size %d was signed for: one or more of them were replaced", a.size, a.size)}
		}
		v.report.Anchored = a.size
		v.anchors = v.anchors[1:]
	}
	return nil
}

func (v *verifier) finish(head *store.AuditHead) (*Report, error) {
	size := v.head.Size
	switch {
	case v.broken != nil:
		return nil, v.blameEnd(head)
	case len(v.anchors) > 0:
		want := v.anchors[len(v.anchors)-1].size
		return nil, &VerifyError{Seq: size + 1, Err: ErrCutOff, Text: fmt.Sprintf("it ends with entry %d, but a checkpoint was signed for %d entries", size, want)}
	case head != nil && head.Size != size:
		return nil, &VerifyError{Seq: min(head.Size, size) + 1, Err: ErrCutOff, Text: fmt.Sprintf("the database holds %d entries but says that there are %d", size, head.Size)}
	case head != nil && (head.LastHash != v.head.LastHash || !slices.Equal(head.Frontier, v.head.Frontier)):
		return nil, &VerifyError{Seq: size, Err: ErrChanged, Text: fmt.Sprintf("the tree over %d entries is not the one that the database keeps", size)}
	}
	v.report.Root = Root(v.head)
	for seq := range v.open {
		v.report.OpenIntents = append(v.report.OpenIntents, seq)
	}
	slices.Sort(v.report.OpenIntents)
	return &v.report, nil
}
