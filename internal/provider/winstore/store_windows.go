package winstore

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/windows"
)

var (
	crypt32         = windows.NewLazySystemDLL("crypt32.dll")
	procSetProperty = crypt32.NewProc("CertSetCertificateContextProperty")
	procGetProperty = crypt32.NewProc("CertGetCertificateContextProperty")
)

// Properties of certificate contexts.
const (
	keyProvInfoProperty  = 2  // CERT_KEY_PROV_INFO_PROP_ID
	friendlyNameProperty = 11 // CERT_FRIENDLY_NAME_PROP_ID
	descriptionProperty  = 13 // CERT_DESCRIPTION_PROP_ID
)

// maxProperty bounds what is read of a property, in bytes.
const maxProperty = 1 << 20

// keyProvInfo is CRYPT_KEY_PROV_INFO.
type keyProvInfo struct {
	container, provider *uint16
	provType, flags     uint32
	paramCount          uint32
	_                   uintptr
	keySpec             uint32
}

var locations = map[Location]uint32{CurrentUser: windows.CERT_SYSTEM_STORE_CURRENT_USER, LocalMachine: windows.CERT_SYSTEM_STORE_LOCAL_MACHINE}

// open opens a store. own leaves out what CurrentUser shows of LocalMachine, which it
// does in every store but My.
func open(l Location, name string, own bool, flags uint32) (windows.Handle, error) {
	kind := uintptr(windows.CERT_STORE_PROV_SYSTEM_W)
	if own && name != My {
		kind = windows.CERT_STORE_PROV_SYSTEM_REGISTRY_W
	}
	return openKind(kind, l, name, flags)
}

func openKind(kind uintptr, l Location, name string, flags uint32) (windows.Handle, error) {
	text, err := windows.UTF16PtrFromString(name)
	if err != nil {
		return 0, err
	}
	return windows.CertOpenStore(kind, 0, 0, locations[l]|flags, uintptr(unsafe.Pointer(text)))
}

// Read lists what the stores My, CA and Root of a location hold.
func Read(l Location) ([]Entry, error) {
	var all []Entry
	for _, name := range []string{My, CA, Root} {
		own, err := readStore(l, name, true)
		if err != nil {
			return nil, err
		}
		if name == My {
			if own, err = markInherited(l, own); err != nil {
				return nil, err
			}
			all = append(all, own...)
			continue
		}
		all = append(all, own...)
		seen, err := readStore(l, name, false)
		if err != nil {
			return nil, err
		}
		for _, e := range seen {
			if !contains(own, e) {
				e.Inherited = true
				all = append(all, e)
			}
		}
	}
	return all, nil
}

// markInherited marks what Wine shows in CurrentUser\My of LocalMachine\My, as Windows
// does in all stores but this one: entries that are linked for the machine.
func markInherited(l Location, all []Entry) ([]Entry, error) {
	if l != CurrentUser {
		return all, nil
	}
	machine, err := readStore(LocalMachine, My, true)
	if err != nil {
		return nil, err
	}
	for i, e := range all {
		all[i].Inherited = e.Link != nil && e.Link.Flags&machineKeyset != 0 && contains(machine, e)
	}
	return all, nil
}

func contains(all []Entry, e Entry) bool {
	for _, o := range all {
		if bytes.Equal(o.DER, e.DER) {
			return true
		}
	}
	return false
}

func readStore(l Location, name string, own bool) (all []Entry, err error) {
	store, err := open(l, name, own, windows.CERT_STORE_OPEN_EXISTING_FLAG|windows.CERT_STORE_READONLY_FLAG)
	if errors.Is(err, windows.ERROR_FILE_NOT_FOUND) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf(`opening the certificate store %s\%s: %w`, l, name, err)
	}
	defer func() { _ = windows.CertCloseStore(store, 0) }()
	return all, each(store, func(c *windows.CertContext) (bool, error) {
		all = append(all, Entry{
			Location: l, Store: name, DER: bytes.Clone(encoded(c)), Link: linkOf(c),
			FriendlyName: textProperty(c, friendlyNameProperty), Description: textProperty(c, descriptionProperty),
		})
		return true, nil
	})
}

