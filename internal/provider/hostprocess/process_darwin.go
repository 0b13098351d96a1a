package hostprocess

import (
	"os"
	"os/user"
	"strconv"

	"golang.org/x/sys/unix"
)

func arguments() []string {
	data, err := unix.SysctlRaw("kern.procargs2", os.Getpid())
	if err != nil {
		return nil
	}
	return parseProcArgs(data)
}

func userName() string {
	uid := strconv.Itoa(os.Geteuid())
	u, err := user.LookupId(uid)
	if err != nil {
		return uid
	}
	return u.Username
}

func quoteArgument(a string) string { return shellQuote(a) }
