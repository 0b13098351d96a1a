package standard

import (
	"bytes"
	"slices"
)

// before are the functions that may be called before C_Initialize (section 5.4).
var before = []string{"C_Initialize", "C_GetFunctionList", "C_GetInterfaceList", "C_GetInterface"}

// notInitialized asserts that every function says so.
func notInitialized(r *run) {
	for i, f := range functions {
		if slices.Contains(before, f.name) || i >= functions240 && !r.tok.ours {
			continue
		}
		// Arguments as good as they can be: the answer must not come from them.
		args := make([]uint64, f.args)
		for j := range args {
			args[j] = r.mem(512)
		}
		args[0] = 1
		switch f.name {
		case "C_Finalize":
			args[0] = 0
		case "C_GetInfo":
			args[0] = r.mem(512)
		}
		r.want(CKR_CRYPTOKI_NOT_INITIALIZED, f.name, args...)
	}
}

// padded asserts a text that is padded with blanks and not ended by NUL (section 2.1).
func padded(r *run, what string, b []byte) {
	if bytes.IndexByte(b, 0) >= 0 || len(bytes.TrimRight(b, " ")) == 0 {
		r.fail("%s is %q", what, b)
	}
}

var general = []kase{
	{section: "5.4", name: "before C_Initialize all functions but three answer CKR_CRYPTOKI_NOT_INITIALIZED", do: func(r *run) {
		r.load()
		notInitialized(r)
	}},
	{section: "5.4", name: "after C_Finalize as well", do: func(r *run) {
		r.initialize()
		r.ok("C_Finalize", 0)
		notInitialized(r)
	}},
	{section: "5.4", name: "C_Initialize with NULL_PTR", do: func(r *run) { r.load(); r.ok("C_Initialize", 0); r.slot() }},
	{section: "5.4", name: "C_Initialize with flags 0", do: func(r *run) { r.load(); r.ok("C_Initialize", r.arguments(0, 0, 0, 0, 0, 0)); r.slot() }},
	{section: "5.4", name: "C_Initialize twice", do: func(r *run) {
		r.initialize()
		r.want(CKR_CRYPTOKI_ALREADY_INITIALIZED, "C_Initialize", 0)
		r.slot()
	}},
	{section: "5.4", name: "C_Initialize with pReserved", do: func(r *run) {
		r.load()
		r.want(CKR_ARGUMENTS_BAD, "C_Initialize", r.arguments(0, 0, 0, 0, ckfOSLockingOK, 1))
		r.want(CKR_CRYPTOKI_NOT_INITIALIZED, "C_GetInfo", r.mem(512))
	}},
	{section: "5.4", name: "C_Initialize with some but not all mutex functions", do: func(r *run) {
		r.load()
		for missing := range 4 {
			args := []uint64{1, 1, 1, 1, ckfOSLockingOK, 0}
			args[missing] = 0
			r.want(CKR_ARGUMENTS_BAD, "C_Initialize", r.arguments(args...))
		}
	}},
	{section: "5.4", name: "C_Initialize with all mutex functions and CKF_OS_LOCKING_OK", do: func(r *run) {
		r.load()
		f := r.number("sym C_GetFunctionStatus") // never called: the flag is set
		r.ok("C_Initialize", r.arguments(f, f, f, f, ckfOSLockingOK, 0))
	}, fits: ours},
	{section: "5.4", name: "C_Initialize with all mutex functions alone works or answers CKR_CANT_LOCK", do: func(r *run) {
		r.load()
		f := r.number("sym C_GetFunctionStatus")
		r.want(CKR_CANT_LOCK, "C_Initialize", r.arguments(f, f, f, f, 0, 0))
	}, fits: ours},
	{section: "5.4", name: "C_Initialize with CKF_LIBRARY_CANT_CREATE_OS_THREADS", do: func(r *run) {
		r.load()
		r.any([]RV{CKR_OK, CKR_NEED_TO_CREATE_THREADS}, "C_Initialize", r.arguments(0, 0, 0, 0, 1|ckfOSLockingOK, 0))
	}},
	{section: "5.4", name: "C_Finalize with pReserved", do: func(r *run) {
		r.initialize()
		r.want(CKR_ARGUMENTS_BAD, "C_Finalize", r.mem(8))
		r.ok("C_GetInfo", r.mem(int(in.info)))
	}},
	{section: "5.4", name: "C_Finalize and C_Initialize again and again", do: func(r *run) {
		r.load()
		for range 5 {
			r.ok("C_Initialize", 0)
			r.want(CKR_SESSION_HANDLE_INVALID, "C_CloseSession", 1)
			r.ok("C_Finalize", 0)
		}
	}},
	{section: "5.4", name: "C_Finalize ends sessions and login", do: func(r *run) {
		s := r.ready()
		r.ok("C_Finalize", 0)
		r.ok("C_Initialize", 0)
		r.want(CKR_SESSION_HANDLE_INVALID, "C_GetSessionInfo", s, r.mem(int(in.session)))
		r.equal("the state", r.state(r.open()), 0)
	}},
	{section: "5.4", name: "C_GetInfo", do: func(r *run) {
		r.initialize()
		at := r.mem(int(in.info))
		r.ok("C_GetInfo", at)
		b := r.read(at, int(in.info))
		r.equal("cryptokiVersion", b[0:2], []byte{2, 40})
		padded(r, "manufacturerID", b[2:34])
		r.equal("flags", b[in.infoFlags:][:in.long], long(0))
		padded(r, "libraryDescription", b[in.infoDescription:][:32])
	}},
	{section: "5.4", name: "C_GetInfo without a place", do: func(r *run) { r.initialize(); r.want(CKR_ARGUMENTS_BAD, "C_GetInfo", 0) }},
	{section: "5.4", name: "C_GetFunctionList before C_Initialize", do: func(r *run) {
		r.load()
		list := r.outPointer("C_GetFunctionList")
		b := r.read(list, int(in.functions+in.pointer*functions240))
		r.equal("the version", b[:2], []byte{2, 40})
		for i, f := range functions[:functions240] {
			at := r.pointer(list + in.functions + in.pointer*uint64(i))
			if at == 0 {
				r.fail("%s is NULL in the list", f.name)
			}
		}
		r.list = map[string]uint64{"C_Initialize": r.pointer(list + in.functions), "C_GetInfo": r.pointer(list + in.functions + 2*in.pointer)}
		r.ok("C_Initialize", 0)
		r.ok("C_GetInfo", r.mem(int(in.info)))
	}},
	{section: "3.6", name: "the functions of the list are the exported ones", do: func(r *run) {
		r.load()
		list := r.outPointer("C_GetFunctionList")
		for i, f := range functions[:functions240] {
			r.equal(f.name, r.pointer(list+in.functions+in.pointer*uint64(i)), r.number("sym %s", f.name))
		}
	}},
	{section: "5.4", name: "C_GetFunctionList without a place", do: func(r *run) { r.load(); r.want(CKR_ARGUMENTS_BAD, "C_GetFunctionList", 0) }},
}

