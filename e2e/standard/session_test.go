package standard

var slots = []kase{
	{section: "5.5", name: "C_GetSlotList counts, fills and refuses a short buffer", do: func(r *run) {
		r.initialize()
		n := r.longs(unavailable) // has no meaning in a count
		r.ok("C_GetSlotList", 1, 0, n)
		count := r.long(n)
		if count == 0 {
			r.fail("no slot has a token")
		}
		list := r.mem(int(in.long * count))
		r.ok("C_GetSlotList", 1, list, n)
		r.equal("the count", r.long(n), count)
		r.write(n, long(count-1))
		r.want(CKR_BUFFER_TOO_SMALL, "C_GetSlotList", 1, r.mem(int(in.long*(count-1))), n)
		r.equal("the count after a short buffer", r.long(n), count)
		r.write(n, long(0))
		r.want(CKR_BUFFER_TOO_SMALL, "C_GetSlotList", 1, r.mem(0), n)
		r.equal("the count after an empty buffer", r.long(n), count)
	}},
	{section: "5.5", name: "C_GetSlotList without tokenPresent has at least those slots", do: func(r *run) {
		r.initialize()
		with, all := r.longs(0), r.longs(0)
		r.ok("C_GetSlotList", 1, 0, with)
		r.ok("C_GetSlotList", 0, 0, all)
		if r.long(all) < r.long(with) {
			r.fail("%d slots, %d of them with a token", r.long(all), r.long(with))
		}
		r.ok("C_GetSlotList", 0xFF00, 0, all) // CK_BBOOL is one byte: this is false
	}},
	{section: "5.5", name: "C_GetSlotList without a count", do: func(r *run) {
		r.initialize()
		r.want(CKR_ARGUMENTS_BAD, "C_GetSlotList", 1, 0, 0)
		r.want(CKR_ARGUMENTS_BAD, "C_GetSlotList", 1, r.mem(64), 0)
	}},
	{section: "5.5", name: "C_GetSlotInfo", do: func(r *run) {
		r.initialize()
		at := r.mem(int(in.slot))
		r.ok("C_GetSlotInfo", r.slot(), at)
		b := r.read(at, int(in.slot))
		padded(r, "slotDescription", b[0:64])
		padded(r, "manufacturerID", b[64:96])
		r.equal("CKF_TOKEN_PRESENT", b[96]&1, 1)
		r.want(CKR_SLOT_ID_INVALID, "C_GetSlotInfo", nowhere, at)
		r.want(CKR_ARGUMENTS_BAD, "C_GetSlotInfo", r.slot(), 0)
	}},
	{section: "5.5", name: "C_GetTokenInfo", do: func(r *run) {
		r.initialize()
		at := r.mem(int(in.token))
		r.ok("C_GetTokenInfo", r.slot(), at)
		b := r.read(at, int(in.token))
		padded(r, "label", b[0:32])
		padded(r, "manufacturerID", b[32:64])
		padded(r, "model", b[64:80])
		padded(r, "serialNumber", b[80:96])
		flags := r.long(at + 96)
		r.equal("CKF_TOKEN_INITIALIZED, CKF_USER_PIN_INITIALIZED, CKF_LOGIN_REQUIRED", flags&0x40C, 0x40C)
		r.equal("CKF_WRITE_PROTECTED", flags&2 != 0, r.tok.writeProtected)
		if r.tok.ours {
			r.equal("CKF_RNG, CKF_PROTECTED_AUTHENTICATION_PATH, CKF_RESTORE_KEY_NOT_NEEDED, CKF_CLOCK_ON_TOKEN", flags&0x161, 0)
			r.equal("ulMaxPinLen", r.long(at+96+5*in.long), 512)
		}
		r.want(CKR_SLOT_ID_INVALID, "C_GetTokenInfo", nowhere, at)
		r.want(CKR_ARGUMENTS_BAD, "C_GetTokenInfo", r.slot(), 0)
	}},
	{section: "5.5", name: "C_GetTokenInfo counts sessions", fits: ours, do: func(r *run) {
		r.initialize()
		at := r.mem(int(in.token))
		counts := func() [2]uint64 {
			r.ok("C_GetTokenInfo", r.slot(), at)
			return [2]uint64{r.long(at + 96 + 2*in.long), r.long(at + 96 + 4*in.long)}
		}
		r.equal("the sessions", counts(), [2]uint64{0, 0})
		s := r.open()
		r.open()
		r.equal("the sessions", counts(), [2]uint64{2, 0})
		r.ok("C_CloseSession", s)
		r.equal("the sessions", counts(), [2]uint64{1, 0})
	}},
	{section: "5.5", name: "C_GetMechanismList counts, fills and refuses a short buffer", do: func(r *run) {
		r.initialize()
		slot, n := r.slot(), r.longs(unavailable)
		r.ok("C_GetMechanismList", slot, 0, n)
		count := r.long(n)
		list := r.mem(int(in.long * count))
		r.ok("C_GetMechanismList", slot, list, n)
		seen := map[uint64]bool{}
		for i := range count {
			m := r.long(list + in.long*i)
			if seen[m] {
				r.fail("mechanism 0x%x is there twice", m)
			}
			seen[m] = true
			info := r.mem(int(in.mechanism))
			r.ok("C_GetMechanismInfo", slot, m, info)
			if lo, hi := r.long(info), r.long(info+in.long); lo > hi {
				r.fail("mechanism 0x%x has keys from %d to %d", m, lo, hi)
			}
		}
		for _, m := range []uint64{ckmRSAPKCS, ckmSHA256RSAPKCS, ckmRSAPSS, ckmSHA256RSAPSS, ckmECDSA} {
			if !seen[m] {
				r.fail("mechanism 0x%x is missing", m)
			}
		}
		r.write(n, long(count-1))
		r.want(CKR_BUFFER_TOO_SMALL, "C_GetMechanismList", slot, r.mem(int(in.long*(count-1))), n)
		r.equal("the count after a short buffer", r.long(n), count)
	}},
	{section: "5.5", name: "C_GetMechanismList and C_GetMechanismInfo with wrong arguments", do: func(r *run) {
		r.initialize()
		slot, n, info := r.slot(), r.longs(0), r.mem(int(in.mechanism))
		r.want(CKR_SLOT_ID_INVALID, "C_GetMechanismList", nowhere, 0, n)
		r.want(CKR_ARGUMENTS_BAD, "C_GetMechanismList", slot, 0, 0)
		r.want(CKR_SLOT_ID_INVALID, "C_GetMechanismInfo", nowhere, ckmRSAPKCS, info)
		r.want(CKR_MECHANISM_INVALID, "C_GetMechanismInfo", slot, ckmVendor, info)
		r.want(CKR_ARGUMENTS_BAD, "C_GetMechanismInfo", slot, ckmRSAPKCS, 0)
	}},
	{section: "5.5", name: "mechanisms that sign say so", do: func(r *run) {
		r.initialize()
		for _, m := range []uint64{ckmRSAPKCS, ckmSHA256RSAPKCS, ckmRSAPSS, ckmSHA256RSAPSS, ckmECDSA} {
			info := r.mem(int(in.mechanism))
			r.ok("C_GetMechanismInfo", r.slot(), m, info)
			r.equal("CKF_SIGN, CKF_VERIFY", r.long(info+2*in.long)&0x2800, 0x2800)
		}
	}},
	{section: "5.5", name: "C_WaitForSlotEvent does not block and has no event", do: func(r *run) {
		r.initialize()
		r.want(CKR_NO_EVENT, "C_WaitForSlotEvent", ckfDontBlock, r.mem(int(in.long)), 0)
	}},
	{section: "5.5", name: "C_WaitForSlotEvent with wrong arguments", fits: ours, do: func(r *run) {
		r.initialize()
		r.want(CKR_ARGUMENTS_BAD, "C_WaitForSlotEvent", ckfDontBlock, 0, 0)
		r.want(CKR_ARGUMENTS_BAD, "C_WaitForSlotEvent", ckfDontBlock, r.mem(int(in.long)), r.mem(int(in.long)))
		r.want(CKR_FUNCTION_NOT_SUPPORTED, "C_WaitForSlotEvent", 0, r.mem(int(in.long)), 0) // waiting for ever would hang NSS
	}},
}

