package rights

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/windows"
)

// Keep gives a file, or a folder with what will be created in it, to the present
// user, SYSTEM and the administrators alone.
func Keep(path string) error {
	list, err := ownList()
	if err != nil {
		return err
	}
	err = windows.SetNamedSecurityInfo(path, windows.SE_FILE_OBJECT, windows.DACL_SECURITY_INFORMATION|windows.PROTECTED_DACL_SECURITY_INFORMATION, nil, nil, list, nil)
	if err != nil {
		return fmt.Errorf("keeping others away from %s: %w", path, err)
	}
	return nil
}

// ownList is the access list of Keep.
func ownList() (*windows.ACL, error) {
	self, err := user()
	if err != nil {
		return nil, err
	}
	sids := []*windows.SID{self}
	for _, known := range []windows.WELL_KNOWN_SID_TYPE{windows.WinLocalSystemSid, windows.WinBuiltinAdministratorsSid} {
		sid, err := windows.CreateWellKnownSid(known)
		if err != nil {
			return nil, fmt.Errorf("making an access list: %w", err)
		}
		if !sid.Equals(self) { // a service runs as SYSTEM
			sids = append(sids, sid)
		}
	}
	var entries []windows.EXPLICIT_ACCESS
	for _, sid := range sids {
		entries = append(entries, windows.EXPLICIT_ACCESS{
			AccessPermissions: windows.GENERIC_ALL, AccessMode: windows.SET_ACCESS, Inheritance: windows.SUB_CONTAINERS_AND_OBJECTS_INHERIT,
			Trustee: windows.TRUSTEE{TrusteeForm: windows.TRUSTEE_IS_SID, TrusteeType: windows.TRUSTEE_IS_UNKNOWN, TrusteeValue: windows.TrusteeValueFromSID(sid)},
		})
	}
	list, err := windows.ACLFromEntries(entries, nil)
	if err != nil {
		return nil, fmt.Errorf("making an access list: %w", err)
	}
	return list, nil
}

// Look names those who have a right to a file or folder.
func Look(path string) (Others, error) {
	self, err := user()
	if err != nil {
		return Others{}, err
	}
	sd, err := windows.GetNamedSecurityInfo(path, windows.SE_FILE_OBJECT, windows.OWNER_SECURITY_INFORMATION|windows.DACL_SECURITY_INFORMATION)
	if err != nil {
		return Others{}, fmt.Errorf("reading the access list of %s: %w", path, err)
	}
	ownerSID := ""
	if owner, _, err := sd.Owner(); err == nil && owner != nil {
		ownerSID = owner.String()
	}
	list, _, err := sd.DACL()
	if err != nil && err != windows.ERROR_OBJECT_NOT_FOUND {
		return Others{}, fmt.Errorf("reading the access list of %s: %w", path, err)
	}
	entries, err := entriesOf(list)
	if err != nil {
		return Others{}, fmt.Errorf("reading the access list of %s: %w", path, err)
	}
	return judge(entries, list == nil, ownerSID, self.String(), name), nil
}

// entriesOf are the lines of an access list that give a right.
func entriesOf(list *windows.ACL) (entries []entry, err error) {
	if list == nil {
		return nil, nil
	}
	for i := range uint32(list.AceCount) {
		var ace *windows.ACCESS_ALLOWED_ACE
		if err := windows.GetAce(list, i, &ace); err != nil {
			return nil, err
		}
		if ace.Header.AceType != windows.ACCESS_ALLOWED_ACE_TYPE { // denials, and kinds that files do not have
			continue
		}
		sid := (*windows.SID)(unsafe.Pointer(&ace.SidStart))
		entries = append(entries, entry{sid: sid.String(), allow: true, mask: uint32(ace.Mask), inheritOnly: ace.Header.AceFlags&windows.INHERIT_ONLY_ACE != 0})
	}
	return entries, nil
}

func user() (*windows.SID, error) {
	u, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return nil, fmt.Errorf("asking Windows who the user is: %w", err)
	}
	return u.User.Sid, nil
}

// name is DOMAIN\user of a SID, or the SID itself.
func name(text string) string {
	sid, err := windows.StringToSid(text)
	if err != nil {
		return text
	}
	account, domain, _, err := sid.LookupAccount("")
	switch {
	case err != nil:
		return text
	case domain == "":
		return account
	}
	return domain + `\` + account
}