// each calls f for every certificate of a store, until it says false.
func each(store windows.Handle, f func(*windows.CertContext) (bool, error)) error {
	var c *windows.CertContext
	for {
		next, err := windows.CertEnumCertificatesInStore(store, c) // takes c
		if err != nil || next == nil {
			return nil
		}
		if more, err := f(next); !more || err != nil {
			_ = windows.CertFreeCertificateContext(next)
			return err
		}
		c = next
	}
}

func encoded(c *windows.CertContext) []byte { return unsafe.Slice(c.EncodedCert, c.Length) }

// property reads a property into memory that is aligned for structures.
func property(c *windows.CertContext, id uint32) []uintptr {
	var size uint32
	if ok, _, _ := procGetProperty.Call(uintptr(unsafe.Pointer(c)), uintptr(id), 0, uintptr(unsafe.Pointer(&size))); ok == 0 || size == 0 || size > maxProperty {
		return nil
	}
	words := make([]uintptr, size/uint32(unsafe.Sizeof(uintptr(0)))+2) // and two zeros behind every text
	if ok, _, _ := procGetProperty.Call(uintptr(unsafe.Pointer(c)), uintptr(id), uintptr(unsafe.Pointer(&words[0])), uintptr(unsafe.Pointer(&size))); ok == 0 {
		return nil
	}
	return words
}

func textProperty(c *windows.CertContext, id uint32) string {
	words := property(c, id)
	if words == nil {
		return ""
	}
	return windows.UTF16PtrToString((*uint16)(unsafe.Pointer(&words[0])))
}

func linkOf(c *windows.CertContext) *Link {
	words := property(c, keyProvInfoProperty)
	if words == nil || uintptr(len(words))*unsafe.Sizeof(words[0]) < unsafe.Sizeof(keyProvInfo{}) {
		return nil
	}
	info := (*keyProvInfo)(unsafe.Pointer(&words[0]))
	l := &Link{Type: info.provType, KeySpec: info.keySpec, Flags: info.flags}
	if info.provider != nil {
		l.Provider = windows.UTF16PtrToString(info.provider)
	}
	if info.container != nil {
		l.Container = windows.UTF16PtrToString(info.container)
	}
	runtime.KeepAlive(words)
	return l
}

// Apply carries out a plan. Each action that changes something is told to done, with
// its error; the answer joins all errors. A failed one does not stop the others.
func Apply(plan []Action, done func(Action, error)) error {
	var failed []error
	for _, a := range plan {
		if !a.Changes() {
			continue
		}
		err := a.apply()
		if err != nil {
			err = fmt.Errorf(`%s\%s, certificate %s: %w`, a.Location, a.Store, Thumbprint(a.DER), err)
			if errors.Is(err, windows.ERROR_ACCESS_DENIED) && a.Location == LocalMachine {
				err = fmt.Errorf("%w; LocalMachine can be changed by administrators only", err)
			}
			failed = append(failed, err)
		}
		done(a, err)
	}
	return errors.Join(failed...)
}

func (a Action) apply() error {
	if a.Kind == Remove {
		return a.takeOut(func(e Entry) bool { _, ours := e.ours(); return ours })
	}
	if err := a.put(); err != nil {
		return err
	}
	done, err := a.done()
	if done || err != nil {
		return err
	}
	// A store that does not replace what it has (Wine's): take it out before.
	if a.Kind == Update {
		if err := a.takeOut(func(e Entry) bool { _, ours := e.ours(); return ours || e.Link == nil }); err != nil {
			return err
		}
		if err := a.put(); err != nil {
			return err
		}
		if done, err = a.done(); done || err != nil {
			return err
		}
	}
	return errors.New("Windows has not kept what was written")
}

// done looks whether the store holds what was to be written.
func (a Action) done() (bool, error) {
	now, err := readStore(a.Location, a.Store, false)
	if err != nil {
		return false, err
	}
	for _, e := range now {
		if bytes.Equal(e.DER, a.DER) {
			return a.link == nil || e.Link != nil && *e.Link == *a.link && e.Description == a.mark.String() && e.FriendlyName == a.friendlyName, nil
		}
	}
	return false, nil
}

