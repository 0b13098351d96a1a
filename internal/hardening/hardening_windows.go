package hardening

// Process does nothing: Windows writes no dump of a process unless an administrator asks for it.
func Process() error { return nil }

// NoNewRights does nothing: only Linux has it.
func NoNewRights() error { return nil }
