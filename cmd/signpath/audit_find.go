package main

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"iter"
	"os"
	"slices"
	"strconv"
	"strings"

	"signpath/internal/service/admin"
	"signpath/internal/service/signing"
	"signpath/internal/service/store"
	"signpath/internal/wire"
)

// auditFind answers who signed a digest.
type auditFind struct {
	Digest string `help:"The digest, in hexadecimal." placeholder:"HEX" xor:"what" required:""`
	File   string `help:"Compute the digest of this file in place of --digest." placeholder:"FILE" xor:"what" required:""`
	Hash   string `help:"Digest algorithm for --file: sha1, sha256, sha384, sha512 or md5. Default: all of them." default:"" enum:",sha1,sha256,sha384,sha512,md5" placeholder:"NAME"`
	JSON   bool   `name:"json" help:"Print as JSON."`
}

// Help implements kong.HelpProvider.
func (auditFind) Help() string {
	return "Tells who signed this digest, when, under which signing policy, with which key, and what came of it; refused requests too. It looks into an index and takes no longer when the log is long. The digest is what the signing tool sent: for formats that keep the signature inside (PE, MSI, JAR, CMS with attributes) it is not that of the whole file. Of a file that an Ed25519 key signed it is the SHA-512. Ends with exit code 1 when nothing is found.\n\n" + examples(
		"signpath audit --data DIR find --file app.bin",
		"signpath audit --data DIR find --digest ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad --json",
	)
}

// Run prints a table.
func (c *auditFind) Run(ctx context.Context, t *terminal, p *place) error {
	digests, err := c.digests()
	if err != nil {
		return err
	}
	var found []signing.Signature
	err = p.readLog(ctx, t, func(log store.Store) error {
		for _, digest := range digests {
			filter := store.AuditFilter{Subject: store.AuditSubject{Digest: digest}}
			for s, err := range signing.History(rowsOf(ctx, log, filter)) {
				if err != nil {
					return err
				}
				if s.Mentions(digest) {
					found = append(found, s)
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortStableFunc(found, func(a, b signing.Signature) int { return cmp.Compare(a.Sequence, b.Sequence) })
	if c.JSON {
		if err := t.json(map[string]any{"digest": hex.EncodeToString(digests[0]), "items": append([]signing.Signature{}, found...)}); err != nil {
			return err
		}
	}
	if len(found) == 0 {
		also := ""
		if len(digests) > 1 {
			also = ", nor about another digest of the file"
		}
		return fmt.Errorf("the audit log has no entry about the digest %x%s", digests[0], also)
	}
	if c.JSON {
		return nil
	}
	rows := [][]string{{"TIME", "WHO", "FROM", "POLICY", "KEY", "OUTCOME", "DESCRIPTION"}}
	for _, s := range found {
		rows = append(rows, []string{stamp(s), who(s.Actor), s.IP, s.Project + "/" + s.Policy, keyText(s), s.Outcome, clipped(strings.TrimSpace(s.Description+" "+s.Reason), 100)})
	}
	return t.table(rows)
}

func stamp(s signing.Signature) string { return s.Time.UTC().Format("2006-01-02 15:04:05.000") }

func keyText(s signing.Signature) string {
	if s.Certificate == "" {
		return "-"
	}
	return s.Certificate + " v" + strconv.Itoa(s.KeyVersion)
}

// fileHashes are looked for when a file is given alone; the first one is named.
var fileHashes = []wire.Hash{wire.SHA256, wire.SHA1, wire.SHA384, wire.SHA512, wire.MD5}

// digests reads the digest or computes those of the file.
func (c *auditFind) digests() ([][]byte, error) {
	if c.File == "" {
		digest, err := hex.DecodeString(strings.TrimSpace(c.Digest))
		if err != nil || len(digest) == 0 || len(digest) > 64 {
			return nil, usage(fmt.Errorf("%q is not a digest in hexadecimal", clipped(c.Digest, 150)), "give the output of sha256sum, or the file itself with --file")
		}
		return [][]byte{digest}, nil
	}
	hashes := fileHashes
	if c.Hash != "" {
		one, ok := wire.HashByName(c.Hash)
		if !ok {
			return nil, usage(fmt.Errorf("%q is no digest algorithm", c.Hash), "")
		}
		hashes = []wire.Hash{one}
	}
	f, err := os.Open(c.File)
	if err != nil {
		return nil, badInput(err, "")
	}
	defer f.Close()
	var sums []hash.Hash
	var all []io.Writer
	for _, h := range hashes {
		sum := h.Crypto().New()
		sums, all = append(sums, sum), append(all, sum)
	}
	if _, err := io.Copy(io.MultiWriter(all...), f); err != nil {
		return nil, badInput(err, "")
	}
	digests := make([][]byte, len(sums))
	for i, sum := range sums {
		digests[i] = sum.Sum(nil)
	}
	return digests, nil
}

// rowsOf walks through all rows that match, up to the present end of the log.
func rowsOf(ctx context.Context, log store.Store, f store.AuditFilter) iter.Seq2[store.AuditRow, error] {
	return func(yield func(store.AuditRow, error) bool) {
		head, err := log.AuditHead(ctx)
		if err != nil {
			yield(store.AuditRow{}, err)
			return
		}
		f.Before = head.Size + 1
		for after := uint64(0); ; {
			rows, err := log.AuditRows(ctx, after, admin.MaxAuditRows, f)
			if err != nil {
				yield(store.AuditRow{}, err)
				return
			}
			for _, r := range rows {
				if !yield(r, nil) {
					return
				}
				after = r.Seq
			}
			if len(rows) < admin.MaxAuditRows {
				return
			}
		}
	}
}
