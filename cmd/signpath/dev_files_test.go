package main

import (
	"os"
	"path/filepath"
	"testing"
)

// The same folder is served at the same address again, as long as that is free.
func TestListenAgain(t *testing.T) {
	const any = "127.0.0.77:0" // an address of this test alone
	dir := t.TempDir()
	first, _, err := listenAgain(t.Context(), any, dir)
	if err != nil {
		t.Fatal(err)
	}
	address := first.Addr().String()
	if err := os.WriteFile(filepath.Join(dir, devConfigName), []byte(`{"ApiUrl":"https://`+address+`/Api"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	other, host, err := listenAgain(t.Context(), any, dir)
	if err != nil || host != "127.0.0.77" || other.Addr().String() == address {
		t.Fatalf("%v, %v while %s is taken", err, other, address)
	}
	_ = other.Close()
	_ = first.Close()
	again, _, err := listenAgain(t.Context(), any, dir)
	if err != nil || again.Addr().String() != address {
		t.Fatalf("%v, %v, want %s", err, again.Addr(), address)
	}
	_ = again.Close()
	for _, text := range []string{"", "{", `{"ApiUrl":"%"}`, `{"ApiUrl":"https://x:99999999/"}`} {
		if err := os.WriteFile(filepath.Join(dir, devConfigName), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		l, _, err := listenAgain(t.Context(), any, dir)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		_ = l.Close()
	}
}
