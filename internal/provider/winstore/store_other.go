//go:build !windows

package winstore

// Read fails: there are no stores.
func Read(Location) ([]Entry, error) { return nil, ErrNotWindows }

// Apply fails: there are no stores.
func Apply([]Action, func(Action, error)) error { return ErrNotWindows }

// SetLogon fails: nothing runs at logon.
func SetLogon([]string) error { return ErrNotWindows }

// Logon fails: nothing runs at logon.
func Logon() (string, error) { return "", ErrNotWindows }

// ClearLogon fails: nothing runs at logon.
func ClearLogon() (bool, error) { return false, ErrNotWindows }
