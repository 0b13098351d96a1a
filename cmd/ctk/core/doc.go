// Command core is the Go half of SignPathCryptoTokenKit.app, a C archive that the
// Objective-C half (cmd/ctk/app) is linked with: values of C go in, values of Go
// go to internal/provider/ctk, and nothing is decided here.
//
// It is built for macOS, and with the tag gnustep for Linux, where tests run the
// same Objective-C files against a fake CryptoTokenKit.
package main

func main() {}
