// Package hardening closes the memory of our own programs, which hold tokens,
// PINs or keys. Each calls Process first of all; what it must never run in is
// somebody else's process (a module's host), whose limits are not ours to set:
// there the module leaves its own memory out of core files.
package hardening
