package cng

// Registered is how the provider stands in Windows' configuration of CNG
// (BCryptRegisterProvider, BCryptAddContextFunctionProvider). In the registry, all of
// it is below HKLM\SYSTEM\CurrentControlSet\Control\Cryptography: Providers\SignPathKSP
// is ours alone; of Configuration\Local\Default\00010001\KEY_STORAGE one line of the
// list Providers is, beside those of Microsoft.
type Registered struct {
	Provider  string // name of the provider
	Image     string // the DLL
	Context   string // CNG's context for programs that name none
	Function  string // NCRYPT_KEY_STORAGE_ALGORITHM
	Table     uint32 // CRYPT_LOCAL
	Interface uint32 // NCRYPT_KEY_STORAGE_INTERFACE
	Flags     uint32 // CRYPT_LOCAL: for programs of this machine
	Overwrite uint32 // CRYPT_OVERWRITE: an earlier registration of ours is replaced
	Position  uint32 // CRYPT_PRIORITY_BOTTOM: nobody gets this provider without asking for it
}

// Registration is the registration of the DLL image.
func Registration(image string) Registered {
	return Registered{
		Provider: ProviderName, Image: image, Context: "Default", Function: "KEY_STORAGE",
		Table: 1, Interface: 0x00010001, Flags: 1, Overwrite: 1, Position: 0xFFFFFFFF,
	}
}

const (
	statusNotFound = 0xC0000225 // STATUS_NOT_FOUND
	fromNT         = 0x10000000 // FACILITY_NT_BIT: an NTSTATUS as an HRESULT
)

// RegistrationFailed makes an HRESULT of the NTSTATUS that registering gave.
func RegistrationFailed(status uint32) uint32 {
	if status == 0 {
		return 0
	}
	return status | fromNT
}

// RemovalFailed is the same for unregistering: what is not there is removed.
func RemovalFailed(status uint32) uint32 {
	if status == statusNotFound {
		return 0
	}
	return RegistrationFailed(status)
}
