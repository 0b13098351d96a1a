package capi

// RegistryKey is where a provider stands below HKEY_LOCAL_MACHINE. For 32-bit
// programs Windows looks below WOW6432Node instead, where 32-bit processes write by
// themselves.
const RegistryKey = `SOFTWARE\Microsoft\Cryptography\Defaults\Provider\` + ProviderName

// RegistryValue is one value of the registration: a text or a DWORD.
type RegistryValue struct {
	Name   string
	Text   string // REG_SZ when not ""
	Number uint32 // else REG_DWORD
	Binary []byte // else REG_BINARY when not nil
}

// Registration is what stands below RegistryKey. Since Windows 8, CryptoAPI loads providers
// that Microsoft has not signed; Windows wants a signature to be named all the same.
// imagePath is the DLL's full path.
func Registration(imagePath string) []RegistryValue {
	return []RegistryValue{
		{Name: "Image Path", Text: imagePath},
		{Name: "Type", Number: ProviderType},
		{Name: "SigInFile", Number: 0},
		{Name: "Signature", Binary: []byte{0, 0, 0, 0}},
	}
}