// put writes certificate and properties into a store. What the user wrote beside our
// properties stays.
func (a Action) put() error {
	store, err := open(a.Location, a.Store, false, 0)
	if err != nil {
		return fmt.Errorf("opening the store: %w", err)
	}
	c, err := windows.CertCreateCertificateContext(windows.X509_ASN_ENCODING, &a.DER[0], uint32(len(a.DER))) //nolint:gosec // a certificate
	if err != nil {
		return errors.Join(fmt.Errorf("reading the certificate: %w", err), windows.CertCloseStore(store, 0))
	}
	defer func() { _ = windows.CertFreeCertificateContext(c) }()
	if err := a.setProperties(c); err != nil {
		return errors.Join(err, windows.CertCloseStore(store, 0))
	}
	// Ours are set once more: the old ones may have been inherited with the rest.
	var stored *windows.CertContext
	err = windows.CertAddCertificateContextToStore(store, c, windows.CERT_STORE_ADD_REPLACE_EXISTING_INHERIT_PROPERTIES, &stored)
	if err != nil {
		err = fmt.Errorf("adding it: %w", err)
	} else {
		err = a.setProperties(stored)
		_ = windows.CertFreeCertificateContext(stored)
	}
	return errors.Join(err, windows.CertCloseStore(store, 0)) // the store is written now at the latest
}

func (a Action) setProperties(c *windows.CertContext) error {
	if a.link != nil {
		container, err := windows.UTF16PtrFromString(a.link.Container)
		if err != nil {
			return err
		}
		provider, err := windows.UTF16PtrFromString(a.link.Provider)
		if err != nil {
			return err
		}
		info := keyProvInfo{container: container, provider: provider, provType: a.link.Type, flags: a.link.Flags, keySpec: a.link.KeySpec}
		if err := setProperty(c, keyProvInfoProperty, unsafe.Pointer(&info)); err != nil {
			return fmt.Errorf("linking it: %w", err)
		}
	}
	for id, text := range map[uint32]string{friendlyNameProperty: a.friendlyName, descriptionProperty: a.mark.String()} {
		if text == "" {
			continue
		}
		units, err := windows.UTF16FromString(text)
		if err != nil {
			return err
		}
		blob := windows.DataBlob{Size: uint32(2 * len(units)), Data: (*byte)(unsafe.Pointer(&units[0]))} //nolint:gosec // a name
		if err := setProperty(c, id, unsafe.Pointer(&blob)); err != nil {
			return fmt.Errorf("naming it: %w", err)
		}
	}
	return nil
}

func setProperty(c *windows.CertContext, id uint32, value unsafe.Pointer) error {
	if ok, _, err := procSetProperty.Call(uintptr(unsafe.Pointer(c)), uintptr(id), 0, uintptr(value)); ok == 0 {
		return err
	}
	return nil
}

// takeOut removes an entry from what the location itself holds. It looks once more:
// what another program has changed since the plan is not ours any more.
func (a Action) takeOut(mayGo func(Entry) bool) error {
	kinds := []uintptr{windows.CERT_STORE_PROV_SYSTEM_REGISTRY_W}
	if a.Store == My { // a roaming profile keeps it elsewhere than in the registry
		kinds = []uintptr{windows.CERT_STORE_PROV_SYSTEM_W, windows.CERT_STORE_PROV_SYSTEM_REGISTRY_W}
	}
	for _, kind := range kinds {
		if err := a.removeFrom(kind, mayGo); err != nil {
			return err
		}
		left, err := readStore(a.Location, a.Store, true)
		if err != nil || !contains(left, Entry{DER: a.DER}) {
			return err
		}
	}
	return errors.New("Windows has not removed it; remove it with certmgr.msc (LocalMachine: certlm.msc)")
}

func (a Action) removeFrom(kind uintptr, mayGo func(Entry) bool) error {
	store, err := openKind(kind, a.Location, a.Store, windows.CERT_STORE_OPEN_EXISTING_FLAG)
	if err != nil {
		return fmt.Errorf("opening the store: %w", err)
	}
	err = each(store, func(c *windows.CertContext) (bool, error) {
		if !bytes.Equal(encoded(c), a.DER) {
			return true, nil
		}
		now := Entry{Store: a.Store, DER: a.DER, Link: linkOf(c), Description: textProperty(c, descriptionProperty)}
		if !mayGo(now) {
			return false, errors.New("another program has changed the entry in the meantime; it stays")
		}
		// Deleting takes a context of its own.
		if err := windows.CertDeleteCertificateFromStore(windows.CertDuplicateCertificateContext(c)); err != nil {
			return false, fmt.Errorf("removing it: %w", err)
		}
		return false, nil
	})
	return errors.Join(err, windows.CertCloseStore(store, 0))
}
