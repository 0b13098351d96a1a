//go:build !unix

package listcache

import "io/fs"

const noFollow = 0

// private: the folder lies in the user's profile, which Windows opens to the user
// and to administrators alone; the MAC covers the rest.
func private(fs.FileInfo) bool { return true }
