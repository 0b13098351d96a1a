package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"signpath/e2e/rig"
)

// TestFaultsOfTheMachine: a signature must not fail for a log, a home folder or a temporary folder.
func TestFaultsOfTheMachine(t *testing.T) {
	s := rig.TheService(t)
	foreign := filepath.Join(t.TempDir(), "foreign")
	if err := os.Mkdir(foreign, 0o700); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(foreign, 12345, 12345); err != nil {
			t.Fatal(err)
		}
	} else if err := os.Chmod(foreign, 0); err != nil {
		t.Fatal(err)
	}
	file := rig.Write(t, filepath.Join(t.TempDir(), "a-file"), nil)
	for _, fam := range families {
		for _, c := range []struct {
			name string
			more []string
		}{
			{"log folder of somebody else", []string{"SIGNPATH_LOG_FILE_DIRECTORY=" + foreign}},
			{"log folder is a file", []string{"SIGNPATH_LOG_FILE_DIRECTORY=" + file}},
			{"log folder cannot be made", []string{"SIGNPATH_LOG_FILE_DIRECTORY=/proc/nothing/here"}},
			{"log device is full", []string{"SIGNPATH_LOG_FILE_DIRECTORY=/dev/full"}},
			{"HOME unset", []string{"HOME="}},
			{"TMPDIR does not exist", []string{"TMPDIR=/nonexistent"}},
			{"nothing set", []string{"HOME=", "TMPDIR=", "LC_ALL=", "SIGNPATH_LOG_FILE_DIRECTORY="}},
		} {
			if fam.java && !rig.All || fam.daemon && strings.HasPrefix(c.name, "TMPDIR") {
				continue
			}
			t.Run(fam.name+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				_, r := fam.sign(t, s, nil, c.more...)
				r.OK(t)
			})
		}
	}
}

// mounts runs a tool in a mount namespace of its own, in a copy of the machine's
// tree of file systems, where something is wrong with the disks. $1 is where the
// tree is put, $2 the folder that stays as it is, $3 and $4 who the tool runs as;
// behind them stands the tool.
const mounts = `set -eu
tree=$1 keep=$2 user=$3 group=$4; shift 4
mount --rbind / "$tree"
%s
mount --bind "$keep" "$tree$keep"
exec chroot --userspec="$user:$group" "$tree" sh -c 'cd "$0" && exec "$@"' "$keep" "$@"
`

// What is wrong, in shell: the tree is in $tree. Each says so itself if it is not.
var disks = []struct{ name, shell string }{
	{"read-only disk", `for m in $(findmnt -Rrno TARGET "$tree" | sort -r); do mount -o remount,bind,ro "$m" 2>/dev/null || :; done
for d in /tmp /var/tmp /root /; do if [ -d "$tree$d" ] && touch "$tree$d/.written" 2>/dev/null; then echo "$d can be written"; exit 99; fi; done`},
	{"/tmp full", `mount -t tmpfs -o size=256k tmpfs "$tree/tmp"
case $keep in /tmp/*) mkdir -p "$tree$keep" ;; esac
head -c 1M /dev/zero >"$tree/tmp/full" 2>/dev/null || :
chmod 1777 "$tree/tmp"
if (echo x >"$tree/tmp/.written") 2>/dev/null; then echo "/tmp has room"; exit 99; fi`},
	{"/tmp full of files", `mount -t tmpfs -o size=1m,nr_inodes=64 tmpfs "$tree/tmp"
case $keep in /tmp/*) mkdir -p "$tree$keep" ;; esac
for i in $(seq 64); do touch "$tree/tmp/$i" 2>/dev/null || break; done
chmod 1777 "$tree/tmp"
if touch "$tree/tmp/.written" 2>/dev/null; then echo "/tmp has room"; exit 99; fi`},
}

// asRoot is what stands in front of a command that needs root's rights.
func asRoot() []string {
	if os.Geteuid() == 0 {
		return nil
	}
	return []string{"sudo", "-E"}
}

// TestFaultsOfDisks: a signature needs no disk but for what the tool writes. The
// log's folder is the default one, /tmp/SignPathLogs. (GnuPG itself needs a temporary folder.)
func TestFaultsOfDisks(t *testing.T) {
	s := rig.TheService(t)
	for _, fam := range families {
		if fam.daemon || fam.java && fam.name != "jarsigner" && !rig.All {
			continue
		}
		for _, disk := range disks {
			t.Run(fam.name+"/"+strings.TrimPrefix(disk.name, "/"), func(t *testing.T) {
				t.Parallel()
				// The tool's own folder holds what it reads and writes; all else is the disk's.
				base := t.TempDir()
				tree, keep := filepath.Join(base, "tree"), filepath.Join(base, "keep")
				for _, d := range []string{tree, keep} {
					if err := os.Mkdir(d, 0o755); err != nil {
						t.Fatal(err)
					}
				}
				// What lies in /tmp is out of sight when /tmp is another file system.
				module := rig.Write(t, filepath.Join(keep, filepath.Base(rig.Module)), rig.Must(os.ReadFile(rig.Module)))
				ca := rig.Write(t, filepath.Join(keep, "tls-ca.pem"), rig.Must(os.ReadFile(s.Env["SIGNPATH_TRUSTED_CA_FILE"])))
				chain := rig.Write(t, filepath.Join(keep, "chain.pem"), rig.Must(os.ReadFile(s.File("certificates", "p256.chain.pem"))))
				argv := fam.command(t, s, keep)
				settings := []string{"SIGNPATH_LOG_FILE_DIRECTORY=", "TMPDIR=", "SIGNPATH_TRUSTED_CA_FILE=" + ca, "PKCS11_MODULE_PATH=" + module}
				if fam.env != nil {
					settings = append(fam.env(t, keep), settings...)
				}
				for i, a := range argv {
					switch a {
					case rig.Module:
						argv[i] = module
					case s.File("certificates", "p256.chain.pem"):
						argv[i] = chain
					}
					if fam.name == "Jsign" && a == "-jar" {
						argv[i+1] = rig.Write(t, filepath.Join(keep, "jsign.jar"), rig.Must(os.ReadFile(rig.JsignJar(t))))
					}
				}
				for _, config := range rig.Must(filepath.Glob(filepath.Join(keep, "*.config"))) {
					rig.Write(t, config, []byte(strings.ReplaceAll(string(rig.Must(os.ReadFile(config))), rig.Module, module)))
				}
				script := fmt.Sprintf(mounts, disk.shell)
				wrap := append(asRoot(), "unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", tree, keep, fmt.Sprint(os.Getuid()), fmt.Sprint(os.Getgid()))
				tl := s.Tool(t, settings...)
				argv = append(wrap, argv...)
				tl.Run(t, argv[0], argv[1:]...).OK(t)
			})
		}
	}
}
