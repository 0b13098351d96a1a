package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestKeychainConfig: which file the app is told of. What launchd starts at logon has
// no variables of the shell, what open(1) starts has them.
func TestKeychainConfig(t *testing.T) {
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		named, environment string
		login              bool
		want               []string
	}{
		{"", "", true, nil},
		{"", "/e.json", false, nil},
		{"", "/e.json", true, []string{"--config", "/e.json"}},
		{"", "e.json", true, []string{"--config", filepath.Join(here, "e.json")}},
		{"/n.json", "/e.json", true, []string{"--config", "/n.json"}},
		{"n.json", "/e.json", false, []string{"--config", filepath.Join(here, "n.json")}},
	} {
		k := keychainAdd{Config: c.named, Login: c.login}
		if err := k.settle(c.environment); err != nil || !slices.Equal(k.arguments(), c.want) {
			t.Errorf("%+v: %v, %v", c, k.arguments(), err)
		}
	}
}
