package remote

import "golang.org/x/sys/unix"

// osVersion is the version of macOS, e.g. 14.5.
func osVersion() string {
	v, err := unix.Sysctl("kern.osproductversion")
	if err != nil {
		return ""
	}
	return v
}
