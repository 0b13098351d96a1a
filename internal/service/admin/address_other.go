//go:build !linux

package admin

import (
	"fmt"
	"path/filepath"
)

// maxAddress is what fits into sockaddr_un of the BSDs, less its end.
const maxAddress = 103

// socketAddress is the path of the folder's socket, which must fit into sockaddr_un.
func socketAddress(folder string) (address string, release func(), err error) {
	path := filepath.Join(folder, SocketName)
	if len(path) > maxAddress {
		return "", nil, fmt.Errorf("the path of the administration socket %s has %d bytes, more than the %d that fit; move the data to a shorter path", path, len(path), maxAddress)
	}
	return path, func() {}, nil
}
