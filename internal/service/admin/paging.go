package admin

import (
	"bytes"
	"encoding/base64"
	"strconv"
	"time"

	"signpath/internal/wire"
)

// MaxPage is the most objects that one page of a list has.
const MaxPage = 1000

// Paging is the part of a list's input that says which page is wanted. Pages
// are found by creation time and identifier of the last object of the page
// before, never by counting: what is added or removed meanwhile neither doubles
// nor hides anything.
type Paging struct {
	Cursor string `json:"cursor,omitempty"` // nextCursor of the page before; empty: the first page
	Limit  int    `json:"limit,omitempty"`  // objects at most, up to MaxPage; 0: all of them
}

// Next is the part of a list's answer that leads to the next page.
type Next struct {
	NextCursor string `json:"nextCursor,omitempty"` // absent on the last page
}

// List is the input of lists of a whole organization.
type List struct {
	OrganizationReference
	Paging
}

// position is where an object stands in a list: lists are in the order of
// creation, then of identifiers.
type position struct {
	millis int64
	id     string
}

func positionOf(created time.Time, id string) position {
	if created.IsZero() {
		return position{0, id}
	}
	return position{created.UnixMilli(), id}
}

func (p position) after(o position) bool {
	return p.millis > o.millis || p.millis == o.millis && p.id > o.id
}

func (p position) cursor() string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(p.millis, 10) + "." + p.id))
}

func readPosition(cursor string) (position, bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	millis, id, found := bytes.Cut(b, []byte("."))
	n, numErr := strconv.ParseInt(string(millis), 10, 64)
	if err != nil || !found || numErr != nil || n < 0 || !wire.IsUUID(string(id)) {
		return position{}, false
	}
	return position{n, string(id)}, true
}

// check reads the paging of an input.
func (p Paging) check(in *input) (from position) {
	if p.Limit < 0 || p.Limit > MaxPage {
		in.fail("limit", "The limit is a number from 1 to %d.", MaxPage)
	}
	if p.Cursor == "" {
		return position{-1, ""}
	}
	from, ok := readPosition(p.Cursor)
	if !ok {
		in.fail("cursor", "This is not a cursor that this service gave.")
	}
	return from
}

// page picks the objects of one page out of all, which must be in the order of
// lists. in collects what is wrong with the paging.
func page[T any](in *input, p Paging, all []T, at func(*T) (created time.Time, id string), fits func(*T) bool) ([]*T, Next) {
	from := p.check(in)
	var found []*T
	for i := range all {
		o := &all[i]
		if !fits(o) || !positionOf(at(o)).after(from) {
			continue
		}
		if p.Limit > 0 && len(found) == p.Limit {
			return found, Next{positionOf(at(found[p.Limit-1])).cursor()}
		}
		found = append(found, o)
	}
	return found, Next{}
}
