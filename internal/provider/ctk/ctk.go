// Package ctk is the CryptoTokenKit provider for macOS without macOS: everything
// that SignPathCryptoTokenKit.app decides, in plain Go that runs anywhere.
//
// What enters are command line arguments, an environment, and what a Keychain
// (the Objective-C part of the app) says about macOS; what leaves are tokens for
// that Keychain, signatures for the extension, states for a menu and lines for a
// console. There is one token per signing policy, because macOS serializes the
// operations of one token. A token holds the certificate, its intermediate
// certificates and a key that signs; it lives only while the app runs.
//
// The extension sends digests through ctkchannel and gets PKCS #1 or PSS blocks
// (RSA, as long as the modulus) or DER (ECDSA, ECDSA-Sig-Value of RFC 3279).
// The API token stays in the app. Nothing decrypts, exchanges keys, signs raw
// RSA blocks, or asks for a PIN.
//
// Sources: Apple's documentation of CryptoTokenKit (TKToken, TKTokenSession,
// TKTokenDriver.Configuration, TKError) and Security (SecKeyAlgorithm); SignPath
// crypto providers, "macOS CryptoTokenKit".
package ctk

// InterfaceName is this interface's name in log files and in requests.
const InterfaceName = "CTK"

// AppName is the name of the app, of its folders and of its log folder.
const AppName = "SignPathCryptoTokenKit"
