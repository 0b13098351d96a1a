package pgtest

import "syscall"

// dieWithParent stops the server when the test program is killed.
func dieWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGQUIT }
