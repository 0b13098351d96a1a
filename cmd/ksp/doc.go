// Command ksp is SignPath.Ksp.dll, the key storage provider SignPathKSP for Windows'
// Cryptography API: Next Generation. Windows loads it for NCryptOpenStorageProvider,
// asks GetKeyStorageInterface for its function table and calls the 26 functions there.
//
// shim_windows.c has that table, with the calling convention of Windows, and leaves
// GetLastError as it was; the Go files beside it carry the bare arguments and bytes of
// the host's memory to internal/provider/cng, where all behaviour is. Nothing is
// decided here. regsvr32 registers and unregisters the DLL.
//
// The DLL is pinned when it is loaded: a Go runtime cannot be unloaded, and hosts call
// FreeLibrary whenever they have no provider open.
package main

func main() {}
