// Package macossign holds the end-to-end tests of what codesign and productsign ask of
// a key, without a Mac: relic signs Mach-O programs and installer packages on Linux
// through the PKCS #11 module, with the requests that Apple's tools make (CMS over code
// directories; bare PKCS #1 signatures over SHA-1 or SHA-256 of a package's table of
// contents). What enters are a program linked for macOS and packages that the tests
// make; OpenSSL, rcodesign and the readers in this package judge, none of which shares
// code with relic or the product.
package macossign
