// Package audit is the service's append-only log: who did what, in an order
// that cannot be changed afterwards without being noticed.
//
// What enters are events; what leaves are entries in the store, signed
// checkpoints, exports and the answer of Verify. The package decides nothing
// about rights, never sees a secret (callers must not put one into an event)
// and never changes or deletes an entry.
//
// # An entry
//
// An entry is one line of JSON, its leaf. The encoding is fixed for ever; a
// reader needs no other document than this one. The members stand in this
// order, without white space between them:
//
//	v          1
//	seq        the entry's number; the first is 1, there are no gaps
//	time       when it happened: RFC 3339, UTC, exactly three digits of milliseconds, "Z"
//	prev       leaf hash of the entry before in lower-case hex; 64 zeros in the first entry
//	org        UUID of the organization; left out for the installation itself
//	type       what happened, e.g. "HashSigning.Intent", "SigningPolicy.Created"
//	actor      who: {"type","id","name"}
//	ip         the peer's address
//	userAgent  what the peer calls itself; cut after 512 bytes, then ending in "…"
//	traceId    as in the error documents and logs of the service
//	intent     seq of the intent that this entry ends
//	data       an object whose members depend on type
//
// Members that are empty are left out, but never v, seq, time, prev and type.
// Strings are escaped as in RFC 8785 section 3.2.2.2; data keeps the numbers,
// escapes and the order of members that its writer chose. An entry whose type
// ends in ".Intent" announces an act (the use of a key) before it is done;
// exactly one later entry names it in its intent member.
//
// # Chain, tree and checkpoint
//
// The leaf hash is SHA-256 over one zero byte and the leaf without line end. It
// is both the link of the chain (prev) and the leaf hash of the Merkle tree of
// RFC 9162 section 2.1 (the same as in RFC 6962), so that the entry with number
// seq is the leaf with index seq-1. An inner node is SHA-256 over the byte 1,
// the left and the right hash. A checkpoint is the tree's size and root in the
// form of the C2SP specification tlog-checkpoint, signed as a C2SP signed-note
// with a key whose name is the log's origin. Whoever keeps a checkpoint outside
// of the service can prove later that the log of that time is unchanged.
//
// # Checking an export by hand
//
// An export is every leaf followed by a line feed (0x0A). With a POSIX shell and
// sha256sum, the link that entry 2 must hold is
//
//	{ printf '\000'; sed -n 1p export.jsonl | tr -d '\n'; } | sha256sum
//
// and so on for each line. The root of the whole log is computed from the same
// hashes: with n leaf hashes and k the largest power of two below n,
//
//	root(1 hash) = the hash itself
//	root(n)      = SHA-256(0x01 ‖ root(first k) ‖ root(rest))
//
// and stands, in base64, in the third line of a checkpoint whose second line is
// n. testdata/golden.jsonl and testdata/golden.checkpoint are such a pair, and
// testdata/golden.vkey is the verifier key of its signature.
package audit
