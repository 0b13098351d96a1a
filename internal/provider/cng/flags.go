package cng

// Flags of ncrypt.h.
const (
	flagNoPadding              = 0x1
	flagPKCS1                  = 0x2
	flagOAEP                   = 0x4
	flagPSS                    = 0x8
	flagMachineKey             = 0x20
	flagSilent                 = 0x40
	flagExportLegacy           = 0x800
	flagIgnoreDeviceState      = 0x1000
	flagNISTAsGeneric          = 0x2000
	flagNoCachedPassword       = 0x4000
	flagPreferVirtualIsolation = 0x10000
	flagExtendedErrors         = 0x10000000
	flagPersistOnly            = 0x40000000
	flagPersist                = 0x80000000
)

// harmless are flags that every function takes and that change nothing: no window
// is ever shown, there is one set of keys for users and machine, no PIN is asked
// for. The persist flags count for properties only. Tools pass them where the
// books name others: .NET opens keys with 0x40, mage reads properties with
// 0x40000000, signtool tries 0x20.
const harmless = flagMachineKey | flagSilent | flagIgnoreDeviceState | flagNoCachedPassword | flagExtendedErrors | flagPersistOnly | flagPersist

// securityInformation says which parts of a security descriptor a property call
// means (winnt.h, OWNER_ to SACL_SECURITY_INFORMATION).
const securityInformation = 0xF

// flags checks argument i: nothing but harmless flags and those of more.
func (c *call) flags(i int, more uint32) bool {
	f := c.dword(i)
	c.note("flags", hex(f))
	return f&^(harmless|more) == 0
}
