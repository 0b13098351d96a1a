package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// cabinetName is the stream of the database that holds the files.
const cabinetName = "files.cab"

// cabinet packs the files under the names of the File table, in its order.
func cabinet(work string, files []payload, at time.Time) (string, error) {
	dir := filepath.Join(work, "cabinet")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	out := filepath.Join(work, cabinetName)
	args := []string{"--create", "--zip", "--nopath", out}
	for _, p := range files {
		name := filepath.Join(dir, p.file.id)
		if err := os.WriteFile(name, p.content, 0o644); err != nil {
			return "", err
		}
		if err := os.Chtimes(name, at, at); err != nil {
			return "", err
		}
		args = append(args, name)
	}
	c := exec.Command("gcab", args...)
	c.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "TZ=UTC", "LC_ALL=C"} // cabinets hold local time
	if said, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("gcab: %w\n%s", err, said)
	}
	return out, nil
}
