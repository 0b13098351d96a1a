package standard

import "bytes"

var objects = []kase{
	{section: "5.7", name: "C_FindObjects gives at most what was asked for, then none", do: func(r *run) {
		s := r.ready()
		all := len(r.find(s))
		r.ok("C_FindObjectsInit", s, 0, 0)
		n := r.longs(0)
		seen := map[uint64]bool{}
		for range all {
			one := r.mem(int(in.long))
			r.ok("C_FindObjects", s, one, 1, n)
			r.equal("the count", r.long(n), 1)
			seen[r.long(one)] = true
		}
		r.equal("the objects", len(seen), all)
		r.ok("C_FindObjects", s, r.mem(int(in.long)), 1, n)
		r.equal("the count at the end", r.long(n), 0)
		r.ok("C_FindObjects", s, r.mem(int(in.long)), 1, n)
		r.ok("C_FindObjectsFinal", s)
	}},
	{section: "5.7", name: "C_FindObjectsInit twice", do: func(r *run) {
		s := r.session()
		r.ok("C_FindObjectsInit", s, 0, 0)
		r.want(CKR_OPERATION_ACTIVE, "C_FindObjectsInit", s, 0, 0)
		r.ok("C_FindObjectsFinal", s)
		r.ok("C_FindObjectsInit", s, 0, 0)
	}},
	{section: "5.7", name: "C_FindObjects and C_FindObjectsFinal without a search", do: func(r *run) {
		s := r.session()
		r.want(CKR_OPERATION_NOT_INITIALIZED, "C_FindObjects", s, r.mem(int(in.long)), 1, r.longs(0))
		r.want(CKR_OPERATION_NOT_INITIALIZED, "C_FindObjectsFinal", s)
		r.find(s)
		r.want(CKR_OPERATION_NOT_INITIALIZED, "C_FindObjectsFinal", s)
	}},
	{section: "5.7", name: "a search without a match", do: func(r *run) {
		s := r.ready()
		for _, a := range []attr{{ckaID, []byte("no such key")}, {ckaLabel, []byte("no such key")}, {ckaVendor, []byte("x")}, {ckaClass, long(0x80000001)}, {ckaClass, long(4)}, {ckaID, nil}} {
			r.equal("the matches", len(r.find(s, a)), 0)
		}
	}},
	{section: "5.7", name: "a search matches all attributes exactly", do: func(r *run) {
		s := r.ready()
		id := []byte(r.tok.rsaID)
		r.equal("by id", len(r.find(s, attr{ckaID, id})) >= 2, true)
		r.equal("by a part of the id", len(r.find(s, attr{ckaID, id[:len(id)-1]})), 0)
		r.equal("by id and class", len(r.find(s, attr{ckaID, id}, attr{ckaClass, long(ckoPublicKey)})), 1)
		r.equal("by class and another's id", len(r.find(s, attr{ckaClass, long(ckoPrivateKey)}, attr{ckaID, []byte(r.tok.ecID)}, attr{ckaKeyType, long(0)})), 0)
		r.equal("by type", len(r.find(s, attr{ckaClass, long(ckoPrivateKey)}, attr{ckaKeyType, long(3)})) >= 1, true)
		r.equal("by label", len(r.find(s, attr{ckaLabel, id}, attr{ckaClass, long(ckoPrivateKey)})), 1)
		r.equal("by modulus", len(r.find(s, attr{ckaModulus, r.value(s, r.rsaPublic(s), ckaModulus)}, attr{ckaClass, long(ckoPublicKey)})), 1)
	}},
	{section: "5.7", name: "searches in two sessions do not meet", do: func(r *run) {
		s := r.ready()
		other := r.open()
		r.ok("C_FindObjectsInit", s, r.template(attr{ckaClass, long(ckoPrivateKey)}), 1)
		all := r.find(other)
		r.ok("C_FindObjectsFinal", s)
		r.equal("the objects", len(all) >= 4, true)
	}},
	{section: "5.7", name: "a search goes on while the session signs", do: func(r *run) {
		s := r.ready()
		key := r.rsa(s)
		r.ok("C_FindObjectsInit", s, 0, 0)
		r.sign(s, r.mechanism(ckmSHA256RSAPKCS, nil), key, []byte("abc"))
		n := r.longs(0)
		r.ok("C_FindObjects", s, r.mem(int(in.long)), 1, n)
		r.equal("the count", r.long(n), 1)
	}},
	{section: "5.7", name: "a search with wrong arguments", do: func(r *run) {
		s := r.session()
		r.want(CKR_ARGUMENTS_BAD, "C_FindObjectsInit", s, 0, 1)
		if r.tok.ours { // NULL_PTR with a length; SoftHSM reads it
			r.want(CKR_ARGUMENTS_BAD, "C_FindObjectsInit", s, r.entries(ckaID, 0, 5), 1)
		}
		r.ok("C_FindObjectsInit", s, 0, 0)
		r.want(CKR_ARGUMENTS_BAD, "C_FindObjects", s, 0, 1, r.longs(0))
		r.want(CKR_ARGUMENTS_BAD, "C_FindObjects", s, r.mem(int(in.long)), 1, 0)
	}},
	{section: "5.7", name: "C_GetAttributeValue tells lengths and fills buffers", do: func(r *run) {
		s := r.ready()
		key := r.rsaPublic(s)
		t := r.template(attr{ckaModulus, nil}, attr{ckaClass, nil}, attr{ckaID, nil})
		r.ok("C_GetAttributeValue", s, key, t, 3)
		r.equal("the lengths", [3]uint64{r.long(t + in.length), r.long(t + in.entry + in.length), r.long(t + 2*in.entry + in.length)}, [3]uint64{384, in.long, uint64(len(r.tok.rsaID))})
		// longer than needed: the length is set to the exact one
		big := r.mem(1000)
		r.write(t, entry(ckaID, big, 1000))
		r.ok("C_GetAttributeValue", s, key, t, 1)
		r.equal("the length", r.long(t+in.length), len(r.tok.rsaID))
		r.equal("the value", string(r.read(big, len(r.tok.rsaID))), r.tok.rsaID)
		r.equal("the byte behind it", r.read(big+uint64(len(r.tok.rsaID)), 1), []byte{0xA5})
	}},
	{section: "5.7", name: "C_GetAttributeValue with a short buffer", do: func(r *run) {
		s := r.ready()
		short := r.mem(7)
		t := r.entries(ckaID, short, 7)
		r.want(CKR_BUFFER_TOO_SMALL, "C_GetAttributeValue", s, r.rsa(s), t, 1)
		r.equal("the length", r.long(t+in.length), unavailable)
		r.equal("the buffer", r.read(short, 7), bytes.Repeat([]byte{0xA5}, 7))
	}},
	{section: "5.7", name: "C_GetAttributeValue of an attribute that is not there", do: func(r *run) {
		s := r.ready()
		t := r.template(attr{ckaVendor, nil})
		r.want(CKR_ATTRIBUTE_TYPE_INVALID, "C_GetAttributeValue", s, r.rsa(s), t, 1)
		r.equal("the length", r.long(t+in.length), unavailable)
	}},
	{section: "5.7", name: "C_GetAttributeValue of a sensitive attribute", do: func(r *run) {
		s := r.ready()
		for key, kinds := range map[uint64][]uint64{r.rsa(s): {ckaPrivateExponent, 0x124, 0x125, 0x126, 0x127, 0x128}, r.ec(s): {ckaValue}} {
			for _, kind := range kinds {
				secret := r.mem(512)
				t := r.entries(kind, secret, 512)
				r.want(CKR_ATTRIBUTE_SENSITIVE, "C_GetAttributeValue", s, key, t, 1)
				r.equal("the length", r.long(t+in.length), unavailable)
				r.equal("the buffer", r.read(secret, 512), bytes.Repeat([]byte{0xA5}, 512))
			}
		}
	}},
	{section: "5.7", name: "C_GetAttributeValue answers for all attributes although some fail", do: func(r *run) {
		s := r.ready()
		id, short, class := r.mem(100), r.mem(2), r.mem(int(in.long))
		t := r.entries(
			ckaVendor, 0, 0,
			ckaID, id, 100,
			ckaPrivateExponent, r.mem(512), 512,
			ckaKeyType, short, 2,
			ckaModulus, 0, 0,
			ckaClass, class, in.long,
		)
		r.any([]RV{CKR_ATTRIBUTE_TYPE_INVALID, CKR_ATTRIBUTE_SENSITIVE, CKR_BUFFER_TOO_SMALL}, "C_GetAttributeValue", s, r.rsa(s), t, 6)
		var lengths []uint64
		for i := range uint64(6) {
			lengths = append(lengths, r.long(t+in.entry*i+in.length))
		}
		r.equal("the lengths", lengths, []uint64{unavailable, uint64(len(r.tok.rsaID)), unavailable, unavailable, 384, in.long})
		r.equal("the id", string(r.read(id, len(r.tok.rsaID))), r.tok.rsaID)
		r.equal("the class", r.long(class), ckoPrivateKey)
	}},
	{section: "5.7", name: "C_GetAttributeValue with wrong arguments", do: func(r *run) {
		s := r.ready()
		t := r.template(attr{ckaClass, nil})
		r.want(CKR_OBJECT_HANDLE_INVALID, "C_GetAttributeValue", s, nowhere, t, 1)
		r.want(CKR_OBJECT_HANDLE_INVALID, "C_GetAttributeValue", s, 0, t, 1)
		r.want(CKR_OBJECT_HANDLE_INVALID, "C_GetAttributeValue", s, s, t, 1) // a session is no object
		r.want(CKR_ARGUMENTS_BAD, "C_GetAttributeValue", s, r.rsa(s), 0, 1)
	}},
	{section: "4.7 to 4.9", name: "keys have the attributes of their class and type", do: func(r *run) {
		s := r.ready()
		common := []uint64{ckaClass, ckaToken, ckaPrivate, 0x170, ckaLabel, 0x171, 0x172} // with MODIFIABLE, COPYABLE, DESTROYABLE
		key := []uint64{ckaKeyType, ckaID, 0x110, 0x111, 0x10C, 0x163, 0x166}             // with START_DATE, END_DATE, DERIVE, LOCAL, KEY_GEN_MECHANISM
		public := []uint64{ckaSubject, 0x104, 0x10A, 0x10B, 0x106, 0x86}                  // with ENCRYPT, VERIFY, VERIFY_RECOVER, WRAP, TRUSTED
		private := []uint64{ckaSubject, 0x103, 0x105, ckaSign, 0x109, 0x107, 0x162, 0x165, 0x164, 0x210, 0x202}
		for _, c := range []struct {
			key    uint64
			tables [][]uint64
		}{
			{r.rsaPublic(s), [][]uint64{common, key, public, {ckaModulus, ckaModulusBits, ckaPublicExponent}}},
			{r.ecPublic(s), [][]uint64{common, key, public, {ckaECParams, ckaECPoint}}},
			{r.rsa(s), [][]uint64{common, key, private, {ckaModulus, ckaPublicExponent}}},
			{r.ec(s), [][]uint64{common, key, private, {ckaECParams}}},
		} {
			for _, table := range c.tables {
				for _, kind := range table {
					r.value(s, c.key, kind)
				}
			}
		}
		r.equal("CKA_MODULUS_BITS", r.value(s, r.rsaPublic(s), ckaModulusBits), long(3072))
		r.equal("CKA_EC_PARAMS", r.value(s, r.ec(s), ckaECParams), []byte{6, 8, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 3, 1, 7})
		r.equal("CKA_EC_POINT", r.value(s, r.ecPublic(s), ckaECPoint)[:3], []byte{4, 65, 4})
		r.equal("CKA_SIGN", r.value(s, r.rsa(s), ckaSign), []byte{1})
		r.equal("CKA_PRIVATE of keys", [2][]byte{r.value(s, r.rsa(s), ckaPrivate), r.value(s, r.rsaPublic(s), ckaPrivate)}, [2][]byte{{1}, {0}})
	}},
	{section: "4.6", name: "certificates have the attributes of X.509", fits: ours, do: func(r *run) {
		s := r.ready()
		found := r.find(s, attr{ckaClass, long(ckoCertificate)})
		r.equal("the certificates", len(found) >= 4, true) // two leaves, their issuer, its root
		for _, o := range found {
			for _, kind := range []uint64{ckaToken, ckaPrivate, ckaLabel, ckaID, 0x80, 0x86, 0x87, 0x90, 0x110, 0x111, ckaSubject, 0x81, 0x82, ckaValue, 0x89, 0x8A, 0x8B, 0x88, 0x8C, 0x129} {
				r.value(s, o, kind)
			}
		}
	}},
	{section: "5.7", name: "C_GetObjectSize", do: func(r *run) {
		s := r.ready()
		r.ok("C_GetObjectSize", s, r.rsa(s), r.longs(0))
		r.want(CKR_OBJECT_HANDLE_INVALID, "C_GetObjectSize", s, nowhere, r.longs(0))
		r.want(CKR_ARGUMENTS_BAD, "C_GetObjectSize", s, r.rsa(s), 0)
	}},
	{section: "5.7", name: "nothing on the token is written in a read-only session", do: func(r *run) {
		s := r.ready()
		key := r.rsa(s)
		refused := []RV{CKR_SESSION_READ_ONLY, CKR_TOKEN_WRITE_PROTECTED, CKR_ACTION_PROHIBITED, CKR_ATTRIBUTE_READ_ONLY}
		onToken := r.template(attr{ckaToken, []byte{1}})
		r.any(refused, "C_DestroyObject", s, key)
		r.any(refused, "C_SetAttributeValue", s, key, r.template(attr{ckaLabel, []byte("new")}), 1)
		r.any(refused, "C_CopyObject", s, key, onToken, 1, r.longs(0))
		r.any(refused, "C_CreateObject", s, r.template(attr{ckaClass, long(0)}, attr{ckaToken, []byte{1}}, attr{ckaLabel, []byte("new")}), 3, r.longs(0))
		r.equal("the label", string(r.value(s, key, ckaLabel)), r.tok.rsaID)
		r.equal("new objects", len(r.find(s, attr{ckaLabel, []byte("new")})), 0)
	}},
	{section: "5.7", name: "what cannot be copied says so", fits: ours, do: func(r *run) {
		s := r.ready()
		r.equal("CKA_COPYABLE, CKA_DESTROYABLE, CKA_MODIFIABLE", [3][]byte{r.value(s, r.rsa(s), 0x171), r.value(s, r.rsa(s), 0x172), r.value(s, r.rsa(s), 0x170)}, [3][]byte{{0}, {0}, {0}})
		r.want(CKR_ACTION_PROHIBITED, "C_CopyObject", s, r.rsa(s), r.template(attr{ckaToken, []byte{0}}), 1, r.longs(0))
	}},
	{section: "5.7", name: "handles stay while the objects do", do: func(r *run) {
		s := r.ready()
		key := r.rsa(s)
		other := r.open()
		r.ok("C_CloseSession", s)
		r.equal("the handle", r.rsa(other), key)
		r.equal("the id", string(r.value(other, key, ckaID)), r.tok.rsaID)
	}},
}
