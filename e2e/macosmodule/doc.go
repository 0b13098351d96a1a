// Package macosmodule looks at libSignPath.Cryptoki.dylib, the PKCS #11 module for
// macOS, without running it, and runs the macOS half of its shim on this Linux
// (e2e/macos/testdata/asdarwin.sh; the conformance tests of e2e/standard run on it
// too, see scripts/parts/macos-cryptoki.sh). What enters are built files; Go's
// debug/macho and LLVM's tools read them.
//
// Environment: E2E_MACOS is the folder that scripts/build macos-universal wrote,
// E2E_ASDARWIN the library that asdarwin.sh wrote.
package macosmodule
