package cryptoki

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// slotID is the one slot. Its number is documented: configurations of
// SunPKCS11 say slot=1.
const slotID = 1

// Texts of slot and token. Key references of gnupg-pkcs11-scd and PKCS #11 URIs
// hold them, so they never change.
const (
	manufacturer    = "SignPath"
	tokenLabel      = "SignPath"
	tokenModel      = "SignPath"
	slotDescription = "SignPath crypto provider"
)

// SlotInfo is a CK_SLOT_INFO; texts are UTF-8, padded with blanks.
type SlotInfo struct {
	Description     [64]byte
	ManufacturerID  [32]byte
	Flags           uint64
	HardwareVersion [2]byte // major, minor
	FirmwareVersion [2]byte
}

// TokenInfo is a CK_TOKEN_INFO; texts are UTF-8, padded with blanks. A value of
// Unavailable is CK_UNAVAILABLE_INFORMATION, 0 in the maxima is
// CK_EFFECTIVELY_INFINITE.
type TokenInfo struct {
	Label              [32]byte
	ManufacturerID     [32]byte
	Model              [16]byte
	SerialNumber       [16]byte
	Flags              uint64
	MaxSessionCount    uint64
	SessionCount       uint64
	MaxRwSessionCount  uint64
	RwSessionCount     uint64
	MaxPinLen          uint64
	MinPinLen          uint64
	TotalPublicMemory  uint64
	FreePublicMemory   uint64
	TotalPrivateMemory uint64
	FreePrivateMemory  uint64
	HardwareVersion    [2]byte // major, minor
	FirmwareVersion    [2]byte
	UTCTime            [16]byte // blanks: the token has no clock
}

func checkSlot(slot uint64) RV {
	if slot != slotID {
		return CKR_SLOT_ID_INVALID
	}
	return CKR_OK
}

// pad fills a field of a structure with text and blanks.
func pad(field []byte, text string) {
	n := copy(field, text)
	for i := n; i < len(field); i++ {
		field[i] = ' '
	}
}

// SlotList answers C_GetSlotList (PKCS #11 v2.40 section 5.5): one slot, whose
// token is always present. Before C_Initialize it is empty; the shim has
// answered by then.
func (m *Module) SlotList(tokenPresent bool) []uint64 {
	app, rv := m.enter()
	if rv != CKR_OK {
		return nil
	}
	app.trace("C_GetSlotList", &rv, "tokenPresent", tokenPresent)
	return []uint64{slotID}
}

// SlotInfo answers C_GetSlotInfo (PKCS #11 v2.40 section 5.5).
func (m *Module) SlotInfo(slot uint64) (info SlotInfo, rv RV) {
	app, rv := m.enter()
	if rv != CKR_OK {
		return info, rv
	}
	defer app.trace("C_GetSlotInfo", &rv, "slot", slot)
	if rv = checkSlot(slot); rv != CKR_OK {
		return info, rv
	}
	pad(info.Description[:], slotDescription)
	pad(info.ManufacturerID[:], manufacturer)
	info.Flags = CKF_TOKEN_PRESENT
	return info, CKR_OK
}

// TokenInfo answers C_GetTokenInfo (PKCS #11 v2.40 section 5.5). It never uses
// the network. CKF_WRITE_PROTECTED makes SunPKCS11 open read-only sessions.
// CKF_PROTECTED_AUTHENTICATION_PATH stays off although a NULL PIN works with a
// full configuration: hosts that see it drop the PIN they were given, or ask for
// a key press on a terminal. A setting turns it on where the host is known.
func (m *Module) TokenInfo(slot uint64) (info TokenInfo, rv RV) {
	app, rv := m.enter()
	if rv != CKR_OK {
		return info, rv
	}
	defer app.trace("C_GetTokenInfo", &rv, "slot", slot)
	if rv = checkSlot(slot); rv != CKR_OK {
		return info, rv
	}
	pad(info.Label[:], tokenLabel)
	pad(info.ManufacturerID[:], manufacturer)
	pad(info.Model[:], tokenModel)
	pad(info.SerialNumber[:], app.serialNumber())
	pad(info.UTCTime[:], "")
	info.Flags = CKF_LOGIN_REQUIRED | CKF_USER_PIN_INITIALIZED | CKF_TOKEN_INITIALIZED | CKF_WRITE_PROTECTED
	if app.settings.ProtectedAuthenticationPath {
		info.Flags |= CKF_PROTECTED_AUTHENTICATION_PATH
	}
	info.SessionCount, info.RwSessionCount = app.countSessions()
	info.MaxPinLen, info.MinPinLen = MaxPINLength, uint64(len(configPIN))
	info.TotalPublicMemory, info.FreePublicMemory = Unavailable, Unavailable
	info.TotalPrivateMemory, info.FreePrivateMemory = Unavailable, Unavailable
	return info, CKR_OK
}

// serialNumber tells tokens of different services and organizations apart. It
// comes from the configuration and stays the same when a PIN names another
// organization: hosts keep it in key references.
func (a *application) serialNumber() string {
	address := ""
	if a.settings.APIURL != nil {
		address = a.settings.APIURL.String()
	}
	sum := sha256.Sum256([]byte(address + strings.ToLower(a.settings.OrganizationID)))
	return hex.EncodeToString(sum[:8])
}