var sessions = []kase{
	{section: "5.6", name: "C_OpenSession without CKF_SERIAL_SESSION", do: func(r *run) {
		r.initialize()
		r.want(CKR_SESSION_PARALLEL_NOT_SUPPORTED, "C_OpenSession", r.slot(), 0, 0, 0, r.longs(0))
	}},
	{section: "5.6", name: "C_OpenSession in no slot", do: func(r *run) {
		r.initialize()
		r.want(CKR_SLOT_ID_INVALID, "C_OpenSession", nowhere, ckfSerial, 0, 0, r.longs(0))
	}},
	{section: "5.6", name: "C_OpenSession without a place", do: func(r *run) {
		r.initialize()
		r.want(CKR_ARGUMENTS_BAD, "C_OpenSession", r.slot(), ckfSerial, 0, 0, 0)
	}},
	{section: "5.6", name: "C_OpenSession takes an application pointer and a callback", do: func(r *run) {
		r.initialize()
		r.ok("C_OpenSession", r.slot(), ckfSerial, r.mem(int(in.long)), r.number("sym C_GetInfo"), r.longs(0))
	}},
	{section: "5.6", name: "a read/write session of a write-protected token", do: func(r *run) {
		r.initialize()
		place := r.longs(0)
		if r.tok.writeProtected {
			r.want(CKR_TOKEN_WRITE_PROTECTED, "C_OpenSession", r.slot(), ckfSerial|ckfRW, 0, 0, place)
			r.equal("the handle", r.long(place), 0)
			return
		}
		r.ok("C_OpenSession", r.slot(), ckfSerial|ckfRW, 0, 0, place)
		r.equal("the state", r.state(r.long(place)), 2)
	}},
	{section: "5.6", name: "C_GetSessionInfo", do: func(r *run) {
		r.initialize()
		slot, s, at := r.slot(), r.open(), r.mem(int(in.session))
		r.ok("C_GetSessionInfo", s, at)
		r.equal("slot, state, flags", [3]uint64{r.long(at), r.long(at + in.long), r.long(at + 2*in.long)}, [3]uint64{slot, 0, ckfSerial})
		r.want(CKR_ARGUMENTS_BAD, "C_GetSessionInfo", s, 0)
		r.want(CKR_SESSION_HANDLE_INVALID, "C_GetSessionInfo", nowhere, at)
		r.want(CKR_SESSION_HANDLE_INVALID, "C_GetSessionInfo", 0, at)
	}},
	{section: "5.6", name: "C_CloseSession", do: func(r *run) {
		s := r.session()
		other := r.open()
		r.ok("C_CloseSession", s)
		r.want(CKR_SESSION_HANDLE_INVALID, "C_CloseSession", s)
		r.want(CKR_SESSION_HANDLE_INVALID, "C_GetSessionInfo", s, r.mem(int(in.session)))
		r.equal("the state of the other", r.state(other), 0)
		r.want(CKR_SESSION_HANDLE_INVALID, "C_CloseSession", 0)
		r.want(CKR_SESSION_HANDLE_INVALID, "C_CloseSession", nowhere)
	}},
	{section: "5.6", name: "C_CloseAllSessions", do: func(r *run) {
		s := r.ready()
		other := r.open()
		r.want(CKR_SLOT_ID_INVALID, "C_CloseAllSessions", nowhere)
		r.ok("C_CloseAllSessions", r.slot())
		for _, h := range []uint64{s, other} {
			r.want(CKR_SESSION_HANDLE_INVALID, "C_GetSessionInfo", h, r.mem(int(in.session)))
		}
		r.equal("the state of a new session", r.state(r.open()), 0)
		r.ok("C_CloseAllSessions", r.slot())
		r.ok("C_CloseAllSessions", r.slot()) // none is left
	}},
	{section: "5.6", name: "a closed session's handle is not given again", do: func(r *run) {
		r.initialize()
		seen := map[uint64]bool{}
		for range 50 {
			s := r.open()
			if seen[s] {
				r.fail("handle %x was given twice", s)
			}
			seen[s] = true
			r.ok("C_CloseSession", s)
		}
	}},
	{section: "5.6", name: "functions of a session refuse what is none", do: func(r *run) {
		r.ready()
		slot := r.slot() // a slot is no session, either
		one, place := r.bytes([]byte("x")), r.longs(64)
		for _, s := range []uint64{0, nowhere, slot} {
			for _, c := range []struct {
				name string
				args []uint64
			}{
				{"C_CloseSession", nil}, {"C_GetSessionInfo", []uint64{r.mem(int(in.session))}}, {"C_Login", []uint64{ckuUser, one, 1}}, {"C_Logout", nil},
				{"C_GetObjectSize", []uint64{1, place}}, {"C_GetAttributeValue", []uint64{1, r.template(attr{ckaClass, nil}), 1}},
				{"C_FindObjectsInit", []uint64{0, 0}}, {"C_FindObjects", []uint64{r.mem(int(in.long)), 1, place}}, {"C_FindObjectsFinal", nil},
				{"C_SignInit", []uint64{r.mechanism(ckmRSAPKCS, nil), 1}}, {"C_Sign", []uint64{one, 1, r.mem(64), place}},
				{"C_SignUpdate", []uint64{one, 1}}, {"C_SignFinal", []uint64{r.mem(64), place}},
				{"C_VerifyInit", []uint64{r.mechanism(ckmRSAPKCS, nil), 1}}, {"C_Verify", []uint64{one, 1, one, 1}},
				{"C_VerifyUpdate", []uint64{one, 1}}, {"C_VerifyFinal", []uint64{one, 1}},
				{"C_DestroyObject", []uint64{1}}, {"C_SetAttributeValue", []uint64{1, r.template(attr{ckaLabel, []byte("x")}), 1}},
				{"C_CreateObject", []uint64{r.template(attr{ckaClass, long(0)}), 1, place}}, {"C_CopyObject", []uint64{1, r.template(attr{ckaToken, []byte{0}}), 1, place}},
				{"C_GenerateRandom", []uint64{one, 1}}, {"C_SeedRandom", []uint64{one, 1}},
			} {
				r.want(CKR_SESSION_HANDLE_INVALID, c.name, append([]uint64{s}, c.args...)...)
			}
		}
	}},
	{section: "5.6", name: "C_GetOperationState without an operation", do: func(r *run) {
		s := r.session()
		r.any([]RV{CKR_OPERATION_NOT_INITIALIZED, CKR_FUNCTION_NOT_SUPPORTED}, "C_GetOperationState", s, r.mem(64), r.longs(64))
		r.any([]RV{CKR_SAVED_STATE_INVALID, CKR_FUNCTION_NOT_SUPPORTED}, "C_SetOperationState", s, r.mem(64), 64, 0, 0)
	}},
}

