package hostprocess

import (
	"bufio"
	"io"
	"os"
	"strconv"
	"strings"
)

// arguments reads the command line that the kernel keeps.
func arguments() []string {
	data, whole := readSome("/proc/self/cmdline", maxRead)
	return splitZeros(data, whole)
}

// userName looks the effective user up in /etc/passwd. Not by the C library:
// that may ask a directory server and wait for it.
func userName() string {
	uid := strconv.Itoa(os.Geteuid())
	f, err := os.Open("/etc/passwd")
	if err != nil {
		return uid
	}
	defer func() { _ = f.Close() }()
	if name := passwdName(io.LimitReader(f, 4<<20), uid); name != "" {
		return name
	}
	return uid
}

// passwdName finds the login name of a user's number, see passwd(5).
func passwdName(r io.Reader, uid string) string {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if f := strings.SplitN(lines.Text(), ":", 4); len(f) == 4 && f[2] == uid && f[0] != "" {
			return f[0]
		}
	}
	return ""
}

func readSome(path string, limit int64) (data string, whole bool) {
	f, err := os.Open(path)
	if err != nil {
		return "", true
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return "", true
	}
	if int64(len(b)) > limit {
		return string(b[:limit]), false
	}
	return string(b), true
}

func quoteArgument(a string) string { return shellQuote(a) }
