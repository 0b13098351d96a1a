package hostprocess

import (
	"golang.org/x/sys/windows"
)

func arguments() []string {
	args, err := windows.DecomposeCommandLine(windows.UTF16PtrToString(windows.GetCommandLine()))
	if err != nil {
		return nil
	}
	return args
}

// userName is DOMAIN\user of the process's token. os/user is not used: it asks
// the domain for the full name as well, and waits for it.
func userName() string {
	u, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return ""
	}
	name, domain, _, err := u.User.Sid.LookupAccount("")
	if err != nil {
		return u.User.Sid.String()
	}
	if domain == "" {
		return name
	}
	return domain + `\` + name
}

func quoteArgument(a string) string { return windows.EscapeArg(a) }
