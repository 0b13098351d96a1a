//go:build !linux && !darwin

package main

// harden does nothing: Windows writes no dump of a process unless an administrator asks for it.
func harden() error { return nil }
