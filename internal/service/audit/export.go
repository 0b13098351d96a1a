package audit

import (
	"context"
	"fmt"
	"io"
	"iter"

	"signpath/internal/service/store"
)

// pageSize is how many rows are read from the store at once: the bound on the
// memory of an export is one page.
const pageSize = 256

// Export writes the entries that filter lets through, each followed by a line
// feed. It ends with the entry that was the last when it began. Only an export
// with the empty filter can be verified: the others have gaps by design.
func Export(ctx context.Context, st store.Store, w io.Writer, filter store.AuditFilter) error {
	for leaf, err := range storeLeaves(ctx, st, filter, nil) {
		if err != nil {
			return err
		}
		if _, err := w.Write(append(leaf[:len(leaf):len(leaf)], '\n')); err != nil {
			return fmt.Errorf("writing the export of the audit log: %w", err)
		}
	}
	return nil
}

// Leaves walks through the whole log in the store, in order.
func Leaves(ctx context.Context, st store.Store) iter.Seq2[[]byte, error] {
	return storeLeaves(ctx, st, store.AuditFilter{}, nil)
}

// storeLeaves walks up to head, or up to the head at the start when that is nil.
func storeLeaves(ctx context.Context, st store.Store, filter store.AuditFilter, head *store.AuditHead) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		if head == nil {
			h, err := st.AuditHead(ctx)
			if err != nil {
				yield(nil, fmt.Errorf("reading the audit log: %w", err))
				return
			}
			head = &h
		}
		for after := uint64(0); after < head.Size; {
			rows, err := st.AuditRows(ctx, after, pageSize, filter)
			if err != nil {
				yield(nil, fmt.Errorf("reading the audit log: %w", err))
				return
			}
			for _, r := range rows {
				if r.Seq > head.Size {
					return
				}
				if !yield(r.Leaf, nil) {
					return
				}
				after = r.Seq
			}
			if len(rows) < pageSize {
				return
			}
		}
	}
}
