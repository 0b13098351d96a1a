// Command csp is SignPath.Csp.dll, the cryptographic service provider SignPathCSP for
// Microsoft's CryptoAPI. Windows loads it for CryptAcquireContext and calls the 25 CP
// functions of CryptoSPI.
//
// shim_windows.c has those functions with the calling convention of Windows and the
// rules for GetLastError; the Go files beside it turn addresses of the host into Go
// values and back, and end no process for an address that is wrong. Nothing is decided
// here: all behaviour is in internal/provider/capi. regsvr32 registers and unregisters
// the DLL.
//
// The DLL is pinned when it is loaded: a Go runtime cannot be unloaded, and CryptoAPI
// calls FreeLibrary after every CryptReleaseContext.
package main

func main() {}
