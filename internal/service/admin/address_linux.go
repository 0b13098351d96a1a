package admin

import (
	"fmt"
	"os"
	"path/filepath"
)

// maxAddress is what fits into sockaddr_un, less its end (unix(7)).
const maxAddress = 107

// socketAddress is a path of the folder's socket that fits into sockaddr_un:
// long ones go through an open descriptor of the folder. release ends its validity.
func socketAddress(folder string) (address string, release func(), err error) {
	if path := filepath.Join(folder, SocketName); len(path) <= maxAddress {
		return path, func() {}, nil
	}
	f, err := os.Open(folder)
	if err != nil {
		return "", nil, fmt.Errorf("opening the data folder: %w", err)
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", f.Fd(), SocketName), func() { _ = f.Close() }, nil
}
