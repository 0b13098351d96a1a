package testkeys

import "testing"

func TestKeys(t *testing.T) {
	for _, bits := range []int{2048, 3072, 4096} {
		if got := RSA(t, bits).N.BitLen(); got != bits {
			t.Errorf("RSA(%d) has %d bits", bits, got)
		}
	}
	for _, bits := range []int{256, 384, 521} {
		if got := ECDSA(t, bits).Params().BitSize; got != bits {
			t.Errorf("ECDSA(%d) has %d bits", bits, got)
		}
	}
	if len(Names()) != 6 {
		t.Errorf("Names() = %v", Names())
	}
	for _, n := range Names() {
		Signer(t, n)
	}
}