// version and name of an interface of PKCS #11 itself.
var interfaceName = []byte("PKCS 11\x00")

var interfaces = []kase{
	{section: "3.0 5.4", name: "C_GetInterfaceList", fits: ours, do: func(r *run) {
		r.load()
		n := r.longs(unavailable)
		r.ok("C_GetInterfaceList", 0, n)
		count := r.long(n)
		r.write(n, long(count-1))
		small := r.mem(int(in.face * (count - 1)))
		r.want(CKR_BUFFER_TOO_SMALL, "C_GetInterfaceList", small, n)
		r.equal("the count", r.long(n), count)
		list := r.mem(int(in.face * count))
		r.ok("C_GetInterfaceList", list, n)
		var versions []byte
		for i := range count {
			b := r.read(list+in.face*i, int(in.face))
			r.equal("the name", r.read(r.pointer(list+in.face*i), 8), interfaceName)
			r.equal("the flags", b[in.faceFlags:][:in.long], long(0)) // not CKF_INTERFACE_FORK_SAFE: a child starts anew
			versions = append(versions, r.read(r.pointer(list+in.face*i+in.faceList), 2)...)
		}
		r.equal("the versions", versions, []byte{3, 0, 3, 1, 2, 40})
	}},
	{section: "3.0 5.4", name: "C_GetInterfaceList without a place", fits: ours, do: func(r *run) {
		r.load()
		r.want(CKR_ARGUMENTS_BAD, "C_GetInterfaceList", r.mem(int(in.face)), 0)
	}},
	{section: "3.0 5.4", name: "C_GetInterface by name, version and flags", fits: ours, do: func(r *run) {
		r.load()
		name, other := r.bytes(interfaceName), r.bytes([]byte("Vendor X\x00"))
		for _, c := range []struct {
			name    uint64
			version []byte // nil: any
			flags   uint64
			want    []byte // nil: none
		}{
			{0, nil, 0, []byte{3, 0}},
			{name, nil, 0, []byte{3, 0}},
			{name, []byte{3, 0}, 0, []byte{3, 0}},
			{name, []byte{3, 1}, 0, []byte{3, 1}},
			{name, []byte{2, 40}, 0, []byte{2, 40}},
			{0, []byte{2, 40}, 0, []byte{2, 40}},
			{name, []byte{3, 2}, 0, nil},
			{name, []byte{2, 20}, 0, nil},
			{other, nil, 0, nil},
			{name, nil, 1, nil}, // CKF_INTERFACE_FORK_SAFE
		} {
			version := uint64(0)
			if c.version != nil {
				version = r.bytes(c.version)
			}
			place := r.place()
			if c.want == nil {
				r.any([]RV{CKR_ARGUMENTS_BAD, CKR_FUNCTION_FAILED}, "C_GetInterface", c.name, version, place, c.flags)
				r.equal("the place", r.pointer(place), 0)
				continue
			}
			r.ok("C_GetInterface", c.name, version, place, c.flags)
			r.equal("the version", r.read(r.pointer(r.pointer(place)+in.faceList), 2), c.want)
		}
		r.want(CKR_ARGUMENTS_BAD, "C_GetInterface", name, 0, 0, 0)
	}},
	{section: "3.0 5.4", name: "what a host writes into an interface is gone at the next call", fits: ours, do: func(r *run) {
		r.load() // OpenSC's pkcs11-spy does, though a host must not rely on it
		name, place := r.bytes(interfaceName), r.place()
		r.ok("C_GetInterface", name, 0, place, 0)
		first := r.pointer(place)
		list := r.pointer(first + in.faceList)
		r.write(first+in.faceList, number(nil, in.pointer, name))
		r.ok("C_GetInterface", name, 0, place, 0)
		r.equal("the list", r.pointer(r.pointer(place)+in.faceList), list)
	}},
	{section: "3.0 3.6", name: "the lists are complete, and C_GetInfo tells the version of its list", fits: ours, do: func(r *run) {
		r.load()
		for _, version := range [][]byte{{3, 0}, {3, 1}, {2, 40}} {
			list := r.useInterface(version)
			for i, f := range functions {
				if version[0] == 2 && i >= functions240 {
					break
				}
				if got, exported := r.pointer(list+in.functions+in.pointer*uint64(i)), r.number("sym %s", f.name); got != exported && f.name != "C_GetInfo" || got == 0 {
					r.fail("%s of the list %v is %x, exported is %x", f.name, version, got, exported)
				}
			}
			r.ok("C_Initialize", 0)
			at := r.mem(int(in.info))
			r.ok("C_GetInfo", at)
			r.equal("cryptokiVersion", r.read(at, 2), version)
			r.ok("C_Finalize", 0)
		}
	}},
	{section: "3.0 5.6", name: "C_SessionCancel ends what its flags name", fits: ours, do: func(r *run) {
		s := r.ready()
		key, public := r.rsa(s), r.rsaPublic(s)
		m := r.mechanism(ckmSHA256RSAPKCS, nil)
		begin := func() {
			r.ok("C_SignInit", s, m, key)
			r.ok("C_VerifyInit", s, m, public)
			r.ok("C_FindObjectsInit", s, 0, 0)
		}
		part, place, n := r.bytes([]byte("x")), r.mem(8), r.longs(0)
		active := func(sign, verify, find RV) {
			r.want(sign, "C_SignUpdate", s, part, 1)
			r.want(verify, "C_VerifyUpdate", s, part, 1)
			r.want(find, "C_FindObjects", s, place, 1, n)
		}
		const none = CKR_OPERATION_NOT_INITIALIZED
		begin()
		r.ok("C_SessionCancel", s, 0)
		active(CKR_OK, CKR_OK, CKR_OK)
		r.ok("C_SessionCancel", s, 0x800) // CKF_SIGN
		active(none, CKR_OK, CKR_OK)
		r.ok("C_SessionCancel", s, 0x2000) // CKF_VERIFY
		active(none, none, CKR_OK)
		r.ok("C_SessionCancel", s, 0x40) // CKF_FIND_OBJECTS
		active(none, none, none)
		begin()
		r.ok("C_SessionCancel", s, unavailable) // all, and many that are not active
		active(none, none, none)
		r.want(CKR_SESSION_HANDLE_INVALID, "C_SessionCancel", nowhere, 0x800)
	}},
	{section: "3.0 5.13", name: "C_SignInit without a mechanism ends the operation", fits: ours, do: func(r *run) {
		s := r.ready()
		r.ok("C_SignInit", s, r.mechanism(ckmSHA256RSAPKCS, nil), r.rsa(s))
		r.ok("C_SignInit", s, 0, 0)
		r.idle(s)
		r.want(CKR_ARGUMENTS_BAD, "C_SignInit", s, 0, 0) // nothing to end
		r.ok("C_VerifyInit", s, r.mechanism(ckmSHA256RSAPKCS, nil), r.rsaPublic(s))
		r.ok("C_VerifyInit", s, 0, 0)
		r.want(CKR_OPERATION_NOT_INITIALIZED, "C_VerifyUpdate", s, r.bytes([]byte("x")), 1)
	}},
	{section: "3.0 5.6", name: "C_LoginUser without a name is C_Login", fits: ours, do: func(r *run) {
		s := r.session()
		pin := r.bytes([]byte(r.tok.pin))
		r.want(CKR_SESSION_HANDLE_INVALID, "C_LoginUser", nowhere, ckuUser, pin, uint64(len(r.tok.pin)), 0, 0)
		r.want(CKR_USER_TYPE_INVALID, "C_LoginUser", s, 77, pin, uint64(len(r.tok.pin)), 0, 0)
		r.ok("C_LoginUser", s, ckuUser, pin, uint64(len(r.tok.pin)), 0, 0)
		r.want(CKR_USER_ALREADY_LOGGED_IN, "C_LoginUser", s, ckuUser, pin, uint64(len(r.tok.pin)), 0, 0)
		r.equal("the state", r.state(s), 1)
		r.ok("C_Logout", s)
	}},
	{section: "3.0 5.6", name: "C_LoginUser with a name that is no organization", fits: ours, do: func(r *run) {
		s := r.session()
		pin := r.bytes([]byte(r.tok.pin))
		r.want(CKR_PIN_INCORRECT, "C_LoginUser", s, ckuUser, pin, uint64(len(r.tok.pin)), r.bytes([]byte("somebody")), 8)
		r.equal("the state", r.state(s), 0)
	}},
	{section: "3.0 4.4.1", name: "CKA_UNIQUE_ID names each object once", fits: ours, do: func(r *run) {
		s := r.ready()
		seen := map[string]bool{}
		for _, o := range r.find(s) {
			id := string(r.value(s, o, ckaUniqueID))
			if id == "" || seen[id] {
				r.fail("%q is empty or there twice", id)
			}
			seen[id] = true
		}
	}},
	{section: "3.0 5.9", name: "the message functions are not supported", fits: ours, do: func(r *run) {
		r.load()
		r.useInterface([]byte{3, 0})
		r.ok("C_Initialize", 0)
		s := r.open()
		for _, f := range functions[functions240+4:] {
			args := make([]uint64, f.args)
			args[0] = s
			r.want(CKR_FUNCTION_NOT_SUPPORTED, f.name, args...)
		}
	}},
}

// useInterface makes the case call through an interface's list.
func (r *run) useInterface(version []byte) uint64 {
	place := r.place()
	r.ok("C_GetInterface", r.bytes(interfaceName), r.bytes(version), place, 0)
	list := r.pointer(r.pointer(place) + in.faceList)
	r.equal("the version", r.read(list, 2), version)
	r.list = map[string]uint64{}
	for i, f := range functions {
		if version[0] >= 3 || i < functions240 {
			r.list[f.name] = r.pointer(list + in.functions + in.pointer*uint64(i))
		}
	}
	return list
}