var logins = []kase{
	{section: "5.6", name: "C_Login logs all sessions in, also those to come", do: func(r *run) {
		s := r.session()
		other := r.open()
		r.equal("the state before", r.state(other), 0)
		r.login(s)
		r.equal("the states after", [3]uint64{r.state(s), r.state(other), r.state(r.open())}, [3]uint64{1, 1, 1})
	}},
	{section: "5.6", name: "C_Login twice", do: func(r *run) {
		s := r.ready()
		pin := r.bytes([]byte(r.tok.pin))
		r.want(CKR_USER_ALREADY_LOGGED_IN, "C_Login", s, ckuUser, pin, uint64(len(r.tok.pin)))
		r.want(CKR_USER_ALREADY_LOGGED_IN, "C_Login", r.open(), ckuUser, pin, uint64(len(r.tok.pin)))
	}},
	{section: "5.6", name: "C_Login with a wrong PIN", do: func(r *run) {
		s := r.session()
		r.want(CKR_PIN_INCORRECT, "C_Login", s, ckuUser, r.bytes([]byte("wrong-pin")), 9)
		r.equal("the state", r.state(s), 0)
		r.login(s)
	}},
	{section: "5.6", name: "C_Login with an empty PIN or one of any length", do: func(r *run) {
		s := r.session()
		r.any([]RV{CKR_PIN_INCORRECT, CKR_PIN_LEN_RANGE, CKR_ARGUMENTS_BAD}, "C_Login", s, ckuUser, r.bytes([]byte("x")), 0)
		r.any([]RV{CKR_PIN_INCORRECT, CKR_PIN_LEN_RANGE}, "C_Login", s, ckuUser, r.bytes(make([]byte, 5000)), 5000)
	}},
	{section: "5.6", name: "C_Login as somebody unknown", do: func(r *run) {
		s := r.session()
		pin := r.bytes([]byte(r.tok.pin))
		r.want(CKR_USER_TYPE_INVALID, "C_Login", s, 77, pin, uint64(len(r.tok.pin)))
	}},
	{section: "5.6", name: "C_Login as security officer beside a read-only session", do: func(r *run) {
		s := r.session()
		pin := r.bytes([]byte(r.tok.pin))
		r.any([]RV{CKR_SESSION_READ_ONLY_EXISTS, CKR_USER_TYPE_INVALID}, "C_Login", s, ckuSO, pin, uint64(len(r.tok.pin)))
	}},
	{section: "5.6", name: "C_Login for an operation that does not ask for it", do: func(r *run) {
		s := r.ready()
		pin := r.bytes([]byte(r.tok.pin))
		r.want(CKR_OPERATION_NOT_INITIALIZED, "C_Login", s, ckuContext, pin, uint64(len(r.tok.pin)))
	}},
	{section: "5.6", name: "C_Logout", do: func(r *run) {
		s := r.ready()
		other := r.open()
		r.ok("C_Logout", s)
		r.equal("the states", [2]uint64{r.state(s), r.state(other)}, [2]uint64{0, 0})
		r.want(CKR_USER_NOT_LOGGED_IN, "C_Logout", s)
		r.login(other)
		r.equal("the states", [2]uint64{r.state(s), r.state(other)}, [2]uint64{1, 1})
	}},
	{section: "5.6", name: "C_Logout makes handles of private objects invalid for good", do: func(r *run) {
		s := r.ready()
		key, public := r.rsa(s), r.rsaPublic(s)
		size := r.template(attr{ckaID, nil})
		r.ok("C_Logout", s)
		r.want(CKR_OBJECT_HANDLE_INVALID, "C_GetAttributeValue", s, key, size, 1)
		r.any([]RV{CKR_KEY_HANDLE_INVALID, CKR_USER_NOT_LOGGED_IN}, "C_SignInit", s, r.mechanism(ckmSHA256RSAPKCS, nil), key)
		r.ok("C_GetAttributeValue", s, public, size, 1)
		r.login(s)
		r.want(CKR_OBJECT_HANDLE_INVALID, "C_GetAttributeValue", s, key, size, 1)
		r.want(CKR_KEY_HANDLE_INVALID, "C_SignInit", s, r.mechanism(ckmSHA256RSAPKCS, nil), key)
		if again := r.rsa(s); again == key {
			r.fail("the handle %x was given again", key)
		}
	}},
	{section: "5.6", name: "closing the last session logs out", do: func(r *run) {
		s := r.ready()
		other := r.open()
		r.ok("C_CloseSession", s)
		r.equal("the state of the other", r.state(other), 1)
		r.ok("C_CloseSession", other)
		r.equal("the state of a new one", r.state(r.open()), 0)
	}},
	{section: "5.6", name: "private objects are not found before login", do: func(r *run) {
		s := r.session()
		r.equal("the private keys", len(r.find(s, attr{ckaClass, long(ckoPrivateKey)})), 0)
		for _, o := range r.find(s) {
			r.equal("CKA_PRIVATE", r.value(s, o, ckaPrivate), []byte{0})
		}
		r.login(s)
		r.equal("the private keys after login", len(r.find(s, attr{ckaClass, long(ckoPrivateKey)})) >= 2, true)
	}},
}
