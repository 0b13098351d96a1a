// Package rights keeps files with secrets to their user on Windows, and tells who
// else can read or change a file there.
//
// What enters are paths, what leaves are access lists (ACLs) set, or names of
// strangers. Windows has no modes: what 0600 and 0700 say elsewhere is an access
// list of the user, SYSTEM and the administrators, who can take every right
// anyway, that inherits nothing. On other systems Keep does nothing, for there the
// mode says it all, and Look knows nothing. The package never widens a right, never
// follows a path twice and imports nothing of ours.
package rights

import (
	"slices"
	"strings"
)

// Others are those who have a right to a file beside its user, SYSTEM and the
// administrators; names as DOMAIN\user, or the SID of an account without a name.
type Others struct {
	Read  []string // may read the content of the file, or list the folder
	Write []string // may change or replace it
	Owner string   // whose it is when it is a stranger's; an owner can take every right
}

// entry is one line of an access list.
type entry struct {
	sid         string // S-1-…
	allow       bool
	inheritOnly bool // for what lies inside, not for the object
	mask        uint32
}

// Rights of files ("File Access Rights Constants", "Standard Access Rights").
const (
	readData   = 0x1        // FILE_READ_DATA, FILE_LIST_DIRECTORY
	writeData  = 0x2        // FILE_WRITE_DATA, FILE_ADD_FILE
	appendData = 0x4        // FILE_APPEND_DATA, FILE_ADD_SUBDIRECTORY
	deleteKid  = 0x40       // FILE_DELETE_CHILD
	deleteIt   = 0x10000    // DELETE
	writeDAC   = 0x40000    // WRITE_DAC
	writeOwner = 0x80000    // WRITE_OWNER
	allAccess  = 0x10000000 // GENERIC_ALL
	anyWrite   = 0x40000000 // GENERIC_WRITE
	anyRead    = 0x80000000 // GENERIC_READ

	readers = readData | allAccess | anyRead
	writers = writeData | appendData | deleteKid | deleteIt | writeDAC | writeOwner | allAccess | anyWrite
)

// trusted are accounts that can do everything on the machine, or stand for the
// owner ("Well-known SIDs").
var trusted = []string{
	"S-1-5-18",     // SYSTEM
	"S-1-5-32-544", // Administrators
	"S-1-3-4",      // OWNER RIGHTS; the owner is looked at by itself
	"S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464", // TrustedInstaller
}

// judge names the strangers of an access list; nil entries with noList: everybody
// has every right. Denials are left aside: they can only make a warning superfluous.
func judge(entries []entry, noList bool, owner, self string, name func(sid string) string) (o Others) {
	stranger := func(sid string) bool { return sid != "" && sid != self && !slices.Contains(trusted, sid) }
	if noList {
		everybody := name("S-1-1-0")
		o.Read, o.Write = []string{everybody}, []string{everybody}
	}
	for _, e := range entries {
		if !e.allow || e.inheritOnly || !stranger(e.sid) {
			continue
		}
		if e.mask&readers != 0 {
			o.Read = append(o.Read, name(e.sid))
		}
		if e.mask&writers != 0 {
			o.Write = append(o.Write, name(e.sid))
		}
	}
	for _, list := range []*[]string{&o.Read, &o.Write} {
		slices.SortFunc(*list, strings.Compare)
		*list = slices.Compact(*list)
	}
	if stranger(owner) {
		o.Owner = name(owner)
	}
	return o
}
