package main

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The signatures of real programs are checked in e2e/macos.

func TestEntitlementsDER(t *testing.T) {
	xml, err := templates.ReadFile("templates/extension.entitlements")
	if err != nil {
		t.Fatal(err)
	}
	got, err := entitlementsDER(xml)
	if err != nil {
		t.Fatal(err)
	}
	pair := func(name string) string {
		return "30" + hex.EncodeToString([]byte{byte(len(name) + 5), 0x0c, byte(len(name))}) + hex.EncodeToString([]byte(name)) + "0101ff"
	}
	pairs := pair("com.apple.security.app-sandbox") + pair("com.apple.security.network.client")
	want := "70" + hex.EncodeToString([]byte{byte(len(pairs)/2 + 5)}) + "020101b0" + hex.EncodeToString([]byte{byte(len(pairs) / 2)}) + pairs
	if hex.EncodeToString(got) != want {
		t.Errorf("%x\nwant %s", got, want)
	}
	for _, bad := range []string{"<key>a</key><false/>", "<key>a</key><string>b</string>", "<key>a</key><true/><key>b</key><array/>"} {
		if _, err := entitlementsDER([]byte(bad)); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}

func TestRefused(t *testing.T) {
	good := ids{AppID: "a.b", ExtensionID: "a.b.c", ClassID: "a.b.ctk", Version: "1.2.3-dev"}
	file := filepath.Join(t.TempDir(), "thin")
	if err := os.WriteFile(file, bytes.Repeat([]byte{0xcf}, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*ids)
		says   string
	}{
		"not a program": {func(*ids) {}, "thin"},
		"identifier":    {func(n *ids) { n.ClassID = "a b" }, "reverse DNS"},
		"XML":           {func(n *ids) { n.AppID = "a.<b>" }, "reverse DNS"},
		"version":       {func(n *ids) { n.Version = "x" }, "no version"},
	} {
		n := good
		c.change(&n)
		if err := build(t.TempDir(), []string{file}, []string{file}, n); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := universal([][]byte{{1}, {2}}); err == nil {
		t.Error("garbage joined")
	}
	if _, err := universal(nil); err == nil {
		t.Error("nothing joined")
	}
}

func TestCodeResources(t *testing.T) {
	text := string(codeResources(map[string]cdHashes{"PlugIns/X.appex": {{1, 2}, {3, 4}}}))
	for _, want := range []string{"<key>PlugIns/X.appex</key>", `cdhash H"0102" or cdhash H"0304"`, "\t\t\tAQI=\n", "<key>^.*</key>\n\t\t<true/>"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}
